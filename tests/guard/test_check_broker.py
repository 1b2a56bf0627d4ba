"""What ``check`` says of the broker without reaching it: certificates that cannot be used, and plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.check import Check, check_settings
from tests.support.certificates import authority


def checked(folder: Path, *lines: str) -> Check:
    path = folder / "settings.toml"
    path.write_text("\n".join(["[broker]", 'kind = "external"', *lines]))
    (folder / "password").write_text("secret")
    (folder / "password").chmod(0o600)
    return check_settings(path)


LOGIN = ('username = "guard"', 'password_file = "password"')


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (('host = "broker.example"', *LOGIN), "PLAIN TEXT"),
        (('host = "10.0.0.7"',), "anybody who reaches 10.0.0.7"),
        (('host = "127.0.0.1"', *LOGIN), ""),
        (('host = "localhost"', *LOGIN), ""),
    ],
)
def test_a_password_in_plain_text_is_warned_of_loudly(
    lines: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    check = checked(tmp_path, *lines)
    assert check.ok
    found = [warning for warning in check.warnings if "PLAIN TEXT" in warning or "anybody" in warning]
    assert [words in warning for warning in found] == ([True] if words else [])


def test_tls_is_not_warned_of(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ca")
    check = checked(tmp_path, 'host = "broker.example"', *LOGIN, f'tls_ca = "{ours.ca}"')
    assert check.ok
    assert not any("PLAIN TEXT" in warning for warning in check.warnings)


def test_a_passphrase_that_does_not_fit_is_found_before_anything_connects(tmp_path: Path) -> None:
    ours = authority(tmp_path / "ca")
    pair = ours.issue("guard", passphrase="open sesame")
    (tmp_path / "passphrase").write_text("open barley")
    check = checked(
        tmp_path,
        f'tls_ca = "{ours.ca}"',
        f'tls_cert = "{pair.cert}"',
        f'tls_key = "{pair.key}"',
        'tls_key_passphrase_file = "passphrase"',
    )
    ((path, message),) = check.problems
    assert (path, "passphrase" in message, "barley" in message) == ("broker.tls_cert", True, False)
