"""Which addresses are tracked, and who is asked about next: those near liquidation more often. Reads one file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.exchanges.venue import PositionSeen
from guard.units import NS_PER_S, Nanoseconds

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
ADDRESSES_MAX = 500
"""More would take a round of minutes within the venue's limits."""

FILE_BYTES_MAX = 200_000

NEAR = 0.05
"""A position this close to its liquidation price, as a fraction of the mark, makes its account hot."""


class AddressesError(ValueError):
    """Addresses cannot be read; the text says which and why."""


def addresses_of(lines: Iterable[str], where: str) -> list[str]:
    """Read addresses, one a line, each once, in lower case; ``#`` begins a remark.

    Raises:
        AddressesError: a line is no address, or there are too many.

    >>> addresses_of(["# whales", "0x" + "Ab" * 20 + "  # one", ""], "list")
    ['0xabababababababababababababababababababab']
    """
    found: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if ADDRESS.fullmatch(text) is None:
            raise AddressesError(
                f"{where}, line {number}: {text[:50]!r} is no address (0x and 40 hex digits)"
            )
        found[text.lower()] = None
    if len(found) > ADDRESSES_MAX:
        raise AddressesError(f"{where} names {len(found)} addresses; at most {ADDRESSES_MAX} are tracked")
    return list(found)


def read_addresses(path: Path) -> list[str]:
    """Read a file of addresses. Raises AddressesError where it is missing, too large or holds anything else."""
    try:
        with path.open("rb") as file:
            body = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise AddressesError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(body) > FILE_BYTES_MAX:
        raise AddressesError(f"{path} is larger than {FILE_BYTES_MAX:,} bytes")
    try:
        lines = body.decode().splitlines()
    except UnicodeDecodeError as error:
        raise AddressesError(f"{path} is no text: {error}") from error
    return addresses_of(lines, str(path))


@dataclass(slots=True)
class _Tracked:
    due_at: Nanoseconds = 0
    has_answered: bool = False
    held: frozenset[str] = frozenset()


@dataclass(slots=True)
class TrackedAccounts:
    """When each address is asked about again.

    Attributes:
        poll_s: between two answers about an address.
        hot_poll_s: the same where a position of it was near its liquidation price.
    """

    poll_s: float
    hot_poll_s: float
    _accounts: dict[str, _Tracked] = field(default_factory=dict)

    def name(self, addresses: Sequence[str]) -> None:
        """Track these from now on; of those that stay, what is known is kept."""
        self._accounts = {each: self._accounts.get(each, _Tracked()) for each in addresses}

    def next(self, now: Nanoseconds) -> str | None:
        """Return who is due, the longest overdue first; ``None`` where nobody is."""
        address = min(self._accounts, key=lambda each: self._accounts[each].due_at, default=None)
        return address if address is not None and self._accounts[address].due_at <= now else None

    def answered(self, address: str, positions: Sequence[PositionSeen], now: Nanoseconds) -> frozenset[str]:
        """Take an answer; return the markets in which the address holds something now, or did before."""
        account = self._accounts.get(address)
        if account is None:
            return frozenset()
        before, account.held = account.held, frozenset(each.market_code for each in positions)
        pause_s = self.hot_poll_s if any(map(_is_near, positions)) else self.poll_s
        account.due_at = now + int(pause_s * NS_PER_S)
        account.has_answered = True
        return before | account.held

    def failed(self, address: str, now: Nanoseconds) -> None:
        """No answer came: ask others first."""
        if address in self._accounts:
            self._accounts[address].due_at = now + int(self.poll_s * NS_PER_S)

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def is_complete(self) -> bool:
        """Whether each has answered at least once."""
        return all(account.has_answered for account in self._accounts.values())


def _is_near(position: PositionSeen) -> bool:
    mark, liquidation = position.mark_price, position.liquidation_price
    return mark is not None and liquidation is not None and abs(liquidation - mark) <= NEAR * mark
