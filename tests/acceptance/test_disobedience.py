"""Bots that do not do as they are told, each in its own way: what counts is what the venue shows."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from guard.commands import OutcomeKind
from perpguard_sdk.messages import AckStatus, CutLeverage, Entries, Posture
from tests.support.eventually import eventually
from tests.support.processes import ask
from tests.support.stage import SYMBOL, Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance

RETRIED_AFTER_S = (0.5, 1.0, 2.0)


@together
async def test_an_ack_proves_nothing_and_silence_is_not_waited_for(tmp_path: Path) -> None:
    """``liar`` answers applied and does nothing, ``hung`` neither answers nor does, ``mute`` does it all unsaid."""
    bots = ("liar", "hung", "mute")
    async with ground(tmp_path, bots) as here:
        site = await here.site("home", bots, broker={"claim_quiet_s": 1.0})
        hung = site.bot("hung", rearm_ms=1500)
        await site.start(
            site.daemon(),
            site.bot("liar", fault="ack_only", rearm_ms=1500),
            site.bot("mute", fault="mute", rearm_ms=1500),
            hung,
        )
        await site.play(*bots)
        sizes = {bot: site.size(bot) for bot in bots}

        await hung.suspend()
        thinned_s = time.monotonic()
        here.market.thin()
        cuts = {bot: (await site.tap.expect(CutLeverage, bot=bot, since_s=thinned_s))[1] for bot in bots}
        await asyncio.gather(
            _expect_failed(site, "liar", thinned_s),
            _expect_failed(site, "hung", thinned_s),
            _expect_confirmed_unsaid(site, "mute", cuts["mute"]),
        )
        assert sizes["liar"] == site.size("liar")
        assert sizes["hung"] == site.size("hung")
        answers = {ack.status for ack in site.tap.acks("liar", cuts["liar"].id)}
        assert AckStatus.APPLIED in answers
        _assert_retried(site, "hung", cuts["hung"])

        # The first cut may have given way to a larger one before its time was over.
        ended = await site.outcomes("liar")
        failed = next(name for name, each in ended.items() if each.outcome is OutcomeKind.FAILED)
        explained = await ask("explain", failed, "--audit", str(site.audit_path), folder=site.folder)
        assert explained.code == 0, explained.err
        text = " ".join(explained.out.split())
        assert "failed" in text.lower()
        assert "applied" in text
        assert "venue" in text


async def _expect_failed(site: Site, bot: str, since_s: float) -> None:
    """The cut ends FAILED by the venue's word, a finding stands, and entries are halted."""

    async def failed() -> bool:
        outcomes = await site.outcomes(bot)
        cuts = {command.id for _, command in site.tap.commands(bot) if isinstance(command, CutLeverage)}
        found = [outcomes[each] for each in cuts if each in outcomes]
        return any(each.outcome is OutcomeKind.FAILED and each.source == "venue" for each in found)

    await eventually(failed, within_s=25.0, every_s=0.2, what=f"the cut of {bot} to fail")
    await site.tap.expect_guard(
        lambda state: any(problem.startswith(f"command_failed ({bot}") for problem in state.problems),
        since_s=since_s,
        what=f"command_failed of {bot} among the problems",
    )
    await site.tap.expect(
        Posture,
        lambda posture: posture.entries.get(SYMBOL) is Entries.HALTED,
        bot=bot,
        since_s=since_s,
        what=f"{bot} halted",
    )


async def _expect_confirmed_unsaid(site: Site, bot: str, cut: CutLeverage) -> None:
    async def confirmed() -> bool:
        outcome = (await site.outcomes(bot)).get(cut.id)
        return outcome is not None and outcome.outcome is OutcomeKind.CONFIRMED

    await eventually(confirmed, within_s=15.0, every_s=0.2, what=f"the cut of {bot} to be confirmed")
    assert site.tap.acks(bot, cut.id) == []
    assert abs(site.size(bot)) <= cut.max_size * 1.02


def _assert_retried(site: Site, bot: str, cut: CutLeverage) -> None:
    """The same id again half a second, one and two seconds after the first, give or take a tick and a venue's look."""
    at_s = [heard.at_s for heard, command in site.tap.commands(bot) if command.id == cut.id]
    assert len(at_s) > len(RETRIED_AFTER_S)
    for expected_s, later_s in zip(RETRIED_AFTER_S, itertools.islice(at_s, 1, None), strict=False):
        assert later_s - at_s[0] == pytest.approx(expected_s, abs=0.45)
    assert cut.id not in site.executed(bot)
