"""The log's lines are JSON off a terminal, and hold no secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from adapters.log import LogFormat, LogLevel, LogSettings, Redactor, configure_logging

SECRET = 's3cr3t-"quoted"-value'


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level
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
