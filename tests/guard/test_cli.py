"""The commands of the program: what they print and with which code they end."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.storage import SqliteAudit
from guard.audit import AnyRecord
from guard.cli import cli
from tests.support.audit_records import PAUSE_ID, pause_step, seconds, whole_story

ROOT = Path(__file__).parents[2]
VENUE = '[[venues]]\nid = "binanceusdm"\nsymbols = ["BTC/USDT:USDT"]\n'
BOT = '[[bots]]\nname = "alpha"\nkey_file = "alpha.key"\nvenue = "binanceusdm"\naccount = "main"\n'


def perpguard(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def keep(path: Path, records: Sequence[AnyRecord]) -> Path:
    async def write() -> None:
        async with await SqliteAudit.open(path) as audit:
            await audit.append(records, durable=True)

    asyncio.run(write())
    return path


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return keep(tmp_path / "audit.sqlite3", whole_story())


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(VENUE + BOT + '[audit]\npath = "audit.sqlite3"\n')
    key = tmp_path / "alpha.key"
    key.write_text("0123456789abcdef\n")
    key.chmod(0o600)
    return path


def test_check_says_what_would_run(settings: Path) -> None:
    done = perpguard("check", "--settings", settings)
    assert done.exit_code == 0
    assert "mode: paper" in done.stdout
    assert "binanceusdm BTC/USDT:USDT" in done.stdout
    assert "alpha on binanceusdm:main" in done.stdout


def test_check_passes_what_perpguard_comes_with() -> None:
    assert perpguard("check", "--settings", ROOT / "settings.toml").exit_code == 0


def test_check_names_the_path_of_a_typo_and_ends_2(settings: Path) -> None:
    settings.write_text(settings.read_text().replace("symbols", "symbol"))
    done = perpguard("check", "--settings", settings)
    assert done.exit_code == 2
    assert "venues.0.symbol: unknown setting; did you mean symbols? (line 3)" in done.stderr
    assert "venues.0.top: name symbols, or set top" in done.stderr


@pytest.mark.parametrize(
    ("damage", "path", "words"),
    [
        ("missing key", "bots.0.key_file", "is not there"),
        ("short key", "bots.0.key", "at least 16"),
        ("audit is a folder", "audit.path", "is a folder"),
        ("no certificate", "broker.tls_ca", "cannot be read"),
    ],
)
def test_check_finds_what_only_shows_on_this_machine(
    settings: Path, damage: str, path: str, words: str
) -> None:
    match damage:
        case "missing key":
            (settings.parent / "alpha.key").unlink()
        case "short key":
            (settings.parent / "alpha.key").write_text("short")
        case "audit is a folder":
            (settings.parent / "audit.sqlite3").mkdir()
        case _:
            tls = '[broker]\nkind = "external"\ntls_ca = "ca.pem"\n'
            settings.write_text(settings.read_text() + tls)
    done = perpguard("check", "--settings", settings, "--json")
    assert done.exit_code == 2
    [problem] = json.loads(done.stdout)["problems"]
    assert problem["path"] == path
    assert words in problem["message"]


def test_check_warns_without_failing(settings: Path) -> None:
    (settings.parent / "alpha.key").chmod(0o644)
    settings.write_text('[guard]\nmode = "live"\n' + settings.read_text())
    done = perpguard("check", "--settings", settings, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"], told["would_run"]["mode"]) == (0, True, "live")
    assert any("chmod 600" in each for each in told["warnings"])
    assert any("real bots" in each for each in told["warnings"])


def test_check_names_accounts_whose_key_may_trade(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "k")
    account = (
        '[venues.accounts.main]\napi_key_env = "KEY"\napi_secret_env = "KEY"\ntrade_keys_allowed = true\n'
    )
    text = settings.read_text()
    at = text.index("[[bots]]")
    settings.write_text(text[:at] + account + text[at:])
    told = json.loads(perpguard("check", "--settings", settings, "--json").stdout)
    assert any("binanceusdm: keys that may trade are allowed for main" in each for each in told["warnings"])


def test_check_does_not_load_the_venues_library(settings: Path) -> None:
    program = (
        "import sys\nfrom guard.cli import cli\n"
        "try: cli(['check', '--settings', sys.argv[1]])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'ccxt' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(settings)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_run_with_bad_settings_ends_2_with_their_path(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[guard]\nmood = 1\n")
    done = perpguard("run", "--settings", path)
    assert done.exit_code == 2
    assert "guard.mood: unknown setting; did you mean mode?" in done.stderr
    assert perpguard("run", "--settings", tmp_path / "none.toml").exit_code == 2


def test_run_checks_what_check_checks(settings: Path) -> None:
    (settings.parent / "alpha.key").write_text("short")
    done = perpguard("run", "--settings", settings)
    assert done.exit_code == 2
    assert "bots.0.key: " in done.stderr
    assert "at least 16" in done.stderr


def test_the_settings_can_be_named_by_the_environment(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPGUARD_SETTINGS", str(settings))
    assert perpguard("check").exit_code == 0


def test_audit_verify_says_all_is_well(audit: Path, settings: Path) -> None:
    for arguments in ((audit,), ("--settings", settings)):
        done = perpguard("audit", "verify", *arguments)
        assert done.exit_code == 0
        assert "all 7 records are as written; last hash" in done.stdout


def test_audit_verify_names_the_first_bad_record_and_ends_1(audit: Path) -> None:
    database = sqlite3.connect(audit)
    database.execute("UPDATE records SET body = replace(body, 'alpha', 'alphb') WHERE number = 4")
    database.commit()
    database.close()
    done = perpguard("audit", "verify", audit)
    assert done.exit_code == 1
    assert "BROKEN at record 4" in done.stderr
    told = json.loads(perpguard("audit", "verify", audit, "--json").stdout)
    assert (told["ok"], told["broken_at"]) == (False, 4)


def test_an_audit_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    done = perpguard("audit", "verify", tmp_path / "none.sqlite3")
    assert done.exit_code == 1
    assert "none.sqlite3: No such file" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at " * 100)
    done = perpguard("audit", "verify", tmp_path / "text", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"] == "AuditCorruptError"


def test_audit_show_prints_the_last_records(audit: Path) -> None:
    done = perpguard("audit", "show", audit, "--last", "5")
    assert done.exit_code == 0
    assert "2025-07-31 22:13:30.000 UTC" in done.stdout
    assert f"pause BTC/USDT:USDT to alpha ({PAUSE_ID})" in done.stdout
    assert f"{PAUSE_ID} confirmed" in done.stdout
    assert f"alpha answered applied to {PAUSE_ID}" in done.stdout
    lines = perpguard("audit", "show", audit, "--last", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [6, 7]


@pytest.mark.parametrize("identity", [PAUSE_ID, PAUSE_ID[:6], "last"])
def test_explain_takes_an_id_its_start_or_last(audit: Path, identity: str) -> None:
    done = perpguard("explain", identity, "--audit", audit)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Command {PAUSE_ID}: pause entries, bot alpha, BTC/USDT:USDT")
    assert "Confirmed 340 ms after the decision" in done.stdout
    assert all(len(line) <= 110 for line in done.stdout.splitlines())


def test_explain_as_json(audit: Path) -> None:
    told = json.loads(perpguard("explain", "last", "--audit", audit, "--json").stdout)
    assert (told["command_id"], told["outcome"]) == (PAUSE_ID, "confirmed")
    assert "Why" in told["sections"]


def test_explain_of_what_is_not_there_says_so(audit: Path) -> None:
    keep(audit, [pause_step(PAUSE_ID + "b", at=seconds(40))])
    for identity, words in (("zz", "no command begins with 'zz'"), ("01J9", "begins several commands")):
        done = perpguard("explain", identity, "--audit", audit)
        assert done.exit_code == 1
        assert words in done.stderr


def test_version_names_what_it_stands_on() -> None:
    told = json.loads(perpguard("version", "--json").stdout)
    assert {"perpguard", "ccxt", "sqlite", "python"} <= set(told)
