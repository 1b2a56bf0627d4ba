"""What the guard tells a bot, built on the wire types of the SDK so that each message has one definition.

No I/O: a sink in adapters/mqtt signs and publishes what the engine returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from guard.units import BotId, Nanoseconds
from perpguard_sdk.messages import Command, Posture

__all__ = ["Command", "CommandOutcome", "OutcomeKind", "Posture", "PublishCommand", "PublishPosture"]


class OutcomeKind(StrEnum):
    """What became of a command, judged by its effect and never by its ack alone."""

    CONFIRMED = "confirmed"
    FAILED = "failed"
    UNVERIFIABLE = "unverifiable"
    SUPERSEDED = "superseded"


class CommandOutcome(Struct, frozen=True, kw_only=True, tag_field="type", tag="outcome"):
    """The end of one command: ``source`` says whose word the effect was read from."""

    command_id: str
    bot: BotId
    outcome: OutcomeKind
    source: str
    detail: str
    judged_at: Nanoseconds


class PublishCommand(Struct, frozen=True, kw_only=True, tag_field="type", tag="publish_command"):
    """Publish a command; ``attempt`` counts from 1, the id stays the same."""

    command: Command
    attempt: int


class PublishPosture(Struct, frozen=True, kw_only=True, tag_field="type", tag="publish_posture"):
    """Publish a bot's posture, retained. ``tightens`` is false if anything in it is looser than before."""

    posture: Posture
    tightens: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What to publish, and what became of earlier commands."""

    postures: tuple[PublishPosture, ...] = ()
    commands: tuple[PublishCommand, ...] = ()
    outcomes: tuple[CommandOutcome, ...] = ()
