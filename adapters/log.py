"""Logging: readable on a terminal and in the journal, JSON otherwise; never a secret, never a flood of one thing."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

import structlog
from pydantic import BaseModel, ConfigDict, Field

REDACTED = "[redacted]"
SECRET_NAMES = re.compile(
    r"pass(word|phrase|wd)?$|secret|token|credential|authorization|cookie|signature|private"
    r"|api_?key|(^|_)key$|(^|_)sig$|listen_?key",
    re.IGNORECASE,
)
"""Names whose values are never logged; ``key_file`` and ``password_env`` are not among them."""
SECRET_LENGTH_MIN = 4
"""A shorter secret would redact half of every line; it is refused elsewhere as too weak."""


CUT_LENGTH_MIN = 16
"""Half of a shorter secret is too little to be sure that it is one."""
CUTS_MAX = 128
"""Places at which a secret may be cut off: a private key in PEM has thousands of characters, and each place
nests its pattern once more."""
REPEAT_S = 10.0
REPEAT_S_MAX = 600.0
CAUSES_MAX = 1_000
"""A cause is some hundred bytes; a thousand of them at once are told apart, the oldest are forgotten."""


class LogFormat(StrEnum):
    """How lines are written."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"
    JOURNAL = "journal"


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(BaseModel):
    """What is said while it runs, on standard error; secrets are blanked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="auto: console on a terminal, journal where systemd's journal reads, json otherwise",
    )
    level: LogLevel = Field(default=LogLevel.INFO, description="lines below this level are left out")


class Redactor:
    """A structlog processor that blanks secrets: by the name of a field, and by value wherever it stands.

    It runs last but one, after tracebacks have become text, so that a secret inside one is blanked too.
    """

    def __init__(self, secrets: Iterable[str | bytes] = ()) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._known: set[str] = set()
        self.register(secrets)

    def register(self, secrets: Iterable[str | bytes]) -> None:
        """Blank these values from now on, also in their hexadecimal and repr spellings, and cut off.

        Python cuts long values off in some of its errors: the first half of a longer secret is blanked too.
        """
        for secret in secrets:
            raw = secret if isinstance(secret, bytes) else secret.encode()
            text = raw.decode(errors="replace")
            spellings = {text, text.strip(), raw.hex(), repr(text)[1:-1], repr(raw)[2:-1]}
            self._known |= {each for each in spellings if len(each) >= SECRET_LENGTH_MIN}
        if self._known:
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(_or_its_beginning(each) for each in longest_first))

    def clean(self, text: str) -> str:
        """Blank the secrets in a text that goes elsewhere than into the log."""
        return self._clean_text(text)

    def __call__(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        return {key: self._clean(key, value) for key, value in event.items()}

    def _clean(self, name: object, value: Any) -> Any:
        if isinstance(name, str) and SECRET_NAMES.search(name) and value not in (None, "", True, False):
            return REDACTED
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self._clean_text(value)
            case Mapping():
                return {self._clean_text(str(key)): self._clean(key, each) for key, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._clean("", each) for each in value]
            case _:
                return self._clean_text(value if isinstance(value, str) else repr(value))

    def _clean_text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)


def _or_its_beginning(secret: str) -> str:
    """A pattern for a secret or as much of its beginning as is there, but at least half of it."""
    if len(secret) < CUT_LENGTH_MIN:
        return re.escape(secret)
    half = len(secret) // 2
    step = -(-(len(secret) - half) // CUTS_MAX)
    pattern = ""
    for at in reversed(range(half, len(secret), step)):
        pattern = f"(?:{re.escape(secret[at : at + step])}{pattern})?"
    return re.escape(secret[:half]) + pattern


@dataclass(slots=True)
class _Told:
    at: float
    pause_s: float
    withheld: int = 0


class Damper(logging.Filter):
    """Lets a line through once in 10 s, then ever more seldom while its cause goes on, and says how often it was.

    Two lines are of one cause if they differ in numbers only. Messages of level INFO must be equal: each
    decision has its own number, and none may be missing. At DEBUG everything passes.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._told: dict[tuple[object, ...], _Told] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; one that stands for others says for how many."""
        if record.levelno <= logging.DEBUG:
            return True
        cause, now = _cause_of(record), self._monotonic()
        told = self._told.pop(cause, None)
        if told is not None and now < told.at + told.pause_s:
            told.withheld += 1
            self._told[cause] = told
            return False
        pause_s = REPEAT_S
        if told is not None:
            _say_withheld(record, told.withheld)
            goes_on = now < told.at + 2 * told.pause_s
            pause_s = min(2 * told.pause_s, REPEAT_S_MAX) if goes_on else REPEAT_S
        self._told[cause] = _Told(now, pause_s)
        if len(self._told) > CAUSES_MAX:
            del self._told[next(iter(self._told))]
        return True


def _cause_of(record: logging.LogRecord) -> tuple[object, ...]:
    facts = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
    text = repr([(name, value) for name, value in facts.items() if name != "timestamp"])
    if record.levelno > logging.INFO:
        text = re.sub(r"\d+", "#", text)
    return record.name, record.levelno, text


def _say_withheld(record: logging.LogRecord, lines: int) -> None:
    if not lines:
        return
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "equal_lines_withheld": lines}
    else:
        record.msg, record.args = f"{record.getMessage()} ({lines} equal lines withheld)", ()


def configure_logging(
    settings: LogSettings, *, secrets: Iterable[str | bytes] = (), stream: TextIO | None = None
) -> Redactor:
    """Set up structlog and the standard library's logging, which our libraries use, alike.

    Args:
        settings: the [log] table.
        secrets: values that must never appear; more can be given to the returned redactor.
        stream: where lines go; standard error if left out.
    """
    stream = stream or sys.stderr
    redactor = Redactor(secrets)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(Damper())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redactor,
                _in_reading_order,
                _renderer(settings.format, stream),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    set_level(settings.level)
    logging.captureWarnings(capture=True)
    return redactor


def _in_reading_order(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return first | {name: value for name, value in event.items() if name not in first}


def set_level(level: LogLevel) -> None:
    """Leave out lines below ``level`` from now on."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    # These tell every statement, frame and header at DEBUG; nobody can read the rest then.
    for noisy in ("aiosqlite", "asyncio", "ccxt", "aiohttp", "mqtt", "websockets"):
        logging.getLogger(noisy).setLevel(max(logging.INFO, root.level))


def is_journal(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Whether systemd's journal reads what is written to ``stream``: it names the socket's device and inode."""
    named = (os.environ if environment is None else environment).get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{found.st_dev}:{found.st_ino}"


_PRIORITIES = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}
"""Of syslog(3); the journal takes a line's from the number in front of it."""


def render_for_journal(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """What happened, then its facts as logfmt, each line with its priority; the journal itself knows the time.

    >>> render_for_journal(None, "", {"timestamp": "x", "level": "error", "event": "no disk", "free": 0})
    '<3>no disk free=0'
    """
    priority = f"<{_PRIORITIES.get(str(event.get('level')), 6)}>"
    left_out = ("timestamp", "level", "event", "logger", "exception")
    facts = "".join(f" {name}={_fact(value)}" for name, value in event.items() if name not in left_out)
    text = f"{event.get('event', '')}{facts}"
    if event.get("exception"):
        text += f"\n{event['exception']}"
    return "\n".join(priority + line for line in text.splitlines())


def _fact(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text)


def _renderer(kind: LogFormat, stream: TextIO) -> structlog.typing.Processor:
    if kind is LogFormat.AUTO:
        journal = LogFormat.JOURNAL if is_journal(stream) else LogFormat.JSON
        kind = LogFormat.CONSOLE if stream.isatty() else journal
    match kind:
        case LogFormat.CONSOLE:
            return structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        case LogFormat.JOURNAL:
            return render_for_journal
        case _:
            return structlog.processors.JSONRenderer(sort_keys=False)
