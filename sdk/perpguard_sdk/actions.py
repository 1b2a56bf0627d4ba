"""What the session asks its client to do. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import BotMessage, Command
from perpguard_sdk.records import StoredState


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Publish ``payload`` (``message``, signed) at QoS 1. A retained one replaces an unsent older one."""

    topic: str
    payload: bytes
    retain: bool
    message: BotMessage
    qos: int = 1


@dataclass(frozen=True, slots=True)
class Persist:
    """Save ``state``, then call ``on_persisted(token)``; it answers for all lower tokens too."""

    state: StoredState
    token: int


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute ``command``, whose intent is on the disk, then call ``on_executed``."""

    command: Command


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Say whether the effect of ``command``, begun before a crash, is there; then call ``on_executed``."""

    command: Command


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """Other limits are in force from now on."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class SafeModeEntered:
    """No new entries from now on; ``reason`` in plain words. ``LimitsChanged`` says the same for machines."""

    reason: str


@dataclass(frozen=True, slots=True)
class SafeModeLeft:
    """The guard has armed the bot, or a paper guard was heard by one that none ever armed."""


Action = Publish | Persist | Execute | Reconcile | LimitsChanged | SafeModeEntered | SafeModeLeft
