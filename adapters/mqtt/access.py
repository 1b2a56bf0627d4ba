"""Who may read and write which topics: stated once, and spelled for each broker that can enforce it.

A bot may read what the guard says to it and to everybody, and write what is its own; nothing else. No
broker's wildcards stand for a bot's name, so one bot's rights never match another's topics.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from guard.errors import SettingsError
from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import Topics

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Names of bots and users that mean only themselves to every broker: neither a wildcard of MQTT or NATS, nor
a separator of one of their files."""


@dataclass(frozen=True, slots=True)
class BotAccess:
    """A bot as a broker knows it: ``user`` is the name with which it logs in."""

    bot: str
    user: str

    def __post_init__(self) -> None:
        check_name(self.bot, "bots.N.name")
        check_name(self.user, "bots.N.user")


@dataclass(frozen=True, slots=True)
class TellerAccess:
    """Somebody who tells facts from outside and may do nothing else; ``user`` is the name to log in with."""

    user: str

    def __post_init__(self) -> None:
        check_name(self.user, "broker.outside_user")


Access = BotAccess | TellerAccess


@dataclass(frozen=True, slots=True)
class Rights:
    """Topic filters, of which each right is one."""

    read: tuple[str, ...]
    write: tuple[str, ...]


def bot_rights(topics: Topics, bot: str) -> Rights:
    """All that a bot needs, in both modes, so that going live changes nothing at the broker.

    Raises:
        SettingsError: site or root hold what some broker takes for a wildcard.
    """
    check_site(topics)
    listens = [topics.heartbeat(bot)]
    for mode in (Mode.LIVE, Mode.PAPER):
        listens += [topics.posture(bot, mode), f"{topics.channel(mode)}/command/{bot}/+"]
    return Rights(
        read=(*listens, topics.guard_state("+"), topics.signal("+", "+")),
        write=(topics.birth(bot), topics.bot_state(bot), topics.reported(bot), topics.ack(bot)),
    )


def teller_rights(topics: Topics) -> Rights:
    """To tell facts from outside, and to see what is told.

    Raises:
        SettingsError: site or root hold what some broker takes for a wildcard.
    """
    check_site(topics)
    facts = (topics.outside("+"),)
    return Rights(read=facts, write=facts)


def rights_of(topics: Topics, access: Access) -> Rights:
    """What somebody who is not the guard may do. Raises SettingsError as the above."""
    return bot_rights(topics, access.bot) if isinstance(access, BotAccess) else teller_rights(topics)


def guard_rights(topics: Topics) -> Rights:
    """All of the site: the guard speaks to every bot, hears every bot, and clears what a revoked one left.

    Raises:
        SettingsError: site or root hold what some broker takes for a wildcard.
    """
    check_site(topics)
    whole = (f"{topics.base}/#",)
    return Rights(read=whole, write=whole)


def client_identifier(topics: Topics, bot: str) -> str:
    """The client id with which the SDK connects for a bot."""
    return f"{topics.root}-{topics.site}-bot-{bot}"


def retained_topics(topics: Topics, bot: str) -> tuple[str, ...]:
    """Where something of a bot may be retained."""
    said = (topics.birth(bot), topics.bot_state(bot), topics.reported(bot), topics.ack(bot))
    return (*said, topics.posture(bot, Mode.LIVE), topics.posture(bot, Mode.PAPER))


def nats_subject(topic_filter: str) -> str:
    """Spell a topic filter as nats-server does: it keeps MQTT's levels apart by dots.

    >>> nats_subject("perpguard/v1/my.site/command/alpha/+")
    'perpguard.v1.my//site.command.alpha.*'
    """
    spelled = {"+": "*", "#": ">"}
    return ".".join(spelled.get(level, level.replace(".", "//")) for level in topic_filter.split("/"))


def mosquitto_acl(topics: Topics, guard_user: str, others: Sequence[Access]) -> str:
    """Write the text of an ACL file for mosquitto: nobody may do anything that does not stand in it."""
    blocks = [_acl_block(guard_user, guard_rights(topics), "the guard")]
    for each in others:
        who = f"bot {each.bot}" if isinstance(each, BotAccess) else "who tells facts from outside"
        blocks.append(_acl_block(each.user, rights_of(topics, each), who))
    return "\n".join(blocks)


def check_name(name: str, what: str) -> str:
    """Return ``name`` if no broker can take it for more than itself.

    Raises:
        SettingsError: it holds something else than letters, digits, ``-`` and ``_``, or is too long.
    """
    if NAME.fullmatch(name):
        return name
    problem = (
        f"{name!r} cannot be a user of a broker: take letters, digits, - and _, 64 at most, a letter or "
        "digit first"
    )
    raise SettingsError("settings", [(what, problem)])


def check_site(topics: Topics) -> None:
    """Let nothing pass that some broker takes for a wildcard or the end of a line.

    Raises:
        SettingsError: site or root hold such a character.
    """
    for name in ("site", "root"):
        value: str = getattr(topics, name)
        if re.search(r"[\s*>]", value):
            problem = f"{value!r} holds a space, * or >, which brokers take for more: choose another"
            raise SettingsError("settings", [(f"broker.{name}", problem)])


def _acl_block(user: str, rights: Rights, who: str) -> str:
    if rights.read == rights.write:
        lines = [f"topic readwrite {each}" for each in rights.read]
    else:
        lines = [f"topic read {each}" for each in rights.read]
        lines += [f"topic write {each}" for each in rights.write]
    return "\n".join([f"# {who}", f"user {user}", *lines]) + "\n"
