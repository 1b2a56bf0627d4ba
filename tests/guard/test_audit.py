"""What a step is recorded as: of many samples those that something was decided about, and how many there were."""

from __future__ import annotations

from guard.audit import SAMPLES_RECORDED_MAX, Step, abridged, decode_record, encode_record
from guard.events import MarketsSampled
from guard.units import MarketId, market_id
from tests.support.builders import ETH, MARKET, features, finding, tick

FAR = tuple(market_id("loopback", f"FAR{number}/USDT:USDT") for number in range(300))


def sampled(*markets: MarketId) -> MarketsSampled:
    samples = tuple(features(1.0, market=market) for market in markets)
    return MarketsSampled(received_at=samples[0].received_at, samples=samples)


def test_samples_of_markets_about_which_nothing_was_decided_are_counted_and_left_out() -> None:
    event = sampled(*FAR, ETH, MARKET)
    step = Step(at=1, event=event, opened=(finding(market=ETH),), closed=(finding(market=FAR[7]),))

    recorded = abridged(step)

    assert isinstance(recorded.event, MarketsSampled)
    assert [sample.market for sample in recorded.event.samples] == [FAR[7], ETH]
    assert recorded.event.left_out == 300
    assert (recorded.opened, recorded.closed) == (step.opened, step.closed)
    assert decode_record(encode_record(recorded)) == recorded
    assert len(encode_record(recorded)) < len(encode_record(step)) / 20


def test_a_record_stays_small_when_everything_falls_at_once() -> None:
    step = Step(at=1, event=sampled(*FAR), opened=tuple(finding(market=market) for market in FAR))

    recorded = abridged(step)

    assert isinstance(recorded.event, MarketsSampled)
    assert len(recorded.event.samples) == SAMPLES_RECORDED_MAX
    assert recorded.event.left_out == 300 - SAMPLES_RECORDED_MAX


def test_every_other_step_is_recorded_as_it_is() -> None:
    step = Step(at=1, event=tick(1.0), opened=(finding(),))

    assert abridged(step) is step
