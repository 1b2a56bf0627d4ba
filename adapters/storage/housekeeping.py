"""Looks after what is stored while the guard runs: rotation, retention, quota, and files that were taken away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from adapters.storage import rotation
from adapters.storage.connection import absolute
from adapters.storage.keeper import AuditKeeper
from adapters.storage.samples import SampleRecorder
from adapters.storage.settings import MB, AuditSettings, SamplesSettings
from adapters.storage.usage import Usage, usage_of
from guard.errors import AuditError
from guard.events import LinkChanged, LinkKind
from guard.ports import Clock, Emit
from guard.units import NS_PER_S, Nanoseconds

TURN_S = 1.0
CHECK_S = 10.0
"""Rotation, retention and space are looked at so often; at a hundred decisions a second that is 2 MB."""
RESUME_RATIO = 1.1
"""Samples resume when so much of ``free_mb_min`` is free, so that they do not come and go."""

log = structlog.get_logger()


def free_bytes_at(audit: AuditSettings) -> int:
    """What is left on the disk of the record. Raises OSError."""
    folder = next(each for each in absolute(audit.path).parents if each.exists())
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


@dataclass(slots=True)
class Housekeeping:
    """Fulfils Feed of guard.ports: what it has to say are changes of the link ``disk``."""

    keeper: AuditKeeper
    samples: SampleRecorder
    audit_settings: AuditSettings
    sample_settings: SamplesSettings
    clock: Clock
    free_bytes: Callable[[AuditSettings], int] = free_bytes_at
    name: str = "storage"
    _checked_at: Nanoseconds | None = None
    _short: str = ""
    _failed: str = ""

    async def run(self, emit: Emit) -> None:
        """Look after it until cancelled; what fails is said once and tried again."""
        try:
            while True:
                await self.turn(emit)
                await self.clock.sleep_until(self.clock.now() + int(TURN_S * NS_PER_S))
        finally:
            # Shielded: what was sampled until now is worth a moment, also of a guard that stops.
            await asyncio.shield(self.samples.flush())

    async def turn(self, emit: Emit) -> None:
        """Do once what is due."""
        failed: list[str] = []
        now = self.clock.now()
        is_due = self._checked_at is None or now - self._checked_at >= CHECK_S * NS_PER_S
        if is_due:
            self._checked_at = now
        # Space first: on a full disk nothing else can be done. One that fails must not keep the others.
        jobs = (self._look_at_space, self._rotate, self._keep_samples) if is_due else ()
        for job in (self._stay_in_place, *jobs):
            try:
                await job(emit, now)
            except (AuditError, OSError) as error:
                failed.append(str(error))
        said = "; ".join(dict.fromkeys(failed))
        if said and said != self._failed:
            log.error("the record cannot be looked after, trying again", error=said)
        self._failed = said

    async def _stay_in_place(self, emit: Emit, now: Nanoseconds) -> None:
        del emit, now
        await self.samples.flush_when_due()
        await self.keeper.opened()

    async def _rotate(self, emit: Emit, now: Nanoseconds) -> None:
        del emit
        audit = await self.keeper.opened()
        if await rotation.is_due(audit, self.audit_settings, now):
            await rotation.rotate(audit, now)
        else:
            await rotation.finish(audit)
        await rotation.retire_old(audit, self.audit_settings, now)

    async def _keep_samples(self, emit: Emit, now: Nanoseconds) -> None:
        del emit
        await self.samples.seal_and_retire(self.keeper, now)

    async def _look_at_space(self, emit: Emit, now: Nanoseconds) -> None:
        short = await self._shortage()
        while short and await self._make_room(now, short):
            short = await self._shortage()
        free_mb = await asyncio.to_thread(self.free_bytes, self.audit_settings) / MB
        limit_mb = self.audit_settings.free_mb_min
        if free_mb < limit_mb:
            self.samples.pause(short)
        elif free_mb >= limit_mb * RESUME_RATIO or not limit_mb:
            self.samples.resume()
        if short != self._short:
            if short:
                log.warning("space is short", detail=short)
            elif self._short:
                log.info("space is not short any more")
            if short or self._short:
                emit(
                    LinkChanged(
                        received_at=self.clock.now(),
                        link=LinkKind.DISK,
                        up=not short,
                        detail=short or "there is space again",
                    )
                )
            self._short = short

    async def _make_room(self, now: Nanoseconds, why: str) -> bool:
        """Remove the oldest samples, then the oldest segment that may go; return whether anything was removed."""
        if await self.samples.retire_oldest(self.keeper, now, why):
            return True
        audit = await self.keeper.opened()
        return await rotation.retire_one_for_space(audit, self.audit_settings, now, why)

    async def _shortage(self) -> str:
        """What is short, in words that do not change while it stays so; empty if nothing is."""
        settings = self.audit_settings
        free_mb = await asyncio.to_thread(self.free_bytes, settings) / MB
        if free_mb < settings.free_mb_min:
            return (
                f"less than {settings.free_mb_min:g} MB (audit.free_mb_min) are left on the disk of "
                f"{absolute(settings.path).parent}: free some; no samples are kept until then"
            )
        usage: Usage = await asyncio.to_thread(usage_of, absolute(settings.path), self.sample_settings)
        if usage.total_bytes > settings.quota_mb * MB:
            return (
                f"the record, its samples and what is kept aside take more than {settings.quota_mb:g} MB "
                "(audit.quota_mb), and nothing of it may be removed: raise it, lower audit.keep_days_min, or "
                "move away what is kept aside"
            )
        return ""
