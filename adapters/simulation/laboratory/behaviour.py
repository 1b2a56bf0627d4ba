"""How those who trade in a made-up market behave, as pure formulas that orders and depth curves share.

Distances are basis points of mid, amounts USD or depths (what a symbol's makers rest within 1 % of mid when calm),
times seconds. No state, no randomness: what is kept and what is drawn is its callers'.
"""

from __future__ import annotations

import math

LOG2 = 0.6931471805599453
DAY_S = 86_400.0
WORLD_WILLINGNESS_MIN = 0.05
TURN = 6.283185307179586


def keep_ratio(seconds: float, half_life_s: float) -> float:
    """Tell which part is left of what halves in each ``half_life_s``; none where that is 0."""
    if half_life_s <= 0.0:
        return 0.0
    return math.exp(-LOG2 * seconds / half_life_s)


def decay_per_s(half_life_s: float) -> float:
    """Tell which part a second takes, at first, of what halves in each ``half_life_s``."""
    return LOG2 / half_life_s


def season(second_of_day: float, ratio: float) -> float:
    """Tell volume and depth at a second of the (UTC) day as a ratio of their mean: highest at 15:00, lowest at 3:00."""
    phase = TURN * (second_of_day / DAY_S - 0.625)
    return 1.0 + ratio * math.cos(phase)


def withdrawal(z: float, withdraw_z: float, withdraw_power: float) -> float:
    """Tell which share of its depth a maker leaves when price moved ``z`` of its usual deviations: w(z)."""
    if withdraw_z <= 0.0:
        return 1.0
    return 1.0 / (1.0 + math.pow(math.fabs(z) / withdraw_z, withdraw_power))


def balance_ratio(equity: float, capital: float, floor_ratio: float) -> float:
    """Tell what a maker's balance sheet leaves of its willingness: 1 with all its capital, 0 at the floor."""
    if capital <= 0.0:
        return 1.0
    left = (equity / capital - floor_ratio) / (1.0 - floor_ratio)
    return 1.0 if left > 1.0 else max(left, 0.0)


def willingness_target(
    z: float,
    z_elsewhere: float,
    withdraw_z: float,
    withdraw_power: float,
    signal_ratio: float,
    balance: float,
    drive: float,
    floor: float,
) -> float:
    """Tell where a maker's willingness goes: ``w(z) * w(signal_ratio * z_elsewhere) * balance * drive``, floored."""
    here = withdrawal(z, withdraw_z, withdraw_power)
    there = withdrawal(signal_ratio * z_elsewhere, withdraw_z, withdraw_power)
    target = here * there * balance * drive
    return 1.0 if target > 1.0 else max(target, floor)


def willingness_next(willingness: float, target: float, fall_keep: float, refill_keep: float) -> float:
    """Tell the willingness one step on.

    It falls by ``fall_keep`` of its distance to the target (``exp(-dt / reaction_s)``). It rises by ``refill_keep``
    (``keep_ratio(dt, refill_half_life_s)``) of its distance in the log: from a hundredth to a tenth takes as long as
    from there to about a third, so that a book that was emptied stays thin for several half-lives.
    """
    if target <= willingness:
        return target + (willingness - target) * fall_keep
    if willingness > 0.999 * target:
        return target
    return target * math.pow(willingness / target, refill_keep)


def half_spread_bps(
    willingness: float,
    half_spread_calm_bps: float,
    spread_ratio: float,
    spread_exponent: float,
    reach_bps: float,
) -> float:
    """Tell how far from its fair price a maker's best order is; half its reach at most."""
    wide = half_spread_calm_bps * spread_ratio * math.pow(willingness, -spread_exponent)
    return min(wide, 0.5 * reach_bps)


def rested_usd(distance_bps: float, spread_bps: float, depth_usd: float, kappa: float) -> float:
    """Tell B(x), what rests within a distance on one side; ``depth_usd`` is willingness times the calm depth."""
    beyond = distance_bps - spread_bps
    if beyond <= 0.0:
        return 0.0
    return depth_usd * math.pow(beyond / 100.0, kappa)


def distance_bps(amount_usd: float, spread_bps: float, depth_usd: float, kappa: float) -> float:
    """Tell within which distance so much rests, B's inverse; nothing is within the half spread."""
    if amount_usd <= 0.0 or depth_usd <= 0.0:
        return spread_bps
    return spread_bps + 100.0 * math.pow(amount_usd / depth_usd, 1.0 / kappa)


def patient_depths(distance: float, depths: float, from_bps: float) -> float:
    """Tell what patient orders rest within a distance (bps): as much in each equal ratio, to ten times ``from_bps``."""
    if distance <= from_bps:
        return 0.0
    if distance >= 10.0 * from_bps:
        return depths
    return depths * math.log(distance / from_bps) / 2.302585092994046


def noise_usd_median(trade_usd: float, depth_usd: float) -> float:
    """Tell the median size of a noise trade: by the square root of depth, ``trade_usd`` at 1 million."""
    return trade_usd * math.sqrt(depth_usd / 1e6)


def noise_trades_per_s(volume_day_usd: float, usd_median: float, log_sd: float) -> float:
    """Tell how many noise trades there are a second on the mean of the day."""
    return volume_day_usd / DAY_S / (usd_median * math.exp(0.5 * log_sd * log_sd))


def activity(z: float) -> float:
    """Tell how much more there is traded when price moves: as many again per three usual deviations, four at most."""
    return 1.0 + min(math.fabs(z) / 3.0, 3.0)


def momentum_depths_per_s(z: float, momentum_depths: float) -> float:
    """Tell what trend followers take (signed) with the last five minutes' move, ten deviations of it at most."""
    clipped = max(min(z, 10.0), -10.0)
    return clipped * momentum_depths / 60.0


def value_depths_per_s(gap_bps: float, value_bps: float, value_depths: float) -> float:
    """Tell what value traders take when price is ``gap_bps`` above value (below 0: below it): against the gap."""
    beyond = math.fabs(gap_bps) - value_bps
    if beyond <= 0.0:
        return 0.0
    rate = beyond / 100.0 * value_depths / 60.0
    return -rate if gap_bps > 0.0 else rate


def arbitrage_depths_per_s(gap_bps: float, threshold_bps: float, depths_per_s: float) -> float:
    """Tell what arbitrage takes when the book is ``gap_bps`` above the world's price: against the gap."""
    beyond = math.fabs(gap_bps) - threshold_bps
    if beyond <= 0.0:
        return 0.0
    rate = beyond / 10.0 * depths_per_s
    return -rate if gap_bps > 0.0 else rate


def room_ratio(inventory: float, side: int, limit: float) -> float:
    """Tell how much of its usual somebody trades who holds ``inventory`` of at most ``limit``; all on the way back."""
    if limit <= 0.0:
        return 0.0
    used = inventory * side / limit
    if used <= 0.0:
        return 1.0
    return max(1.0 - used, 0.0)


def entries_per_s(open_target: float, open_now: float, holding_half_life_s: float) -> float:
    """Tell what the crowd opens a second, in the unit of what it holds.

    As much as leaves by itself from the usual open interest, and half of what is missing of that in each half-life,
    so that open interest is stationary and comes back within half-lives from a crash.
    """
    rate = decay_per_s(holding_half_life_s)
    return max(rate * open_target + rate * (open_target - open_now), 0.0)


def flight_ratio(z: float, flight: float) -> float:
    """Tell how many positions are closed beyond the usual, as a multiple of it, after a move of ``z`` deviations.

    ``flight`` times what the move is beyond 3 deviations, of which 40 count: people take what they have won or save
    what is left, longs and shorts alike.
    """
    return flight * min(max(math.fabs(z) - 3.0, 0.0), 40.0)


def entry_long_ratio(momentum: float, z: float) -> float:
    """Tell the share of longs among entries after an hour's move of ``z`` (signed, three at most)."""
    clipped = max(min(z, 3.0), -3.0)
    longs = 1.0 + momentum * max(clipped, 0.0)
    shorts = 1.0 + momentum * max(-clipped, 0.0)
    return longs / (longs + shorts)


def world_log_move(depths: float, spot_depth_ratio: float, willingness: float, thinning: float) -> float:
    """Tell how far trading moves the world's price (log).

    By 1 % per ``spot_depth_ratio`` depths (of all venues of the symbol together, signed) when calm; when makers are
    willing to ``willingness`` here, what rests in the world is ``willingness**thinning`` of its usual; below a
    willingness of 0.05 it gets no less, as the world is many markets.
    """
    return 0.01 * depths / (spot_depth_ratio * math.pow(max(willingness, WORLD_WILLINGNESS_MIN), thinning))


def usual_deviation(volatility_day: float, seconds: float) -> float:
    """Tell the standard deviation of the log price's move over a time from that over a day."""
    return volatility_day * math.sqrt(seconds / DAY_S)


def volatility_of(beta: float, factor_volatility_day: float, own_volatility_day: float) -> float:
    """Tell a symbol's volatility over a day from its two parts."""
    common = beta * factor_volatility_day
    return math.sqrt(common * common + own_volatility_day * own_volatility_day)
