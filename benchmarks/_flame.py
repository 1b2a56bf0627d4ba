"""Draws a flame graph of collapsed stacks as a plain SVG: small, without scripts, readable where it is shown. Pure."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

WIDTH, ROW, MARGIN = 1_200, 16, 24
SHARE_MIN = 0.004
"""What takes less of the whole is not drawn: it could not be read."""

LETTER = 6.2
"""Pixels, about."""


ROOTS = ("BaseEventLoop._run_once", "Handle._run", "Thread.run", "TaskStepMethWrapper", "task_step")
"""What stands below these says nothing: it is the same everywhere."""

WAITS = ("SimpleQueue_get", "acquire_lock_timed", "epoll_wait", "lock_PyThread_acquire")
LINE = re.compile(r":\d+\)$")


@dataclass(slots=True)
class Node:
    """A function under its callers, and how many samples it was on the stack in."""

    samples: int = 0
    below: dict[str, Node] = field(default_factory=dict)


def parse_collapsed(text: str) -> dict[tuple[str, ...], int]:
    """Read py-spy's raw format: ``outer;inner;innermost COUNT`` a line.

    >>> parse_collapsed("a;b 2\\na 1\\n")
    {('a', 'b'): 2, ('a',): 1}
    """
    stacks: dict[tuple[str, ...], int] = {}
    for line in text.splitlines():
        names, _, count = line.rpartition(" ")
        if names:
            key = tuple(names.split(";"))
            stacks[key] = stacks.get(key, 0) + int(count)
    return stacks


def trimmed(stacks: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    """Leave out what every stack begins with, threads that wait, and the numbers of lines.

    >>> trimmed({("main (a.py:1)", "BaseEventLoop._run_once (e.py:2)", "Handle._run (e.py:3)", "f (b.py:4)"): 5})
    {('event loop', 'f (b.py)'): 5}
    """
    found: dict[tuple[str, ...], int] = {}
    for names, count in stacks.items():
        if any(waits in name for name in names for waits in WAITS):
            continue
        kept = [LINE.sub(")", name) for name in names if not name.startswith("0x")]
        roots = [at for at, name in enumerate(kept) if name.startswith(ROOTS)]
        first = "event loop" if any("_run_once" in name for name in kept) else "threads"
        key = (first, *kept[(roots[-1] + 1 if roots else 0) :])
        found[key] = found.get(key, 0) + count
    return found


def draw(stacks: Mapping[tuple[str, ...], int], *, title: str) -> str:
    """Return the SVG: widths are shares of all samples, callees stand on their callers."""
    root = Node()
    for names, count in stacks.items():
        node = root
        node.samples += count
        for name in names:
            node = node.below.setdefault(name, Node())
            node.samples += count
    boxes: list[str] = []
    depth = _boxes(root, root.samples, 0.0, 0, boxes)
    height = (depth + 1) * ROW + 2 * MARGIN
    placed = "".join(box.replace("@", str(height - MARGIN), 1) for box in boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
        f'font-size="10"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="4" y="15" font-size="12">{html.escape(title)}</text>{placed}</svg>\n'
    )


def _boxes(node: Node, whole: int, left: float, depth: int, boxes: list[str]) -> int:
    deepest = depth
    for name, below in sorted(node.below.items()):
        share = below.samples / whole
        if share >= SHARE_MIN:
            boxes.append(_box(name, share, left, depth))
            deepest = max(deepest, _boxes(below, whole, left, depth + 1, boxes))
        left += share
    return deepest


def _box(name: str, share: float, left: float, depth: int) -> str:
    x, width = left * WIDTH, share * WIDTH
    hue = zlib.crc32(name.encode()) % 40
    letters = int(width / LETTER)
    shown = name if len(name) <= letters else name[: max(letters - 1, 0)]
    text = f'<text x="{x + 2:.1f}" y="-4">{html.escape(shown)}</text>' if letters > 3 else ""
    return (
        f'<g transform="translate(0 @)"><g transform="translate(0 {-depth * ROW})">'
        f"<title>{html.escape(name)}: {share:.1%}</title>"
        f'<rect x="{x:.1f}" y="{-ROW}" width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" '
        f'fill="hsl({10 + hue} 80% 68%)"/>{text}</g></g>'
    )
