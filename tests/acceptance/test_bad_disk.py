"""An audit that cannot be written: the daemon tightens all the same, loosens nothing, and says so."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from guard.audit import AuditGap
from perpguard_sdk.messages import Entries, GuardStatus, Pause, Posture
from tests.support.eventually import eventually
from tests.support.processes import Program, ask
from tests.support.stage import SYMBOL, Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance

DISK_KB = 2_000
HELD_LOOKS = 8


@together
async def test_with_a_full_disk_it_tightens_at_once_and_loosens_only_once_it_can_record(
    tmp_path: Path,
) -> None:
    async with _bot_without_guard(tmp_path) as site:
        with _small_disk(tmp_path / "disk") as disk:
            path = disk / "audit.sqlite3"
            daemon = site.daemon(audit={"path": str(path), "free_mb_min": 0.0})
            await daemon.start()
            await _armed_and_free(site)
            ballast = _fill(disk)
            await _tightens_but_does_not_loosen(site, "no space is left")
            ballast.unlink()
            await _loosens(site)
            await _says_gap_and_verifies(site, daemon, path)


@together
async def test_with_a_locked_database_it_tightens_and_records_when_it_is_free(tmp_path: Path) -> None:
    """Locked before it starts, freed, and locked again while it runs."""
    async with _bot_without_guard(tmp_path) as site:
        daemon, path = site.daemon(), site.audit_path
        holder = sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(holder):
            holder.execute("BEGIN EXCLUSIVE")
            await site.start(daemon)
            await site.tap.expect_guard(
                lambda state: any(
                    "audit_down" in problem and "holds" in problem for problem in state.problems
                ),
                since_s=time.monotonic(),
                within_s=30.0,
                what="audit_down with who holds it",
            )
            holder.execute("ROLLBACK")
            await _armed_and_free(site)
            holder.execute("BEGIN IMMEDIATE")
            await _tightens_but_does_not_loosen(site, "another program holds the database")
            holder.execute("ROLLBACK")
            await _loosens(site)
        await _says_gap_and_verifies(site, daemon, path)


@together
async def test_a_corrupt_database_is_set_aside_and_a_new_one_begins_by_saying_so(tmp_path: Path) -> None:
    async with ground(tmp_path) as here:
        site = await here.site("home", [], broker={"claim_quiet_s": 0.5})
        damaged = os.urandom(40_000)
        site.audit_path.write_bytes(damaged)
        daemon = site.daemon()
        await daemon.start()
        await site.decides()
        assert await daemon.terminate() == 0
        aside = site.audit_path.with_name(site.audit_path.name + ".damaged-1")
        assert damaged == aside.read_bytes()
        first = (await site.records())[0]
        assert isinstance(first, AuditGap)
        assert str(aside) in first.why
        said = [line for line in daemon.events() if str(aside) in str(line.values())]
        assert said, "the log names where the damaged one is kept"
        assert (await site.verdict()).ok


@contextlib.asynccontextmanager
async def _bot_without_guard(folder: Path) -> AsyncIterator[Site]:
    """A site where a bot waits, in safe mode, for a guard."""
    async with ground(folder, ["alpha"]) as here:
        site = await here.site(
            "home", ["alpha"], broker={"claim_quiet_s": 1.0}, policies={"cut_leverage": {"enabled": False}}
        )
        await site.start(site.bot("alpha", rearm_ms=1500))
        yield site


async def _armed_and_free(site: Site) -> None:
    since_s = time.monotonic()
    await site.tap.expect(
        Posture, lambda posture: not posture.entries, bot="alpha", since_s=since_s, within_s=30.0
    )
    await eventually(
        lambda: (said := site.tap.reported("alpha")) is not None and not said.safe_mode and not said.entries,
        within_s=20.0,
        what="alpha to be armed and free",
    )
    await site.decides()


async def _tightens_but_does_not_loosen(site: Site, why: str) -> None:
    thinned_s = time.monotonic()
    site.ground.market.thin()
    await site.tap.expect(Pause, bot="alpha", since_s=thinned_s)
    await site.tap.expect(
        Posture,
        lambda posture: posture.entries.get(SYMBOL) is Entries.REDUCE_ONLY,
        bot="alpha",
        since_s=thinned_s,
    )
    _, state = await site.tap.expect_guard(
        lambda state: any("audit_down" in problem for problem in state.problems), since_s=thinned_s
    )
    assert state.state is GuardStatus.DEGRADED
    assert any(why in problem for problem in state.problems), state.problems
    calm_s = time.monotonic()
    site.ground.market.calm()
    await site.reports("alpha", 2 * HELD_LOOKS)
    loose = [posture for posture in site.tap.all(Posture, bot="alpha", since_s=calm_s) if not posture.entries]
    assert loose == [], "a loosening waits for its record"
    reported = site.tap.reported("alpha")
    assert reported is not None
    assert reported.entries.get(SYMBOL) is Entries.REDUCE_ONLY


async def _loosens(site: Site) -> None:
    since_s = time.monotonic()
    await site.tap.expect(
        Posture, lambda posture: not posture.entries, bot="alpha", since_s=since_s, within_s=20.0
    )
    await site.tap.expect_guard(
        lambda state: not any("audit_down" in problem for problem in state.problems),
        since_s=since_s,
        within_s=20.0,
    )


async def _says_gap_and_verifies(site: Site, daemon: Program, path: Path) -> None:
    assert await daemon.terminate() == 0
    gaps = [record for record in await site.records(path) if isinstance(record, AuditGap)]
    assert any("sent before their record" in gap.why for gap in gaps), gaps
    assert all(gap.records_lost == 0 for gap in gaps)
    answer = await ask("audit", "verify", str(path), folder=site.folder)
    assert answer.code == 0, answer.err


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    """A file system of its own, of a few MB; it takes root to mount one."""
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("MISSING PROGRAM: mount as root, to have a disk that can be filled")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"MISSING RIGHTS: a tmpfs cannot be mounted here ({done.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(disk: Path) -> Path:
    """Fill the disk to the last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0")
    return ballast
