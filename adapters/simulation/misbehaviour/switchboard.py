"""Which faults are on, and what they do to each frame, socket and request. Deterministic for a seed.

A fault draws once for each frame (or request) in its scope, from a generator of its own: the n-th frame in
its scope has the same fate whenever the plan and its seed are the same, whoever else listens.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple, Protocol

from adapters.simulation.misbehaviour.corruption import READABLE, corrupted
from adapters.simulation.misbehaviour.faults import (
    ANSWER_STREAM,
    FRAME_KINDS,
    INSTANT_KINDS,
    NAMED_ONLY,
    REQUEST_KINDS,
    REQUEST_STREAM,
    Fault,
    FaultKind,
)

ANSWERS_KEPT = 512
"""Answers to GET kept for STALE, the longest unasked goes first: at 50 kB a depth snapshot, 25 MB."""
GRACE_S = 1.0
"""Requests on their way when a Retry-After was answered are not taken for impatience; machines are slow at times."""


class Mark(NamedTuple):
    """What a frame is of. Frames with one serial are one event on its way to several clients."""

    stream: str
    symbol: str = ""
    account: str | None = None
    serial: int = 0


ANSWER = Mark(ANSWER_STREAM)
PONG = Mark("pong")
"""The answer to a ping that is a text, not one of the protocol's: a venue silent ``with pongs`` still sends it."""


class Outgoing(NamedTuple):
    """One frame as it goes out: not before ``ready_at_s`` of the event loop's time."""

    payload: bytes
    ready_at_s: float = 0.0
    binary: bool = False


class Asked(NamedTuple):
    """One request, or the upgrade to a socket."""

    method: str
    path: str
    account: str | None = None
    is_socket: bool = False


class Acts(Protocol):
    """What a fault of the whole venue does there."""

    def begin(self, fault: Fault, rng: Random) -> None: ...

    def end(self, fault: Fault) -> None: ...


@dataclass(slots=True, eq=False)
class Running:
    """A fault that is on."""

    fault: Fault
    rng: Random
    left: int | None
    ends: asyncio.TimerHandle | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    serial: int = 0
    hit: bool = False
    salt: int = 0
    answers: dict[str, bytes] = field(default_factory=dict)
    """Of STALE: what had been answered before it began."""

    @property
    def exhausted(self) -> bool:
        return self.left == 0

    def draw(self, serial: int = 0) -> bool:
        """Whether it hits the next one; frames of one serial share a draw."""
        if serial and serial == self.serial:
            return self.hit
        self.serial, self.hit = serial, False
        if self.left != 0 and (self.fault.rate >= 1.0 or self.rng.random() < self.fault.rate):
            self.hit, self.salt = True, self.rng.getrandbits(32)
            if self.left is not None:
                self.left -= 1
        return self.hit


@dataclass(slots=True)
class _Fate:
    """What becomes of one frame."""

    payload: bytes
    ready_at_s: float
    copies: int = 1
    binary: bool = False
    reordered: bool = False

    def suffer(self, fault: Fault, rng: Random) -> None:
        match fault.kind:
            case FaultKind.DROP | FaultKind.SILENCE:
                self.copies = 0
            case FaultKind.DELAY:
                delay_s = (fault.delay_s or 0.0) + rng.uniform(-fault.jitter_s, fault.jitter_s)
                now_s = asyncio.get_running_loop().time()
                self.ready_at_s = max(self.ready_at_s, now_s + max(0.0, delay_s))
            case FaultKind.DUPLICATE:
                self.copies *= 2
            case FaultKind.REORDER:
                self.reordered = True
            case FaultKind.CORRUPT:
                self.payload, self.binary = corrupted(self.payload, fault.form or rng.choice(READABLE), rng)
            case _:
                raise AssertionError(f"{fault.kind} is no fault of frames")


class Misbehaviour:
    """All faults of one venue. ``begin`` needs a running event loop."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts
        self._running: list[Running] = []
        self._frames: list[Running] = []
        self._pending: set[asyncio.TimerHandle] = set()
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._patience_s = (0.0, 0.0)
        self._number = 0
        self.hits: Counter[FaultKind] = Counter()
        """How many frames, sockets and requests each kind of fault has hit."""
        self.requests: Counter[str] = Counter()
        """Requests by path, and sockets as ``websocket``, whether or not a fault hit them."""
        self.impatient = 0
        """Requests that came although a Retry-After had asked to wait."""

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that are on now."""
        return tuple(running.fault for running in self._running if not running.exhausted)

    @property
    def waiting(self) -> int:
        """How many faults are still to begin."""
        return len(self._pending)

    def begin(self, faults: Iterable[Fault], *, seed: int = 0) -> None:
        """Switch faults on, each at its ``at_s`` from now."""
        loop = asyncio.get_running_loop()
        for number, fault in enumerate(faults, self._number):
            self._number = number + 1
            rng = Random(f"{seed}:{number}:{fault.kind}")  # noqa: S311 - a simulation, not a secret
            if fault.at_s <= 0.0:
                self._start(fault, rng)
            else:
                self._later(loop, fault.at_s, partial(self._start, fault, rng))
        if not self._running and not self._pending:
            self._number = 0

    def end_all(self) -> None:
        """End every fault, those that have not begun included. Counters stay."""
        for handle in self._pending:
            handle.cancel()
        self._pending.clear()
        for running in list(self._running):
            self._end(running)
        self._number, self._patience_s = 0, (0.0, 0.0)

    def end(self, kind: FaultKind) -> None:
        """End the faults of one kind that are on."""
        for running in [each for each in self._running if each.fault.kind is kind]:
            self._end(running)

    # -- frames --------------------------------------------------------------------------------------

    @property
    def touches_frames(self) -> bool:
        """Whether any frame could be hit now; if not, nobody need ask."""
        return bool(self._frames)

    def treated(self, payload: bytes, mark: Mark, ready_at_s: float) -> list[Outgoing] | None:
        """What becomes of a frame; None holds it back until its successor has gone (see REORDER).

        Args:
            payload: of a text frame.
            mark: what it is of.
            ready_at_s: when the frame before it goes out at the earliest, in the event loop's time.
        """
        fate = _Fate(payload, ready_at_s)
        for running in list(self._frames):
            if not _in_scope(running.fault, mark):
                continue
            if running.draw(mark.serial):
                self.hits[running.fault.kind] += 1
                fate.suffer(running.fault, Random(running.salt))  # noqa: S311 - a simulation, not a secret
            elif running.exhausted:
                # Not before the next frame, for all clients share the fate of the last one that was hit.
                self._end(running)
        if fate.reordered and fate.copies == 1 and not fate.binary:
            return None
        return [Outgoing(fate.payload, fate.ready_at_s, fate.binary)] * fate.copies

    def hears(self, account: str | None) -> bool:
        """Whether what a client says on its socket is heard."""
        return not self._frames or self.treated(b"", Mark(REQUEST_STREAM, account=account), 0.0) != []

    def answers_pings(self, account: str | None) -> bool:
        """Whether a ping gets its pong."""
        return all(
            running.fault.pongs
            for running in self._frames
            if running.fault.kind is FaultKind.SILENCE and running.fault.account in (None, account)
        )

    # -- requests ------------------------------------------------------------------------------------

    def hit_by(self, asked: Asked) -> Running | None:
        """The fault that hits a request; None lets it pass."""
        # The path of a socket may hold a listen key: a new name with each login.
        self.requests["websocket" if asked.is_socket else asked.path] += 1
        from_s, until_s = self._patience_s
        if from_s < asyncio.get_running_loop().time() < until_s:
            self.impatient += 1
        for running in list(self._running):
            fault = running.fault
            if fault.kind not in REQUEST_KINDS or not _asks_in_scope(fault, asked) or not running.draw():
                continue
            if asked.is_socket and fault.kind not in (FaultKind.REFUSE, FaultKind.STATUS, FaultKind.HTML):
                continue
            if fault.kind is FaultKind.STALE and asked.method != "GET":
                continue
            self.hits[fault.kind] += 1
            if running.exhausted and fault.kind is not FaultKind.HANG:
                self._end(running)  # one whose request still hangs ends with the others
            return running
        return None

    def asked_to_wait(self, retry_after_s: float) -> None:
        """Note that a client was told to ask no more for so long; ``impatient`` counts who does."""
        now_s = asyncio.get_running_loop().time()
        from_s, until_s = self._patience_s
        if until_s <= now_s:
            from_s = now_s + GRACE_S
        self._patience_s = (from_s, max(until_s, now_s + retry_after_s))

    def keep_answer(self, request: str, body: bytes) -> None:
        """Keep an answer to GET for the time when answers are stale."""
        self._answers[request] = body
        self._answers.move_to_end(request)
        if len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)

    # -- inside --------------------------------------------------------------------------------------

    def _later(self, loop: asyncio.AbstractEventLoop, after_s: float, act: Callable[[], None]) -> None:
        def run() -> None:
            self._pending.discard(handle)
            act()

        handle = loop.call_later(after_s, run)
        self._pending.add(handle)

    def _start(self, fault: Fault, rng: Random) -> None:
        running = Running(fault, rng, fault.count)
        if fault.kind in INSTANT_KINDS:
            self.hits[fault.kind] += 1
            self._acts.begin(fault, rng)
            return
        if fault.kind is FaultKind.STALE:
            running.answers = dict(self._answers)
        self._running.append(running)
        if fault.kind in FRAME_KINDS or fault.kind is FaultKind.SILENCE:
            self._frames.append(running)
        elif fault.kind not in REQUEST_KINDS:
            self.hits[fault.kind] += 1
            self._acts.begin(fault, rng)
        if fault.for_s is not None:
            running.ends = asyncio.get_running_loop().call_later(fault.for_s, self._end, running)

    def _end(self, running: Running) -> None:
        if running not in self._running:
            return
        self._running.remove(running)
        if running in self._frames:
            self._frames.remove(running)
        if running.ends is not None:
            running.ends.cancel()
        running.ended.set()
        fault = running.fault
        if fault.kind not in FRAME_KINDS | REQUEST_KINDS | {FaultKind.SILENCE}:
            self._acts.end(fault)


def request_key(method: str, target: str, who: str) -> str:
    """Name a request so that the same question has the same name: without its time and signature."""
    path, _, query = target.partition("?")
    kept = sorted(
        pair
        for pair in query.split("&")
        if pair and not pair.startswith(("timestamp=", "signature=", "recvWindow="))
    )
    owner = hashlib.sha256(who.encode()).hexdigest()[:16] if who else ""
    return f"{method} {path}?{'&'.join(kept)} {owner}"


def _in_scope(fault: Fault, mark: Mark) -> bool:
    if mark.stream == PONG.stream and not (fault.kind is FaultKind.SILENCE and fault.pongs is False):
        return False
    if fault.kind is FaultKind.SILENCE and not fault.streams and mark.stream != REQUEST_STREAM:
        return fault.account in (None, mark.account) and (not fault.symbols or mark.symbol in fault.symbols)
    if mark.stream not in fault.streams and (fault.streams or mark.stream in NAMED_ONLY):
        return False
    return (not fault.symbols or mark.symbol in fault.symbols) and fault.account in (None, mark.account)


def _asks_in_scope(fault: Fault, asked: Asked) -> bool:
    if fault.paths and not any(part in asked.path for part in fault.paths):
        return False
    return fault.account in (None, asked.account)
