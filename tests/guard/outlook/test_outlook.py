"""When markets are estimated anew, what is written of that, and what happens where an estimator raises."""

from __future__ import annotations

import pytest

from guard.audit import Step, decode_record, encode_record
from guard.engine import Engine
from guard.events import Tick
from guard.findings import Reason, Severity
from guard.forecasts import MarketOutlook, Regime
from guard.market.view import BaselineSettings, MarketView
from guard.outlook.broken import Broken
from guard.outlook.outlook import Outlook
from guard.outlook.recording import Recording
from guard.outlook.regimes import Regimes
from guard.outlook.settings import OutlookSettings
from guard.readings import Reading
from guard.state import GuardState
from guard.units import NS_PER_S as S
from guard.units import MarketId
from tests.support.market import MARKET, even_features
from tests.support.outlooks import outlook_of

OTHER = MarketId("bybit:ETH/USDT:USDT")


class SaysWhenAsked:
    """Stands in for all estimators: counts, and raises where it is told to."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.raises = False
        self.regime = Regime.NORMAL
        self.regimes = Regimes()

    def update(self, reading: Reading, broken: Broken) -> MarketOutlook:
        self.asked.append(reading.at / S)
        told = broken.ask("map", reading.market, self.price_of, reading)
        return MarketOutlook(at=reading.at, market=reading.market, regime=self.regime, price=told)

    def price_of(self, reading: Reading) -> float | None:
        if self.raises:
            raise ZeroDivisionError("planted")
        return reading.price

    def hear(self, event: object, broken: Broken) -> None:
        pass

    def take_own(self, held_usd: object, depegs: object, now: int) -> None:
        pass

    def forget(self, market: MarketId) -> None:
        pass


def with_fake(settings: OutlookSettings | None = None) -> tuple[Outlook, SaysWhenAsked]:
    fake = SaysWhenAsked()
    return Outlook(settings or OutlookSettings(), estimators=fake), fake  # type: ignore[arg-type]


def sample(outlook: Outlook, view: MarketView, at_s: float) -> None:
    event = even_features(round(at_s * S), market=view.market)
    view.apply(event)
    outlook.hear(event)
    outlook.look(view, event.received_at)


@pytest.mark.parametrize(
    ("every_s", "asked_every_s"), [(0.25, 4.5), (5.04, 5.04), (4.96, 4.96), (30.0, 30.0)]
)
def test_a_market_is_estimated_anew_when_its_time_has_come(every_s: float, asked_every_s: float) -> None:
    outlook, fake = with_fake()
    view = MarketView(MARKET)
    for number in range(200):
        sample(outlook, view, number * every_s)
    gaps = {round(later - earlier, 2) for earlier, later in zip(fake.asked, fake.asked[1:], strict=False)}
    assert gaps == {asked_every_s}


def test_a_market_that_has_gone_silent_is_looked_at_by_time() -> None:
    outlook, fake = with_fake()
    view = MarketView(MARKET)
    sample(outlook, view, 0.0)
    for number in range(240):
        outlook.tick({MARKET: view}, round(number * 0.25 * S))
    assert fake.asked == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]


def test_of_many_silent_markets_some_are_looked_at_now_and_the_others_later() -> None:
    outlook, fake = with_fake()
    views = {MarketId(f"a:{number}"): MarketView(MarketId(f"a:{number}")) for number in range(40)}
    for view in views.values():
        sample(outlook, view, 0.0)
    fake.asked.clear()
    for second in (20.0, 21.0, 22.0):
        outlook.tick(views, round(second * S))
    assert [fake.asked.count(second) for second in (20.0, 21.0, 22.0)] == [16, 16, 8]


def test_what_is_watched_no_more_is_forgotten() -> None:
    outlook, _ = with_fake()
    view = MarketView(MARKET)
    sample(outlook, view, 0.0)
    assert outlook.of(MARKET) is not None
    outlook.tick({}, 2 * S)
    assert outlook.of(MARKET) is None


def test_turned_off_it_says_nothing() -> None:
    outlook, fake = with_fake(OutlookSettings(enabled=False))
    sample(outlook, MarketView(MARKET), 0.0)
    outlook.tick({}, 100 * S)
    assert (fake.asked, list(outlook), outlook.take_worth_recording(100 * S)) == ([], [], ())


def test_a_change_of_regime_is_written_at_once_and_all_else_once_a_minute() -> None:
    outlook, fake = with_fake()
    view = MarketView(MARKET)
    written: list[tuple[float, Regime | None]] = []
    for number in range(800):
        at_s = number * 0.25
        fake.regime = Regime.NORMAL if at_s < 100.0 else Regime.CASCADE
        sample(outlook, view, at_s)
        outlook.tick({MARKET: view}, round(at_s * S))
        written += [(at_s, each.regime) for each in outlook.take_worth_recording(round(at_s * S))]
    assert written == [(61.0, Regime.NORMAL), (103.5, Regime.CASCADE), (164.0, Regime.CASCADE)]


def test_of_many_markets_each_is_written_less_often() -> None:
    recording = Recording()
    outlooks = [MarketOutlook(at=0, market=MarketId(f"a:{number}")) for number in range(100)]
    settings, written = OutlookSettings(), 0
    for second in range(1_201):
        recording.tick(outlooks, second * S, settings)
        written += len(recording.take(second * S))
    assert written == 100 * 4, "every five minutes, of twenty"


def test_an_estimator_that_raises_is_a_finding_that_limits_nobody_and_the_others_go_on() -> None:
    fake = SaysWhenAsked()
    state = GuardState.of(baseline=BaselineSettings(), markets=(MARKET,))
    state.outlook = Outlook(estimators=fake)  # type: ignore[arg-type]
    engine = Engine(state=state, policies=())
    fake.raises = True
    engine.process(even_features(10 * S, market=MARKET))
    (found,) = engine.findings
    assert (found.policy, found.reason, found.severity) == (
        "outlook.map",
        Reason.POLICY_RAISED,
        Severity.WATCH,
    )
    assert (found.freezes, found.limit.entries) == (False, None)
    assert state.outlook.of(MARKET) is not None
    fake.raises = False
    engine.process(even_features(20 * S, market=MARKET))
    engine.process(Tick(received_at=21 * S))
    assert engine.findings == ()


def test_a_record_holds_what_is_worth_it() -> None:
    recording = Recording()
    whole = [outlook_of(OTHER), outlook_of(MARKET)]
    recording.tick(whole, 0, OutlookSettings())
    recording.tick(whole, 60 * S, OutlookSettings())
    first, second = recording.take(60 * S)
    assert [each.mass.usd for each in first.maps[0].bands] == [1.2e7, 4e6, 2e6]
    assert [each.name for each in first.signals] == ["volatility_jump"]
    assert (bool(first.skill), bool(second.skill)) == (True, False)
    assert second.reaches == whole[0].reaches
    assert len(encode_record(Step(at=0, event=Tick(received_at=0), outlooks=(second,)))) < 5_000


def test_an_outlook_can_be_read_back_from_the_record() -> None:
    outlook = MarketOutlook(at=5, market=OTHER, regime=Regime.WATCH, price=1.25)
    step = Step(at=5, event=Tick(received_at=5), outlooks=(outlook,))
    assert step.is_decision
    assert decode_record(encode_record(step)) == step


@pytest.mark.parametrize("wrong", [{"refresh_s": 0.1}, {"recorded_s": 1.0}, {"recorded_per_minute_max": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OutlookSettings(**wrong)  # type: ignore[arg-type]
