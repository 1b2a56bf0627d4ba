"""Topic names, built and taken apart in one place.

``{root}/v1/{site}/...``; while the guard is in paper mode its heartbeats, postures and commands live
under ``{root}/v1/{site}/shadow/...``, which only paper bots subscribe to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from perpguard_sdk.messages import Mode, Verb

_FORBIDDEN = set("/+#\x00")


class TopicKind(StrEnum):
    """What a topic carries."""

    GUARD_STATE = "guard_state"
    HEARTBEAT = "heartbeat"
    POSTURE = "posture"
    COMMAND = "command"
    BIRTH = "birth"
    BOT_STATE = "state"
    REPORTED = "reported"
    ACK = "ack"
    SIGNAL = "signal"
    NOTICE = "notice"
    OUTSIDE = "outside"
    INSTRUCTION = "instruction"


@dataclass(frozen=True, slots=True)
class ParsedTopic:
    """A topic taken apart: ``name`` is guard, bot, venue, fact or instruction, ``detail`` verb or symbol."""

    kind: TopicKind
    name: str
    detail: str = ""
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one site.

    >>> topics = Topics(site="home")
    >>> topics.command("alpha", Verb.PAUSE, Mode.LIVE)
    'perpguard/v1/home/command/alpha/pause'
    >>> topics.parse("perpguard/v1/home/shadow/posture/alpha")
    ParsedTopic(kind=<TopicKind.POSTURE: 'posture'>, name='alpha', detail='', shadow=True)
    >>> topics.parse("elsewhere/v1/home/posture/alpha") is None
    True
    """

    site: str
    root: str = "perpguard"

    def __post_init__(self) -> None:
        check_level(self.site, "site")
        check_level(self.root, "root")

    @property
    def base(self) -> str:
        return f"{self.root}/v1/{self.site}"

    def channel(self, mode: Mode) -> str:
        """The prefix under which a guard in ``mode`` speaks to bots."""
        return self.base if mode is Mode.LIVE else f"{self.base}/shadow"

    def guard_state(self, guard: str) -> str:
        return f"{self.base}/guard/{guard}/state"

    def notice(self, guard: str) -> str:
        """Where people, and what carries messages to them, hear of what matters."""
        return f"{self.base}/guard/{guard}/notice"

    def heartbeat(self, bot: str) -> str:
        """One topic whatever the mode: a live bot hears a paper guard and knows that it is not armed."""
        return f"{self.base}/heartbeat/{bot}"

    def posture(self, bot: str, mode: Mode) -> str:
        return f"{self.channel(mode)}/posture/{bot}"

    def command(self, bot: str, verb: Verb, mode: Mode) -> str:
        return f"{self.channel(mode)}/command/{bot}/{verb}"

    def birth(self, bot: str) -> str:
        return f"{self.base}/bot/{bot}/birth"

    def bot_state(self, bot: str) -> str:
        return f"{self.base}/bot/{bot}/state"

    def reported(self, bot: str) -> str:
        return f"{self.base}/bot/{bot}/reported"

    def ack(self, bot: str) -> str:
        return f"{self.base}/bot/{bot}/ack"

    def signal(self, venue: str, symbol: str) -> str:
        """Symbols hold a slash (``BTC/USDT:USDT``); it is written ``-`` in the topic."""
        return f"{self.base}/signal/{venue}/{symbol.replace('/', '-')}"

    def outside(self, name: str) -> str:
        """A fact from outside of all markets."""
        return f"{self.base}/outside/{name}"

    def instruction(self, name: str) -> str:
        """What a human tells the guard."""
        return f"{self.base}/instruction/{name}"

    def parse(self, topic: str) -> ParsedTopic | None:  # noqa: C901, PLR0911 (one case a line is the table)
        """Take a topic apart; ``None`` for one that is not of this site or that nothing defines."""
        prefix = self.base + "/"
        if not topic.startswith(prefix):
            return None
        levels = topic.removeprefix(prefix).split("/")
        shadow = levels[0] == "shadow"
        match levels[1:] if shadow else levels:
            case ["posture", bot]:
                return ParsedTopic(TopicKind.POSTURE, bot, shadow=shadow)
            case ["command", bot, verb]:
                return ParsedTopic(TopicKind.COMMAND, bot, verb, shadow=shadow)
            case ["heartbeat", bot] if not shadow:
                return ParsedTopic(TopicKind.HEARTBEAT, bot)
            case ["guard", guard, "state"] if not shadow:
                return ParsedTopic(TopicKind.GUARD_STATE, guard)
            case ["guard", guard, "notice"] if not shadow:
                return ParsedTopic(TopicKind.NOTICE, guard)
            case ["bot", bot, ("birth" | "state" | "reported" | "ack") as kind] if not shadow:
                return ParsedTopic(TopicKind(kind), bot)
            case ["signal", venue, symbol] if not shadow:
                return ParsedTopic(TopicKind.SIGNAL, venue, symbol)
            case ["outside", name] if not shadow:
                return ParsedTopic(TopicKind.OUTSIDE, name)
            case ["instruction", name] if not shadow:
                return ParsedTopic(TopicKind.INSTRUCTION, name)
            case _:
                return None


def check_level(name: str, what: str) -> str:
    """Return ``name`` if it can be one level of a topic.

    Raises:
        ValueError: it is empty or holds ``/``, ``+``, ``#`` or NUL.
    """
    if not name or _FORBIDDEN & set(name):
        raise ValueError(f"{what} {name!r} cannot be a topic level: it is empty or holds / + # or NUL")
    return name
