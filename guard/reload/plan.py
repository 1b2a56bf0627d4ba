"""What changes when the settings are read again while the guard runs: each difference, and what it needs. No I/O.

Lists are told by name, so that a bot put in front of another does not change all that follow. Nothing
that is secret is told: the settings hold no secret, and the few places where one might stand are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from adapters.mqtt.settings import BrokerKind
from guard.audit import SettingChange
from guard.configuration import Settings
from guard.settings import SECRET_WORDS

ABSENT = "absent"
PRESENT = "present"
HIDDEN = "(not shown)"
SHOWN_MAX = 200
"""Characters of a value: a list of symbols may be long."""

NEUTRAL, TIGHTENS = "neutral", "tightens"
LOOSENS = "loosens"
MAY_LOOSEN = "may loosen"

LIVE = (
    "guard.profile",
    "guard.signals",
    "guard.watch_settings",
    "venues.",
    "bots.",
    "positions.",
    "log.level",
    "baseline.",
    "outlook.",
    "policies.",
    "arbiter.",
    "dispatch.",
    "notices.",
    "bill.",
)
"""What can change while the guard runs; all else needs a restart."""

READ_AGAIN = frozenset({"broker.password", "broker.tls_key_passphrase"})
"""Secrets of an external broker: they are read at each connection, so the next one takes them anyway."""

_NAMED = {"bots": "name", "venues": "id"}
_MOVES = re.compile(r"bots\.[^.]+\.(venue|account)$")
"""A bot that trades elsewhere is another bot: what is known of it and said to it would not hold."""

_LOWER_LOOSENS = frozenset(
    {
        "arbiter.hold_down_s",
        "arbiter.step_s",
        "arbiter.damping_max",
        "baseline.freeze_ratio",
        "baseline.freeze_s_max",
        "baseline.freeze_z",
        "baseline.recover_ms",
        "baseline.warm_up_s",
        "policies.contain_collateral.ratio_min",
        "policies.contain_collateral.shock_share",
        "policies.cut_leverage.buffer_bps",
        "policies.cut_leverage.distance_bps_max",
        "policies.cut_leverage.exit_multiple",
        "policies.cut_leverage.margin_ratio",
        "policies.cut_leverage.reach_multiple",
        "policies.cut_leverage.shock_multiple",
        "policies.distrust_bots.refused_s",
        "policies.deleverage_exposure.margin_ratio",
        "policies.deleverage_exposure.survive_bps",
        "policies.drawdown_brake.reduce_by",
        "policies.drawdown_brake.window_h",
        "policies.margin_tightening.stand_s",
        "policies.pause_entries.collapse_ratio",
        "policies.pause_entries.depth_z",
        "policies.pause_entries.thin_ratio",
        "policies.respect_latency.actions_min",
        "policies.respect_latency.margin_ratio",
        "policies.respect_latency.slow_factor_max",
        "policies.widen_stops.beyond_ratio",
        "policies.widen_stops.thin_ratio",
        "policies.widen_stops.wick_multiple",
    }
)
_HIGHER_LOOSENS = frozenset(
    {
        "arbiter.change_ratio_min",
        "baseline.stale_ms_min",
        "policies.contain_collateral.concentration_max",
        "policies.contain_collateral.confirm_s",
        "policies.contain_collateral.expected_share",
        "policies.contain_collateral.part_min",
        "policies.contain_collateral.share_min",
        "policies.cut_leverage.cap_multiple",
        "policies.cut_leverage.confirm_s",
        "policies.cut_leverage.reported_s",
        "policies.distrust_bots.clock_offset_ms",
        "policies.distrust_bots.refused_max",
        "policies.distrust_bots.silent_s",
        "policies.distrust_collateral.confirm_s",
        "policies.distrust_collateral.fallen_share",
        "policies.distrust_collateral.share_min",
        "policies.distrust_stale_data.reported_s",
        "policies.distrust_stale_data.starting_s",
        "policies.deleverage_exposure.confirm_s",
        "policies.deleverage_exposure.rank_high",
        "policies.deleverage_exposure.rank_min",
        "policies.deleverage_exposure.reported_s",
        "policies.drawdown_brake.confirm_s",
        "policies.drawdown_brake.flatten_share",
        "policies.drawdown_brake.no_adds_share",
        "policies.drawdown_brake.reduce_share",
        "policies.drawdown_brake.reported_s",
        "policies.drawdown_brake.safe_leverage",
        "policies.drawdown_brake.safe_share",
        "policies.margin_tightening.loss_share",
        "policies.pause_entries.collapse_s",
        "policies.pause_entries.confirm_s",
        "policies.pause_entries.spread_bps_min",
        "policies.pause_entries.spread_ratio",
        "policies.respect_latency.cascade_s",
        "policies.respect_latency.confirm_s",
        "policies.respect_latency.lag_rise_s",
        "policies.respect_latency.reported_s",
        "policies.respect_latency.slow_confirm_s",
        "policies.respect_latency.slow_ratio",
        "policies.respect_latency.slow_s_min",
        "policies.widen_stops.confirm_s",
    }
)
_NEUTRAL = ("guard.", "log.", "dispatch.", "venues.", "bots.", "bill.")
"""Neither looser nor tighter by themselves; what is taken out of a list is told apart before."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What reading the settings again comes to.

    Attributes:
        changes: every difference, in the order of the file.
        restart: paths that cannot change while the guard runs; if there are any, nothing changes.
        venues: whose feeds are ended, begun, or both.
        positions: whether what is asked about changes.
    """

    changes: tuple[SettingChange, ...]
    restart: tuple[str, ...]
    venues: frozenset[str]
    positions: bool

    @property
    def loosening(self) -> tuple[SettingChange, ...]:
        """Those that take protection away, or may."""
        return tuple(each for each in self.changes if each.effect.startswith((LOOSENS, MAY_LOOSEN)))


def plan(
    old: Settings,
    new: Settings,
    old_secrets: Mapping[str, bytes] | None = None,
    new_secrets: Mapping[str, bytes] | None = None,
) -> Plan:
    """Compare two settings and what their secrets are; a secret that differs is told by its path alone."""
    changes = [*difference(old, new), *_secret_changes(old, new, old_secrets or {}, new_secrets or {})]
    read_again = READ_AGAIN if new.broker.kind is BrokerKind.EXTERNAL else frozenset()
    restart = tuple(each.path for each in changes if not is_live(each.path) and each.path not in read_again)
    venues = {each.path.split(".")[1] for each in changes if each.path.startswith("venues.")}
    return Plan(
        changes=tuple(changes),
        restart=restart,
        venues=frozenset(venues),
        positions=any(each.path.startswith("positions.") for each in changes),
    )


def is_live(path: str) -> bool:
    """Whether a setting may change while the guard runs.

    >>> is_live("policies.pause_entries.depth_z"), is_live("broker.host"), is_live("bots.alpha.account")
    (True, False, False)
    """
    return path.startswith(LIVE) and _MOVES.match(path) is None


def difference(old: BaseModel, new: BaseModel) -> Iterator[SettingChange]:
    """Yield every setting that differs, what is gone before what is new; a whole bot or venue as one."""
    before, after = _flat(_plain(old)), _flat(_plain(new))
    for path in [*before, *(path for path in after if path not in before)]:
        was, now = before.get(path, _NOTHING), after.get(path, _NOTHING)
        if was == now or _within_absent(path, before, after):
            continue
        yield SettingChange(
            path=path, old=_shown(path, was), new=_shown(path, now), effect=effect(path, was, now)
        )


def effect(path: str, old: object, new: object) -> str:  # noqa: PLR0911 (one case a line is the table)
    """What a change does to protection, in words.

    >>> effect("policies.pause_entries.depth_z", -3.0, -5.0), effect("policies.pause_entries.depth_z", -3.0, -2.0)
    ('loosens', 'tightens')
    """
    told = _effect_on_list(path, old, new)
    if told is not None:
        return told
    if path == "outlook.enabled":
        return TIGHTENS if new else f"{LOOSENS}: nothing is estimated of cascades any more"
    if path.endswith(".enabled") and not path.startswith("bill."):
        return TIGHTENS if new else f"{LOOSENS}: the policy does not decide any more"
    if path == "guard.mode":
        return f"{LOOSENS}: {'commands go to real bots' if new == 'live' else 'real bots hear nothing more'}"
    if isinstance(old, int | float) and isinstance(new, int | float):
        if path in _LOWER_LOOSENS:
            return LOOSENS if new < old else TIGHTENS
        if path in _HIGHER_LOOSENS:
            return LOOSENS if new > old else TIGHTENS
    return NEUTRAL if path.startswith(_NEUTRAL) or not is_live(path) else MAY_LOOSEN


def _effect_on_list(path: str, old: object, new: object) -> str | None:  # noqa: PLR0911 (the same)
    if new is _NOTHING:
        match path.split("."):
            case ["bots", _]:
                return f"{LOOSENS}: the bot is not commanded any more and goes to its safe mode"
            case ["venues", _]:
                return f"{LOOSENS}: the venue is not watched any more"
            case ["venues", _, "accounts", _]:
                return f"{LOOSENS}: the account is not read any more"
            case ["positions", *_]:
                return f"{LOOSENS}: the position is not asked about any more"
    if old is _NOTHING and len(path.split(".")) == len(("bots", "alpha")):
        return TIGHTENS
    if path.endswith(".symbols") and isinstance(old, list) and isinstance(new, list):
        gone = [symbol for symbol in old if symbol not in new]
        if gone and (new or path.startswith("venues.")):
            return f"{LOOSENS}: {', '.join(gone)} is not named any more"
        return NEUTRAL
    if re.match(r"venues\.[^.]+\.top$", path) and isinstance(old, int) and isinstance(new, int):
        return f"{LOOSENS}: fewer markets are watched" if new < old else TIGHTENS
    return None


_NOTHING = object()


def _plain(model: BaseModel) -> dict[str, Any]:
    """As plain values, lists of named tables by name and other tables in lists by their place."""
    data = model.model_dump(mode="json")
    for name, value in data.items():
        if isinstance(value, list) and name in {*_NAMED, "positions"}:
            key = _NAMED.get(name)
            data[name] = {str(each[key]) if key else str(at): each for at, each in enumerate(value)}
    return data


def _flat(value: object, path: str = "") -> dict[str, object]:
    """Every leaf by its path, and every named table by its own."""
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, object] = {}
    if _is_member(path):
        found[path] = PRESENT
    for name, each in value.items():
        found |= _flat(each, f"{path}.{name}" if path else str(name))
    return found


def _is_member(path: str) -> bool:
    """Whether the path is of one table among several: a bot, a venue, an account, a position.

    >>> _is_member("bots.alpha"), _is_member("bots.alpha.key_file"), _is_member("venues.okx.accounts.main")
    (True, False, True)
    """
    parts = path.split(".")
    return (len(parts) == len(("bots", "alpha")) and parts[0] in {*_NAMED, "positions"}) or (
        len(parts) == len(("venues", "okx", "accounts", "main"))
        and parts[0] == "venues"
        and parts[2] == "accounts"
    )


def _within_absent(path: str, before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether the setting stands in a table that is there only before or only after, which is told as a whole."""
    parts = path.split(".")
    parents = (".".join(parts[:end]) for end in range(1, len(parts)))
    return any(_is_member(parent) and (parent in before) != (parent in after) for parent in parents)


def _shown(path: str, value: object) -> str:
    if value is _NOTHING:
        return ABSENT
    if value is PRESENT:
        return PRESENT
    name = path.rsplit(".", 1)[-1]
    if ".options." in path or (_sounds_secret(name) and not name.endswith(("_file", "_env"))):
        return HIDDEN
    text = value if isinstance(value, str) else json.dumps(value)
    text = re.sub(r"//[^/@\s]+@", "//", text)  # a proxy's user and password
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + " ..."


def _sounds_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_WORDS)


def _secret_changes(
    old: Settings, new: Settings, old_secrets: Mapping[str, bytes], new_secrets: Mapping[str, bytes]
) -> Iterator[SettingChange]:
    before, after = _by_name(old, old_secrets), _by_name(new, new_secrets)
    for path, secret in after.items():
        if path in before and before[path] != secret:
            yield SettingChange(path=path, old=HIDDEN, new=f"{HIDDEN[:-1]}, another)", effect=NEUTRAL)


def _by_name(settings: Settings, secrets: Mapping[str, bytes]) -> dict[str, bytes]:
    named = {"bots": [bot.name for bot in settings.bots], "venues": [venue.id for venue in settings.venues]}

    def path_of(path: str) -> str:
        table, _, rest = path.partition(".")
        place, _, name = rest.partition(".")
        return f"{table}.{named[table][int(place)]}.{name}" if table in named else path

    return {path_of(path): secret for path, secret in secrets.items()}
