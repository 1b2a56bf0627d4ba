"""What was learned comes back exactly, or the file is set aside and nothing of it is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.storage import outlook_memory
from adapters.storage.outlook_memory import (
    RESTORED_MAX,
    OutlookMemoryFile,
    UnusableMemoryError,
    read_memory,
    write_memory,
)

BODY = bytes(range(64))


@pytest.fixture
def file(tmp_path: Path) -> OutlookMemoryFile:
    return OutlookMemoryFile(tmp_path / "record.outlook", "main")


def names(file: OutlookMemoryFile) -> list[str]:
    return sorted(each.name for each in file.path.parent.iterdir())


@given(body=st.binary(max_size=3000))
@settings(max_examples=30, deadline=None)
def test_what_was_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    path = tmp_path_factory.mktemp("memory") / "record.outlook"
    write_memory(path, body, guard="main", at=17)
    kept = read_memory(path, guard="main")
    assert kept.body == body
    assert kept.written_at == 17


def test_there_is_nothing_at_the_first_start(file: OutlookMemoryFile) -> None:
    assert file.read() is None
    assert names(file) == []


def test_a_file_cut_off_at_any_byte_is_noticed(file: OutlookMemoryFile) -> None:
    write_memory(file.path, BODY, guard="main", at=1)
    whole = file.path.read_bytes()
    for length in range(len(whole)):
        file.path.write_bytes(whole[:length])
        with pytest.raises(UnusableMemoryError) as caught:
            read_memory(file.path, guard="main")
        assert caught.value.kind in {"damaged", "newer"}


def test_a_file_changed_at_any_byte_of_its_content_is_noticed(file: OutlookMemoryFile) -> None:
    write_memory(file.path, BODY, guard="main", at=1)
    whole = file.path.read_bytes()
    begin = whole.index(b"}\n") + 2
    for place in range(begin, len(whole)):
        file.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(UnusableMemoryError):
            read_memory(file.path, guard="main")
    file.path.write_bytes(whole + b"x")
    with pytest.raises(UnusableMemoryError):
        read_memory(file.path, guard="main")


def test_a_damaged_file_is_set_aside_and_the_next_one_too(file: OutlookMemoryFile) -> None:
    for number in (1, 2):
        file.path.write_bytes(b"nothing of ours")
        assert file.read() is None
        assert not file.path.exists()
        assert file.path.with_name(f"record.outlook.damaged-{number}").read_bytes() == b"nothing of ours"


def test_a_newer_version_is_set_aside_as_such(
    file: OutlookMemoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(outlook_memory, "VERSION", 2)
        file.write(BODY, 1)
    assert file.read() is None
    assert names(file) == ["record.outlook.newer-1"]


def test_another_guards_file_is_set_aside_as_such(file: OutlookMemoryFile) -> None:
    OutlookMemoryFile(file.path, "elsewhere").write(BODY, 1)
    assert file.read() is None
    assert names(file) == ["record.outlook.other-1"]


def test_a_write_that_is_killed_leaves_the_file_before(file: OutlookMemoryFile) -> None:
    """Whatever was done of a write before its last step, the file is the former one."""
    file.write(b"former", 1)
    partial = file.path.with_name(file.path.name + ".part")
    whole = file.path.read_bytes()
    for length in (0, 10, len(whole) - 1, len(whole)):
        partial.write_bytes(whole[:length])
        kept = file.read()
        assert kept is not None
        assert kept.body == b"former"
    assert file.write(b"later", 2)
    kept = file.read()
    assert kept is not None
    assert kept.body == b"later"
    assert not partial.exists()


def test_a_write_that_fails_is_said_and_leaves_the_file_before(
    file: OutlookMemoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file.write(b"former", 1)

    def full(partial: Path, whole: Path) -> None:
        raise OSError(28, "No space left on device", str(whole))

    with monkeypatch.context() as disk:
        disk.setattr(outlook_memory, "settle", full)
        assert not file.write(b"later", 2)
    with monkeypatch.context() as small:
        small.setattr(outlook_memory, "BYTES_MAX", 10)
        assert not file.write(b"more than ten bytes", 2)
    kept = file.read()
    assert kept is not None
    assert kept.body == b"former"


def test_what_unpacks_to_too_much_is_not_unpacked(
    file: OutlookMemoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(bytes(100_000), 1)
    monkeypatch.setattr(outlook_memory, "BYTES_MAX", 50_000)
    assert file.read() is None
    assert names(file) == ["record.outlook.damaged-1"]


def test_what_a_run_went_on_from_stays_under_its_digest(file: OutlookMemoryFile) -> None:
    digests = []
    for number in range(RESTORED_MAX + 3):
        file.write(bytes([number]) * 10, number)
        os.utime(file.path, ns=(number, number))
        kept = file.read()
        assert kept is not None
        digests.append(kept.digest)
    assert file.write(b"later", 99)
    there = [digest for digest in digests if file.restored(digest).exists()]
    assert there == digests[-RESTORED_MAX:]
    assert read_memory(file.restored(digests[-1])).body == bytes([RESTORED_MAX + 2]) * 10


def test_what_cannot_be_read_is_not_written_over(file: OutlookMemoryFile) -> None:
    file.path.mkdir()
    assert file.read() is None
    assert names(file) == ["record.outlook.unread-1"]
    assert file.write(BODY, 1)
