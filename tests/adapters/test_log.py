"""The log's lines are JSON off a terminal, and hold no secret."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters.log import (
    CAUSES_MAX,
    REPEAT_S_MAX,
    Damper,
    LogFormat,
    LogLevel,
    LogSettings,
    Redactor,
    configure_logging,
    is_journal,
    set_level,
)

SECRET = 's3cr3t-"quoted"-value'


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_off_a_terminal_every_line_is_json_with_time_and_level(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)
    structlog.get_logger("adapters.x").info("connected", broker="localhost:1883")
    logging.getLogger("somebody.else").warning("plain %s", "words")
    ours, theirs = lines(stream)
    assert ours["broker"] == "localhost:1883"
    assert {"level", "timestamp", "event", "logger"} <= set(ours)
    assert theirs["event"] == "plain words"
    assert list(ours)[:3] == ["timestamp", "level", "event"]


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    configure_logging(LogSettings(level=LogLevel.WARNING), stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [each["event"] for each in lines(stream)] == ["loud"]


@pytest.mark.parametrize("kind", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_registered_secret_appears_nowhere(stream: io.StringIO, kind: LogFormat) -> None:
    redactor = configure_logging(LogSettings(format=kind), secrets=[SECRET], stream=stream)
    redactor.register([b"\x01binary key\xff"])
    logger = structlog.get_logger()
    logger.info("in the text %s", SECRET, field=f"x{SECRET}x", deep={"a": [SECRET, {"b": (SECRET,)}]})
    logger.info("bytes", raw=b"\x01binary key\xff", object=ValueError(SECRET))
    logging.getLogger("library").error("they say %s", SECRET)
    try:
        int(SECRET)
    except ValueError:
        logger.exception("failed")
    written = stream.getvalue()
    assert written.count("[redacted]") >= 8
    for spelling in (SECRET, json.dumps(SECRET)[1:-1], "s3cr3t", "binary key"):
        assert spelling not in written
    assert "Traceback" in written


def test_fields_with_secret_names_are_blanked_whatever_they_hold() -> None:
    redactor = Redactor()
    event = redactor(
        None,
        "info",
        {
            "password": "x",
            "apiKey": "x",
            "api_secret": "x",
            "headers": {"Authorization": "x", "X-Signature": "x"},
            "key": "x",
            "listenKey": "x",
            "key_file": "secrets/alpha.key",
            "password_env": "BROKER_PASSWORD",
            "keys": 3,
            "market": "binanceusdm:BTC/USDT:USDT",
            "password_set": True,
        },
    )
    shown = {name for name, value in event.items() if value != "[redacted]"}
    assert shown == {"headers", "key_file", "password_env", "keys", "market", "password_set"}
    assert set(event["headers"].values()) == {"[redacted]"}


class HandTime:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_record(message: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("adapters.x", level, __file__, 1, message, (), None)


def passed(damper: Damper, time: HandTime, moments: Iterable[int], message: str = "away") -> list[int]:
    """At which of these seconds a line gets through."""
    through = []
    for time.now in moments:
        if damper.filter(a_record({"event": message, "timestamp": time.now, "attempt": time.now})):
            through.append(int(time.now))
    return through


def test_a_cause_that_goes_on_is_told_ever_more_seldom() -> None:
    time = HandTime()
    damper = Damper(time)
    assert passed(damper, time, range(200)) == [0, 10, 30, 70, 150]
    later = passed(damper, time, range(200, 10_000))
    assert max(after - before for before, after in pairwise(later)) == REPEAT_S_MAX


def test_a_cause_that_comes_again_after_a_rest_is_told_at_once_with_what_was_withheld() -> None:
    time = HandTime()
    damper = Damper(time)
    assert passed(damper, time, [0, 1, 2, 3]) == [0]
    time.now = 500.0
    record = a_record({"event": "away", "attempt": 9})
    assert damper.filter(record)
    assert record.msg == {"event": "away", "attempt": 9, "equal_lines_withheld": 3}
    time.now = 501.0
    foreign = a_record("they failed")
    assert damper.filter(foreign)
    assert not damper.filter(a_record("they failed"))
    time.now = 512.0
    again = a_record("they failed")
    assert damper.filter(again)
    assert again.getMessage() == "they failed (1 equal lines withheld)"


def test_only_numbers_make_no_difference_and_decisions_keep_theirs() -> None:
    damper = Damper(HandTime())
    assert damper.filter(a_record({"event": "book lost", "market": "BTC", "detail": "update 17 is missing"}))
    assert not damper.filter(
        a_record({"event": "book lost", "market": "BTC", "detail": "update 99 is missing"})
    )
    assert damper.filter(a_record({"event": "book lost", "market": "ETH", "detail": "update 17 is missing"}))
    assert damper.filter(a_record({"event": "pause alpha (c-1)"}, logging.INFO))
    assert damper.filter(a_record({"event": "pause alpha (c-2)"}, logging.INFO))
    assert not damper.filter(a_record({"event": "pause alpha (c-2)"}, logging.INFO))
    assert all(damper.filter(a_record("frame", logging.DEBUG)) for _ in range(3))


def test_a_flood_of_different_causes_is_bounded_in_memory() -> None:
    damper = Damper(HandTime())
    for number in range(3 * CAUSES_MAX):
        damper.filter(a_record({"event": "x" * (number % 7), "market": str(number)}, logging.INFO))
    assert len(damper._told) == CAUSES_MAX


def test_what_python_warns_of_becomes_a_line_too(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    assert "old ways" in lines(stream)[0]["event"]


def fail_in_two_lines() -> None:
    raise ValueError("first line\nsecond line")


def test_the_journal_gets_priorities_and_no_times(stream: io.StringIO) -> None:
    configure_logging(LogSettings(format=LogFormat.JOURNAL), stream=stream)
    log = structlog.get_logger()
    log.info("broker connected", broker="127.0.0.1:1883", mqtt="5")
    try:
        fail_in_two_lines()
    except ValueError:
        log.exception("a bug", where="here there")
    written = stream.getvalue().splitlines()
    assert written[0] == "<6>broker connected broker=127.0.0.1:1883 mqtt=5"
    assert written[1] == '<3>a bug where="here there"'
    assert all(line.startswith("<3>") for line in written[1:])
    assert written[-1] == "<3>second line"


def test_the_journal_is_known_by_the_socket_that_it_names(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        found = os.fstat(stream.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})


def test_the_level_can_change_while_it_runs(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream=stream)
    set_level(LogLevel.ERROR)
    structlog.get_logger().warning("left out")
    set_level(LogLevel.INFO)
    structlog.get_logger().info("written")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["written"]


@pytest.mark.parametrize("length", [16, 64, 256])
def test_a_secret_that_was_cut_off_is_blanked_too(length: int) -> None:
    secret = "".join(chr(ord("a") + number % 26) for number in range(length))
    redactor = Redactor([secret])
    for end in (length, length - 1, length // 2):
        assert redactor.clean(f"<{secret[:end]}>") == "<[redacted]>"
    assert redactor.clean(f"<{secret[: length // 2 - 1]}>") != "<[redacted]>"
    assert redactor.clean("nothing of it") == "nothing of it"


def test_a_secret_of_thousands_of_characters_is_blanked_and_does_not_stop_the_log() -> None:
    secret = "".join(f"{number:04d}" for number in range(1000))
    redactor = Redactor([secret])
    assert redactor.clean(f"<{secret}>") == "<[redacted]>"
    left = redactor.clean(f"<{secret[:3000]}>")
    assert left.startswith("<[redacted]")
    assert len(left) < 40
