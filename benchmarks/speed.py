"""Us per message, beside those who do the same work: book and features, JSON, and a whole client on a real socket.

All on the same frames and in one run, in rounds that interleave; everybody's books and features must be equal at the
end, or the benchmark fails. What is compared: ``docs/reference/benchmarks.md``.
"""

from __future__ import annotations

import sys

from benchmarks._frame import Options, Result, main
from benchmarks._speed_books import measure_books
from benchmarks._speed_json import measure_json
from benchmarks._speed_sockets import measure_sockets


def measure(options: Options) -> list[Result]:
    """Book and features, then JSON, then end to end."""
    results: list[Result] = []
    for part in (measure_books, measure_json, measure_sockets):
        results += part(options)
    return results


if __name__ == "__main__":
    sys.exit(main("speed", measure))
