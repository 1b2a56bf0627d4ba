"""Bad messages to an armed bot: nothing is executed, nothing is loosened, and what needs an answer gets one."""

from __future__ import annotations

import pytest

from perpguard_sdk.messages import Entries
from tests.corpus.reading import Case, cases
from tests.corpus.signing import payload_of
from tests.sdk.bench import KEY, SYMBOL, TOPICS, bench


@pytest.mark.parametrize("case", cases("mqtt_to_bot.txt"), ids=str)
def test_bad_messages_do_nothing_but_what_is_safe(case: Case) -> None:
    bot = bench().arm(entries={SYMBOL: Entries.REDUCE_ONLY})
    topic = f"{TOPICS.base}/{case.where}"
    text = case.text.replace("NOW", str(bot.guard_ms)).replace("LATER", str(bot.guard_ms + 5_000))

    bot.hear((topic, payload_of(text, topic, TOPICS.base, KEY)))

    kind, what = case.words.split()
    if kind == "dropped":
        assert dict(bot.session.dropped) == {what: 1}
        assert bot.acks == []
    else:
        answers = ["received", what] if what != "nothing" else ["received"]
        assert [str(status) for status in bot.statuses_of("c1")] == answers
    assert bot.executed == []
    assert bot.entries() in (Entries.REDUCE_ONLY, Entries.HALTED)


@pytest.mark.parametrize("case", cases("mqtt_to_bot.txt"), ids=str)
def test_what_is_damaged_on_the_posture_topic_makes_a_bot_doubt_and_nothing_else_does(case: Case) -> None:
    """Whoever can write there could otherwise take the posture away; a forged heartbeat must not disarm a bot."""
    bot = bench().arm()
    topic = f"{TOPICS.base}/{case.where}"
    text = case.text.replace("NOW", str(bot.guard_ms)).replace("LATER", str(bot.guard_ms + 5_000))

    bot.hear((topic, payload_of(text, topic, TOPICS.base, KEY)))

    damages = case.where == "posture/alpha" and case.words.split()[1] in ("malformed", "wrong_signature")
    assert bot.safe is damages
