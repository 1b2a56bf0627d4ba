"""The state file: whole or not at all, private, and damage is told."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from perpguard_sdk.errors import StoreError
from perpguard_sdk.limits import Restrictions
from perpguard_sdk.messages import AckStatus, CutLeverage, Effect, Entries, Mode, Posture
from perpguard_sdk.records import CommandResult, Edge, SeenCommand, StoredState
from perpguard_sdk.store import FileStore
from tests.sdk.bench import Guard

STATE = StoredState(
    bot="alpha",
    epoch=3,
    seq=7,
    seen={"a": SeenCommand(epoch=3, seq=6, result=CommandResult(status=AckStatus.APPLIED, effect=Effect()))},
    started={"b": CutLeverage(**Guard().fields(CutLeverage, 1))},
    posture=Posture(
        bot="alpha", version=1, epoch=3, session="s", ts=1, expires_at=2, mode=Mode.LIVE, reasons=("thin",)
    ),
    edges=(Edge(posture_version=2, restrictions=Restrictions(entries={"*": Entries.HALTED})),),
    safe_mode=False,
    ever_armed_live=True,
)


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert FileStore(tmp_path / "state.json").load() is None


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "deep" / "state.json")
    store.save(STATE)
    assert FileStore(tmp_path / "deep" / "state.json").load() == STATE


def test_the_file_is_private_and_alone(tmp_path: Path) -> None:
    FileStore(tmp_path / "state.json").save(STATE)
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other"])
def test_a_damaged_file_is_set_aside_and_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.json"
    store = FileStore(path)
    store.save(STATE)
    good = path.read_bytes()
    path.write_bytes(
        {
            "truncate": good[:-10],
            "flip": good.replace(b'"epoch":3', b'"epoch":2', 1),
            "empty": b"",
            "other": b"[]",
        }[damage]
    )
    with pytest.raises(StoreError, match=r"state\.json.*damaged.*corrupt-1"):
        store.load()
    assert store.load() is None
    assert (tmp_path / "state.json.corrupt-1").exists()


def test_a_full_disk_is_a_store_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    FileStore(path).save(STATE)
    before = path.read_bytes()
    # A folder where the new file would be written stands for a disk that takes nothing, also for root.
    (tmp_path / "state.json.new").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        FileStore(path).save(StoredState(bot="alpha"))
    assert path.read_bytes() == before


def test_a_really_full_disk() -> None:
    with pytest.raises(StoreError):
        FileStore("/dev/full/state.json").save(STATE)


def test_an_unreadable_path_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.json").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        FileStore(tmp_path / "state.json").load()
