"""Faults that concern the whole venue: its sockets, its keys, its clock, its markets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from adapters.simulation.misbehaviour.faults import Fault, FaultKind

if TYPE_CHECKING:
    from adapters.simulation.engine import Engine
    from adapters.simulation.misbehaviour.conditions import Conditions
    from adapters.simulation.signing import Gate
    from adapters.simulation.streams import Connection, Hub

NS_PER_S = 1_000_000_000


class VenueActs:
    """Fulfils ``switchboard.Acts``."""

    def __init__(
        self,
        hub: Hub,
        gate: Gate,
        conditions: Conditions,
        engine: Engine,
        expire_listen_keys: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._engine = engine
        self._gate = gate
        self._conditions = conditions
        self._expire_listen_keys = expire_listen_keys
        self._refusals = 0
        self.clock_offset_ns = 0

    def begin(self, fault: Fault, rng: Random) -> None:
        match fault.kind:
            case FaultKind.DISCONNECT | FaultKind.RESET:
                self._cut(fault, rng)
            case FaultKind.EXPIRE_KEYS:
                self._expire_listen_keys()
            case FaultKind.REFUSE_KEYS:
                self._refusals += 1
                self._gate.refuse_keys = True
            case FaultKind.CLOCK_SKEW:
                self.clock_offset_ns += round(fault.offset_s * NS_PER_S)
            case FaultKind.DEPEG | FaultKind.TIGHTEN:
                self._change_terms(fault, on=True)
            case _:
                self._conditions.begin(fault)

    def end(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.REFUSE_KEYS:
                self._refusals -= 1
                self._gate.refuse_keys = self._refusals > 0
            case FaultKind.CLOCK_SKEW:
                self.clock_offset_ns -= round(fault.offset_s * NS_PER_S)
            case FaultKind.DEPEG | FaultKind.TIGHTEN:
                self._change_terms(fault, on=False)
            case _:
                self._conditions.end(fault)

    def _change_terms(self, fault: Fault, *, on: bool) -> None:
        engine = self._engine
        if fault.kind is FaultKind.DEPEG:
            engine.assets.scale(fault.asset, Decimal(str(fault.price_ratio)), on=on)
        else:
            engine.table.scale(Decimal(str(fault.maintenance_ratio)), on=on)
        engine.on_terms()

    def _cut(self, fault: Fault, rng: Random) -> None:
        cut = 0
        for connection in sorted(self._hub.connections, key=lambda each: each.number):
            if fault.count is not None and cut >= fault.count:
                return
            if not _carries(connection, fault) or rng.random() >= fault.rate:
                continue
            cut += 1
            if fault.kind is FaultKind.RESET:
                connection.abort()
            else:
                connection.finish()


def _carries(connection: Connection, fault: Fault) -> bool:
    """Whether a connection is in a fault's scope, as far as the names of its subscriptions tell."""
    if fault.account is not None and connection.account != fault.account:
        return False
    if not fault.streams and not fault.symbols:
        return True
    if connection.account is not None and "account" in fault.streams:
        return True
    names = [name.lower() for name in connection.names]
    return any(
        all(
            not wanted or any(part.lower() in name for part in wanted)
            for wanted in (fault.streams, fault.symbols)
        )
        for name in names
    )
