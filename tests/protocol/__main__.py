"""Check the command protocol: ``python -m tests.protocol --examples 100000 --seed 1 --resume FILE``.

Plays examples of the state machine and says how often each thing happened. Every 250 examples have a seed of
their own; with ``--resume`` the next seed is kept in FILE, from which the same command goes on. Exits 1 at the
first violation, with the shortest example that shows it. With ``--planted`` a bug is planted, which is to be found.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from tests.protocol.plants import PLANTS
from tests.protocol.runs import CHUNK, Ran, play, run

TELL_EVERY_S = 20.0
PLANTED_EXAMPLES = 2_000


class Progress(msgspec.Struct):
    """What has been played; ``next`` is the first seed that has not."""

    first: int
    next: int
    seen: dict[str, int] = {}
    wall_s: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    if options.planted:
        return _plant(options.planted, options.seed)
    return soak(
        options.examples,
        seed=options.seed,
        resume=options.resume,
        minutes=options.minutes,
        processes=options.processes,
    )


def soak(
    examples: int, *, seed: int, resume: Path | None = None, minutes: float = 0.0, processes: int = 1
) -> int:
    """Play ``examples``, or as many as go into ``minutes``; return 1 at the first that fails."""
    progress = _begun(seed, resume)
    began_s = told_s = time.monotonic()
    before_s = progress.wall_s
    print(f"protocol: {examples} examples, going on at seed {progress.next}", flush=True)
    left = examples - CHUNK * (progress.next - progress.first)
    for ran in play(left, seed=progress.next, processes=processes):
        now_s = time.monotonic()
        progress.seen = dict(Counter(progress.seen) + ran.seen)
        progress.wall_s = before_s + now_s - began_s
        if ran.violation:
            _tell(ran)
            return 1
        progress.next = ran.seed + 1
        if resume is not None:
            resume.write_bytes(msgspec.json.format(msgspec.json.encode(progress)))
        if now_s - told_s >= TELL_EVERY_S:
            told_s = now_s
            print(f"  {progress.seen['examples']} examples, next seed {progress.next}", flush=True)
        if minutes and now_s - began_s >= 60.0 * minutes:
            break
    for name, times in sorted(progress.seen.items()):
        print(f"  {times:9d}  {name}")
    played = progress.seen.get("examples", 0)
    print(
        f"protocol: {played} examples, none violates anything, {progress.wall_s:.0f} s, "
        f"{played / max(progress.wall_s, 1e-9):.0f} examples/s, next seed {progress.next}"
    )
    return 0


def _begun(seed: int, resume: Path | None) -> Progress:
    fresh = Progress(seed, seed)
    if resume is None or not resume.exists():
        return fresh
    kept = msgspec.json.decode(resume.read_bytes(), type=Progress)
    if kept.first != seed:
        sys.exit(f"{resume} is of seeds from {kept.first}: name another file, or the same --seed")
    return kept


def _plant(name: str, seed: int) -> int:
    plant = PLANTS[name]
    print(f"planted: {name}: {plant.__doc__}")
    ran = run(PLANTED_EXAMPLES, seed=seed, plant=plant)
    if not ran.violation:
        print(f"{ran.examples} examples did not find it")
        return 0
    _tell(ran)
    return 1


def _tell(ran: Ran) -> None:
    print(
        f"\nseed {ran.seed}, after {ran.examples} examples, shortening it included: VIOLATED\n    {ran.violation}"
    )
    print("\nthe shortest example:")
    print("\n".join(f"    {line}" for line in ran.story))
    print("\nwhat happened in it:")
    print("\n".join(f"  {line}" for line in ran.happened))
    sys.stdout.flush()


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.protocol", description=__doc__)
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--processes", type=int, default=1, help="how many seeds at once")
    parser.add_argument("--minutes", type=float, default=0.0, help="at most so long")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="keep the progress there and go on from it"
    )
    parser.add_argument("--planted", choices=sorted(PLANTS), default="", help="a bug to plant")
    return parser


if __name__ == "__main__":
    sys.exit(main())
