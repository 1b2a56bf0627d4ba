"""Readings, cascades and experts for tests of the hazard."""

from __future__ import annotations

from guard.calibration.cells import Feature
from guard.events import CURVE_BPS
from guard.forecasts import MOVES
from guard.hazard.artefact import FORMAT, FittedOn, Head, Heads, Outlook
from guard.hazard.features import GRADED, HAZARD_HORIZONS_S, NAMES, REACH_DISTANCES
from guard.hazard.observer import Observer
from guard.readings import BookReading, Reading
from guard.signals.price_measures import PriceMeasures
from guard.signals.price_track import PriceTrack
from guard.units import NS_PER_S, MarketId

BTC, ELSEWHERE = MarketId("a:BTC/USDT:USDT"), MarketId("b:BTC/USDT:USDT")
STEP_S = 5.0


def book_at(mid: float, *, bids_usd: float = 1e6, asks_usd: float = 1e6) -> BookReading:
    """A linear book with so much within 1 % of mid."""
    return BookReading(
        bid=mid * 0.9999,
        ask=mid * 1.0001,
        bid_curve_usd=tuple(bids_usd * bps / 100.0 for bps in CURVE_BPS),
        ask_curve_usd=tuple(asks_usd * bps / 100.0 for bps in CURVE_BPS),
        bid_visible_bps=500.0,
        ask_visible_bps=500.0,
        bid_kappa=1.0,
        ask_kappa=1.0,
        round_trip_bps=2.0,
    )


def reading_at(second: float, mid: float, *, market: MarketId = BTC, sell_usd: float = 0.0, buy_usd: float = 0.0,
               bids_usd: float = 1e6, asks_usd: float = 1e6) -> Reading:  # fmt: skip
    """A market five seconds after the one before."""
    return Reading(
        at=int(second * NS_PER_S),
        market=market,
        elapsed_s=STEP_S,
        book=book_at(mid, bids_usd=bids_usd, asks_usd=asks_usd),
        mark_price=mid,
        index_price=mid,
        open_interest=5e8 / mid,
        sell_usd=sell_usd,
        buy_usd=buy_usd,
        liquidated_longs_usd=sell_usd / 10.0,
        liquidated_shorts_usd=buy_usd / 10.0,
    )


class Watched:
    """An observer with a price track for each market."""

    def __init__(self) -> None:
        self.observer = Observer()
        self.tracks: dict[MarketId, PriceTrack] = {}
        self.measures: PriceMeasures | None = None
        self.reading: Reading | None = None

    def take(self, reading: Reading) -> None:
        """Give it a reading."""
        track = self.tracks.setdefault(reading.market, PriceTrack())
        track.update(reading.at, reading.price)
        self.measures, self.reading = track.measures(), reading
        self.observer.update(reading, self.measures)


def document(*, names: tuple[str, ...] = ("speed_5m",), weight: float = 1.0) -> Outlook:
    """Experts of few features: the flow counts one, the full one the structure's chance as well."""
    reach, hazard = len(REACH_DISTANCES), len(HAZARD_HORIZONS_S) * len(MOVES)

    def heads(features: tuple[str, ...], graded: tuple[str, ...]) -> Heads:
        def head(cells: int) -> Head:
            falling = tuple(-0.3 * cell for cell in range(cells))
            return Head(
                intercept=falling,
                weights=dict.fromkeys(features, (weight,) * cells),
                graded=dict.fromkeys(graded, (0.5,) * cells),
            )

        return Heads(reach=head(reach), hazard=head(hazard), vulnerability=head(1), shock=head(1))

    return Outlook(
        format=FORMAT,
        name="of a test",
        fitted_on=FittedOn(tag="", split="", worlds=(), per_world=0, onsets=0, moments=0, mixture=""),
        reach_distances=REACH_DISTANCES,
        horizons_s=HAZARD_HORIZONS_S,
        moves=MOVES,
        features=tuple(Feature(name=name, centre=0.0, scale=1.0) for name in NAMES if name in names),
        graded=tuple(Feature(name=name, centre=0.0, scale=1.0) for name in GRADED),
        experts={
            "climatology": heads((), ()),
            "oi_depth": heads((), ()),
            "flow": heads(names, ()),
            "full": heads(names, ("chance",)),
        },
        weights={"flow": 1.0, "full": 2.0},
        shocks_per_h=0.5,
    )
