"""Makes a storm of faults from a seed: every kind, each in scopes and lengths that venues have shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from adapters.simulation.misbehaviour.faults import Corruption, Fault, FaultKind

EVERY_S = 2.0
"""At intensity 1 a fault begins so often on average."""

Draw = Callable[[Random, float, str], Fault]

_STREAMS = ("depth", "depth", "depth", "trade", "aggTrade", "markPrice", "account", "answer")


def _round(value: float) -> float:
    return round(value, 3)


def _lasting(rng: Random, low_s: float, high_s: float) -> float:
    """Between the two, short ones more often."""
    return _round(low_s * (high_s / low_s) ** rng.random())


def _frames(kind: FaultKind, *, delay_s: float | None = None, jitter_s: float = 0.0) -> Draw:
    def draw(rng: Random, at_s: float, symbol: str) -> Fault:
        return Fault(
            kind=kind,
            at_s=at_s,
            for_s=_lasting(rng, 0.2, 4.0),
            rate=_round(rng.choice((0.02, 0.1, 0.3, 1.0))),
            streams=(rng.choice(_STREAMS),),
            symbols=(symbol,) if rng.random() < 0.3 else (),
            delay_s=delay_s,
            jitter_s=jitter_s,
        )

    return draw


def _corrupt(rng: Random, at_s: float, symbol: str) -> Fault:
    del symbol
    forms = [form for form in Corruption if form is not Corruption.HUGE]
    return Fault(
        kind=FaultKind.CORRUPT,
        at_s=at_s,
        for_s=_lasting(rng, 0.2, 3.0),
        rate=_round(rng.choice((0.05, 0.3, 1.0))),
        streams=(rng.choice(_STREAMS),),
        form=rng.choice(forms),
    )


def _silence(rng: Random, at_s: float, symbol: str) -> Fault:
    del symbol
    return Fault(kind=FaultKind.SILENCE, at_s=at_s, for_s=_lasting(rng, 0.5, 6.0), pongs=rng.random() < 0.5)


def _cut(rng: Random, at_s: float, symbol: str) -> Fault:
    del symbol
    kind = rng.choice((FaultKind.DISCONNECT, FaultKind.RESET))
    return Fault(kind=kind, at_s=at_s, streams=(rng.choice(_STREAMS[:-1]),) if rng.random() < 0.5 else ())


def _refuse(rng: Random, at_s: float, symbol: str) -> Fault:
    del symbol
    return Fault(kind=FaultKind.REFUSE, at_s=at_s, for_s=_lasting(rng, 0.3, 3.0), rate=rng.choice((0.5, 1.0)))


def _status(rng: Random, at_s: float, symbol: str) -> Fault:
    del symbol
    status = rng.choice((418, 429, 429, 500, 502, 503))
    waits = status in (418, 429)
    return Fault(
        kind=FaultKind.STATUS,
        at_s=at_s,
        for_s=_lasting(rng, 0.5, 3.0),
        status=status,
        # A ban that names no end keeps clients away for as long as they think fit: minutes.
        retry_after_s=float(rng.randint(1, 3)) if waits else None,
    )


def _answer(rng: Random, at_s: float, symbol: str) -> Fault:
    del symbol
    kind = rng.choice((FaultKind.HTML, FaultKind.HANG, FaultKind.TRUNCATE, FaultKind.STALE))
    return Fault(
        kind=kind,
        at_s=at_s,
        for_s=_lasting(rng, 0.3, 3.0),
        rate=rng.choice((0.3, 1.0)),
        delay_s=_lasting(rng, 0.2, 2.0) if kind is FaultKind.HANG and rng.random() < 0.7 else None,
        status=502,
    )


def _market(rng: Random, at_s: float, symbol: str) -> Fault:
    kind = rng.choice((FaultKind.TICK_SIZE, FaultKind.HALT, FaultKind.DELIST, FaultKind.CROSS))
    return Fault(
        kind=kind,
        at_s=at_s,
        for_s=_lasting(rng, 0.5, 5.0),
        symbols=(symbol,),
        tick_ratio=rng.choice((2, 5, 10, 100)),
        emptied=rng.random() < 0.5,
    )


def _venue(rng: Random, at_s: float, symbol: str) -> Fault:
    del symbol
    kind = rng.choice((FaultKind.CLOCK_SKEW, FaultKind.EXPIRE_KEYS, FaultKind.REFUSE_KEYS))
    if kind is FaultKind.EXPIRE_KEYS:
        return Fault(kind=kind, at_s=at_s)
    offset_s = _round(rng.uniform(1.5, 30.0) * rng.choice((-1, 1)))
    return Fault(
        kind=kind,
        at_s=at_s,
        for_s=_lasting(rng, 0.5, 3.0),
        offset_s=offset_s if kind is FaultKind.CLOCK_SKEW else 0.0,
    )


_DRAWS: tuple[Draw, ...] = (
    _frames(FaultKind.DROP),
    _frames(FaultKind.DELAY, delay_s=0.4, jitter_s=0.35),
    _frames(FaultKind.DUPLICATE),
    _frames(FaultKind.REORDER),
    _corrupt,
    _silence,
    _cut,
    _refuse,
    _status,
    _answer,
    _market,
    _venue,
)


def fault_schedule(
    seed: int,
    duration_s: float,
    intensity: float = 1.0,
    *,
    symbols: Sequence[str] = ("BTCUSDT",),
    kinds: Sequence[FaultKind] = (),
) -> list[Fault]:
    """Make the faults of ``duration_s``, in order of their beginning; equal arguments give equal faults.

    Each fault has its ``at_s`` within the duration and ends by itself at most 6 s later, so that
    ``duration_s + 6`` after it was begun a venue is sound again.

    Args:
        seed: of everything.
        duration_s: faults begin within it.
        intensity: 1 begins a fault every 2 s on average, 2 twice as many.
        symbols: the venue's names of the markets that may be halted, delisted and so on.
        kinds: only these; empty for all.

    Raises:
        ValueError: no symbol, or a number that makes no schedule.
    """
    if not symbols or duration_s < 0.0 or intensity <= 0.0:
        raise ValueError("fault_schedule: name a symbol; duration_s at least 0, intensity above 0")
    rng = Random(f"faults:{seed}")  # noqa: S311 - a simulation, not a secret
    faults: list[Fault] = []
    at_s = rng.expovariate(intensity / EVERY_S)
    while at_s < duration_s:
        fault = rng.choice(_DRAWS)(rng, _round(at_s), rng.choice(list(symbols)))
        if not kinds or fault.kind in kinds:
            faults.append(fault)
        at_s += rng.expovariate(intensity / EVERY_S)
    return faults
