"""Bugs to plant, each a small change to one part; what the machine must say of it is told beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapters.mqtt.fence import EpochFence
from guard.arbiter import Arbiter
from guard.commands import PublishPosture
from guard.engine import Engine
from guard.ports import Claim, Clock
from guard.units import Nanoseconds
from perpguard_sdk.records import StoredState
from perpguard_sdk.session import BotSession
from perpguard_sdk.session_settings import SessionSettings
from tests.simulation import plants as campaign_plants


class Plant:
    """Nothing planted: the parts as they are. ``caught_by`` names the invariants that must see the bug."""

    name = ""
    caught_by: tuple[str, ...] = ()

    def session(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None,
        problem: str,
    ) -> BotSession:
        return BotSession(settings, session, stored, problem)

    def restored(self, stored: StoredState) -> StoredState:
        return stored

    def engine(self, engine: Engine) -> Engine:
        return engine

    def fence(self, fence: EpochFence) -> EpochFence:
        return fence

    def postures(self, postures: tuple[PublishPosture, ...]) -> Iterable[PublishPosture]:
        return postures


class DoubleExecution(Plant):
    """A bot that does not know again what it has done."""

    name = "double_execution"
    caught_by = ("no command twice",)

    def session(
        self, settings: SessionSettings, session: str, stored: StoredState | None, problem: str
    ) -> BotSession:
        return campaign_plants.DoubleExecution().session(settings, session, stored, problem, {})


class StaleExecution(Plant):
    """A bot that does not look when a command expires."""

    name = "stale_execution"
    caught_by = ("no command after its expiry",)

    def session(
        self, settings: SessionSettings, session: str, stored: StoredState | None, problem: str
    ) -> BotSession:
        return campaign_plants.StaleExecution().session(settings, session, stored, problem, {})


class LostTightening(Plant):
    """A guard that loses a tightening posture on its way out; its refreshes still go."""

    name = "lost_tightening"
    caught_by = ("no tightening is lost",)

    def postures(self, postures: tuple[PublishPosture, ...]) -> Iterable[PublishPosture]:
        return tuple(publish for publish in postures if not publish.tightens)


class EarlyLoosening(Plant):
    """A guard that knows no hold-down."""

    name = "early_loosening"
    caught_by = ("no restriction is loosened before its hold-down",)

    def engine(self, engine: Engine) -> Engine:
        engine.arbiter = _Impatient(engine.arbiter.settings)
        return engine


class _Impatient(Arbiter):
    @property
    def _hold_ns(self) -> Nanoseconds:
        return 0


class TwoLeaders(Plant):
    """A fence that does not give way, and listens to nobody before it claims."""

    name = "two_leaders"
    caught_by = ("two guards never both command",)

    def fence(self, fence: EpochFence) -> EpochFence:
        return _OpenFence(sessions=fence.sessions, quiet_ns=fence.quiet_ns, wait_ns=fence.wait_ns)


@dataclass(slots=True)
class _OpenFence(EpochFence):
    async def claim(self, stored_epoch: int, clock: Clock) -> Claim:
        self.epoch = stored_epoch + 1
        return Claim(epoch=self.epoch, floors=())

    def _meet(self, what: str, epoch: int, session: str) -> str:
        return ""


PLANTS: dict[str, Plant] = {
    plant.name: plant
    for plant in (
        DoubleExecution(),
        StaleExecution(),
        LostTightening(),
        EarlyLoosening(),
        TwoLeaders(),
    )
}
