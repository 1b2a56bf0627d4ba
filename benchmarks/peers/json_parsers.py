"""JSON parsers over whole frames, run in an environment of their own; answers lines of JSON."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import simdjson  # type: ignore[import-not-found,unused-ignore]
import ujson  # type: ignore[import-untyped,import-not-found,unused-ignore]


class Diff(msgspec.Struct):
    """Levels read as numbers."""

    s: str
    E: int
    U: int
    u: int
    pu: int
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class Scanned(msgspec.Struct):
    """Looked through, the levels left as they are."""

    s: str
    E: int
    U: int
    u: int
    pu: int
    b: msgspec.Raw
    a: msgspec.Raw


def with_floats(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Numbers, as every book needs them."""

    def parsed(frame: bytes) -> Any:
        found = parse(frame)
        for name in ("b", "a"):
            found[name] = [(float(price), float(size)) for price, size in found[name]]
        return found

    return parsed


_simd = simdjson.Parser()
PARSERS: dict[str, Callable[[bytes], Any]] = {
    "json": json.loads,
    "ujson": ujson.loads,
    "simdjson": lambda frame: _simd.parse(frame, True),
    "orjson": orjson.loads,
    "orjson, levels as floats": with_floats(orjson.loads),
    "msgspec, levels as floats": msgspec.json.Decoder(Diff, strict=False).decode,
    "msgspec, levels left raw": msgspec.json.Decoder(Scanned).decode,
}


def main() -> None:
    """Take frames once, then run as often as asked."""
    frames: list[bytes] = []
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        if "frames" in asked:
            frames = [frame.encode() for frame in asked["frames"]]
            answer = {"parsers": list(PARSERS)}
        else:
            parse = PARSERS[asked["parser"]]
            gc.collect()
            gc.disable()
            started = time.process_time_ns()
            for frame in frames:
                parse(frame)
            answer = {"us": (time.process_time_ns() - started) / 1e3 / len(frames)}
            gc.enable()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
