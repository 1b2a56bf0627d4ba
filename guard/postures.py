"""The desired state of each bot as a versioned posture: when to publish it and whether it tightens. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import structs

from guard.commands import PublishPosture
from guard.desired import Limits
from guard.ladder import Rung, rung_of
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_S, BotId, MarketId, Nanoseconds, ms_of, symbol_of
from perpguard_sdk.limits import of_posture, tightest
from perpguard_sdk.messages import Entries, Posture, StopRule


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureSettings:
    """How long a posture holds and how often it is refreshed, seconds."""

    ttl_s: float
    refresh_s: float


@dataclass(slots=True)
class _Published:
    """``seen`` is what ``posture`` was made of, unless more went into it than is wanted."""

    version: int
    posture: Posture | None = None
    refresh_at: Nanoseconds = 0
    seen: tuple[object, ...] | None = None


@dataclass(slots=True)
class PostureBook:
    """What was last published for each bot."""

    settings: PostureSettings
    _published: dict[BotId, _Published] = field(default_factory=dict)

    def restart(self, state: GuardState) -> None:
        """Begin an epoch: everything is published anew, with versions above all that were ever seen."""
        for bot in state.bots:
            known = self._published.get(bot)
            floor = state.floors.get(bot)
            version = max(known.version if known else 0, floor.version if floor else 0)
            self._published[bot] = _Published(version)

    def forget_shortcuts(self) -> None:
        """Compare whole postures at the next step."""
        for known in self._published.values():
            known.seen = None

    def raise_to(self, bot: BotId, version: int) -> None:
        """Publish above a version that the bot may have seen from a former guard."""
        known = self._published.setdefault(bot, _Published(version))
        known.version = max(known.version, version)

    def refresh_now(self, bot: BotId) -> None:
        """Publish again at the next step, changed or not."""
        if bot in self._published:
            self._published[bot].refresh_at = 0

    def version(self, bot: BotId) -> int:
        """The version that was last published, 0 before the first."""
        known = self._published.get(bot)
        return known.version if known else 0

    def publish(
        self,
        record: BotRecord,
        limits: Mapping[MarketId, Limits],
        state: GuardState,
        now: Nanoseconds,
        *,
        is_other: bool = True,
    ) -> PublishPosture | None:
        """Return the posture to publish now, ``None`` if the published one still stands and is fresh.

        ``is_other`` says whether the limits may be others than at the last call.
        """
        bot = record.config.bot
        known = self._published.setdefault(bot, _Published(0))
        reported_version = record.reported.posture_version if record.reported is not None else 0
        if reported_version > known.version:
            # Somebody was here before us: go above.
            known.version, known.posture, known.seen = reported_version, None, None
        is_same = known.seen is not None and known.seen[:2] == (state.epoch, state.session)
        if is_same and not is_other and now < known.refresh_at:
            return None
        seen = _seen(limits, state)
        if seen == known.seen and now < known.refresh_at:
            return None
        posture = _posture(bot, limits, state, known.version, now, self.settings.ttl_s)
        changed = known.posture is None or not _same_content(posture, known.posture)
        if not changed:
            known.seen = seen
        if not changed and now < known.refresh_at:
            return None
        # The first of an epoch may be looser than what the bot remembers of a guard that nobody else does.
        tightens = known.posture is not None and is_tighter_anywhere(posture, known.posture)
        if changed:
            known.version += 1
            known.seen = None
            if tightens and known.posture is not None:
                # What tightens must not wait for the disk and what loosens must: the rest follows as a
                # version of its own at the next step.
                posture = no_looser(posture, known.posture)
            posture = structs.replace(posture, version=known.version)
        known.posture = posture
        known.refresh_at = now + int(self.settings.refresh_s * NS_PER_S)
        return PublishPosture(posture=posture, tightens=changed and tightens, changed=changed)


def no_looser(new: Posture, old: Posture) -> Posture:
    """Return ``new`` with all that ``old`` restricts beside it."""
    both = tightest(of_posture(old), of_posture(new))
    return structs.replace(
        new,
        entries=both.entries,
        max_leverage=both.max_leverage,
        max_size=both.max_size,
        stops={**old.stops, **new.stops},
        entry_share=both.entry_share,
        flattened=tuple(sorted({*old.flattened, *new.flattened})),
        rungs={**old.rungs, **new.rungs},
        reasons=tuple(sorted({*old.reasons, *new.reasons})),
    )


def is_tighter_anywhere(new: Posture, old: Posture) -> bool:
    """Whether any key of ``new`` is tighter than in ``old``; a moved stop counts as tighter."""
    return (
        any(
            entries.tightness > old.entries.get(symbol, Entries.ALLOWED).tightness
            for symbol, entries in new.entries.items()
        )
        or any(
            value < old.max_leverage.get(symbol, float("inf")) for symbol, value in new.max_leverage.items()
        )
        or any(value < old.max_size.get(symbol, float("inf")) for symbol, value in new.max_size.items())
        or any(share < old.entry_share.get(symbol, 1.0) for symbol, share in new.entry_share.items())
        or any(rule != old.stops.get(symbol) for symbol, rule in new.stops.items())
    )


def _posture(
    bot: BotId,
    limits: Mapping[MarketId, Limits],
    state: GuardState,
    version: int,
    now: Nanoseconds,
    ttl_s: float,
) -> Posture:
    entries: dict[str, Entries] = {}
    max_leverage: dict[str, float] = {}
    max_size: dict[str, float] = {}
    stops: dict[str, StopRule] = {}
    entry_share: dict[str, float] = {}
    rungs: dict[str, str] = {}
    reasons: set[str] = set()
    for market, limit in limits.items():
        symbol = symbol_of(market)
        if limit.entries is not Entries.ALLOWED:
            entries[symbol] = limit.entries
        if limit.max_leverage is not None:
            max_leverage[symbol] = limit.max_leverage
        if limit.max_size is not None:
            max_size[symbol] = limit.max_size
        if limit.stop is not None:
            stops[symbol] = limit.stop
        if (rung := rung_of(limit)) is not Rung.ADVISE:
            rungs[symbol] = rung.value
        if limit.entry_share < 1.0:
            entry_share[symbol] = limit.entry_share
        reasons.update(cause.reason for cause in limit.causes if cause is not None)
    return Posture(
        bot=bot,
        version=version,
        epoch=state.epoch,
        session=state.session,
        ts=ms_of(now),
        expires_at=ms_of(now) + int(ttl_s * 1000),
        mode=state.mode,
        entries=entries,
        max_leverage=max_leverage,
        max_size=max_size,
        stops=stops,
        entry_share=entry_share,
        flattened=tuple(sorted(symbol_of(market) for market, limit in limits.items() if limit.flattened)),
        rungs=rungs,
        reasons=tuple(sorted(reasons)),
    )


def _seen(limits: Mapping[MarketId, Limits], state: GuardState) -> tuple[object, ...]:
    """All that decides about what a posture says, its reasons apart."""
    parts = [(market, *limit.parts) for market, limit in limits.items() if limit.restricts]
    return state.epoch, state.session, parts


def _same_content(first: Posture, second: Posture) -> bool:
    return _content(first) == _content(second)


def _content(posture: Posture) -> tuple[object, ...]:
    return of_posture(posture), posture.flattened, posture.epoch, posture.session
