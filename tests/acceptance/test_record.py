"""The record of a real daemon: cut, backed up, taken away, killed over, put back; nothing of it is lost."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.segments import segments_of
from guard.audit import AuditGap, RecordRestored, SegmentClosed
from perpguard_sdk.messages import Posture
from tests.support.eventually import eventually
from tests.support.processes import ask
from tests.support.stage import Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance


@together
async def test_the_record_of_a_running_daemon_is_cut_backed_up_taken_away_and_put_back(
    tmp_path: Path,
) -> None:
    async with ground(tmp_path, ["alpha"]) as here:
        site = await here.site(
            "home", ["alpha"], broker={"claim_quiet_s": 0.5}, audit={"rotate_days": 1e-9, "free_mb_min": 0.0}
        )
        daemon = site.daemon()
        await daemon.start()
        epoch = await site.decides()
        await eventually(
            lambda: len(segments_of(site.audit_path)) >= 1, within_s=20.0, what="a segment to be closed"
        )
        backup = site.folder / "backup"
        said = await told(site, "backup", str(backup))
        assert said["epoch"] == epoch
        assert len(said["files"]) >= 3

        site.audit_path.unlink()
        await eventually(site.audit_path.exists, within_s=10.0, what="the record to be put back")
        await eventually(lambda: removal_is_said(site), within_s=10.0, what="a gap record that says so")
        assert (await site.verdict()).ok

        await daemon.kill()
        killed_s = time.monotonic()
        await daemon.start()
        assert await site.decides(since_s=killed_s) == epoch + 1
        assert (await site.verdict()).ok
        refused = await ask("restore", str(backup), *settings(site), folder=site.folder)
        assert refused.code == 1
        assert "another guard writes it" in refused.err
        assert await daemon.terminate() == 0
        before = await site.records()
        assert sum(isinstance(record, SegmentClosed) for record in before) >= 1

        done = await told(site, "restore", str(backup), "--force")
        assert done["epoch"] == epoch + 1, "of the record that it replaced"
        assert await site.records(Path(done["aside"])) == before
        back_s = time.monotonic()
        await daemon.start()
        assert await site.decides(since_s=back_s) == epoch + 2
        await site.tap.expect(
            Posture, lambda posture: posture.epoch == epoch + 2, bot="alpha", since_s=back_s
        )
        assert any(isinstance(record, RecordRestored) for record in await site.records())
        assert await daemon.terminate() == 0
        assert (await told(site, "audit", "verify"))["ok"]


async def removal_is_said(site: Site) -> bool:
    gaps = [record for record in await site.records() if isinstance(record, AuditGap)]
    return any("removed while it was written" in gap.why for gap in gaps)


async def told(site: Site, *arguments: str) -> Any:
    """What a command answers in JSON."""
    answer = await ask(*arguments, *settings(site), "--json", folder=site.folder)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def settings(site: Site) -> tuple[str, str]:
    return "--settings", str(site.folder / "guard-1.toml")
