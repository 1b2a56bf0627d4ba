"""Forecasts of several estimators mixed into one by the gate's weights. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from guard.calibration.kernel import averaged
from guard.forecasts import HazardForecast, ReachForecast
from guard.skill.gate import HAZARDS, Gate, Target


def mix_hazards(gate: Gate, said: Mapping[str, HazardForecast]) -> HazardForecast | None:
    """Mix what estimators say of one direction; ``None`` if none of them is known.

    Probabilities are averaged (the log loss of an average is at most the best one's plus the log of its weight), with
    the weights of each horizon; a longer horizon is never told less than a shorter one. Vulnerability and shock go by
    the weights of 15 minutes.
    """
    rows: list[tuple[float, ...]] = []
    for horizon, target in enumerate(HAZARDS):
        shares = gate.shares(target, said)
        if not shares:
            return None
        row = averaged(list(shares.values()), [said[name].probability[horizon] for name in shares])
        rows.append(tuple(map(max, row, rows[-1])) if rows else row)
    shares = gate.shares(Target.HAZARD_15, said)
    first = next(iter(said.values()))
    return HazardForecast(
        direction=first.direction,
        probability=tuple(rows),
        vulnerability=sum([share * said[name].vulnerability for name, share in shares.items()]),
        shock=sum([share * said[name].shock for name, share in shares.items()]),
    )


def mix_reaches(
    gate: Gate, said: Mapping[str, ReachForecast], structure: ReachForecast | None = None
) -> ReachForecast | None:
    """Mix distributions of the reach in one direction; all but the distribution is of ``structure``.

    Probabilities are averaged, and quantiles are (Lichtendahl, Grushka-Cockayne and Winkler, Management Science 59
    (2013): averaged quantiles stay sharp where averaged probabilities spread). Without a ``structure`` it is the one of
    the estimator that counts most.
    """
    shares = gate.shares(Target.REACH, said)
    if not shares:
        return None
    if structure is None:
        structure = said[max(shares, key=lambda name: shares[name])]
    weights, counted = list(shares.values()), [said[name] for name in shares]
    return msgspec.structs.replace(
        structure,
        quantiles=averaged(weights, [each.quantiles for each in counted]),
        probability=averaged(weights, [each.probability for each in counted]),
        expected=sum([share * each.expected for share, each in zip(weights, counted, strict=True)]),
    )
