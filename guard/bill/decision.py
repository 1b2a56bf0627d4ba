"""One decision while it is counted: what it took off, at what price, and what that has come to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from guard.billed import BillEnd, BillKind, BillLine, BillVerdict, OpenMemory
from guard.units import BotId, Nanoseconds

PRICE_UNKNOWN = "what the market's price was"
PAYS_IN_COINS = "what a contract that pays in coins comes to in dollars"
WISHES_UNKNOWN = "which entries did not happen: nobody tells what the bot would have done"

NOTHING_SIZE = 1e-12


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command asked of a position that is still watched for its effect.

    ``size`` is the signed size of the bot when it was asked, ``max_size`` how much of that may stay, absolute base
    units. ``due_at`` is when a modelled account is thought to have obeyed; ``None``: somebody obeys by himself.
    """

    size: float
    max_size: float
    due_at: Nanoseconds | None = None

    @property
    def side(self) -> float:
        """1 of a long, -1 of a short."""
        return 1.0 if self.size >= 0.0 else -1.0

    @property
    def wanted(self) -> float:
        """How much of it was to go, absolute base units."""
        return max(abs(self.size) - self.max_size, 0.0)


@dataclass(slots=True)
class Decision:
    """See the module.

    Attributes:
        line: what is realised so far.
        left: what the twin holds more because of it now, signed base units.
        price: the mark price from which that is counted, the average of its parts.
        asked: the command's own words while its effect is watched, ``None`` before and after.
        attributed: how much of what was asked was seen to be off.
        watched_until: how long that is waited for, once it was judged what became of the command.
        ends_at: when it is settled, ``None`` while its restriction holds.
        liquidation_price: where the account was liquidated before the cut: the twin still is.
        tells_wishes: whether it is known which entries were kept back.
    """

    line: BillLine
    left: float = 0.0
    price: float | None = None
    asked: Asked | None = None
    attributed: float = 0.0
    watched_until: Nanoseconds | None = None
    ends_at: Nanoseconds | None = None
    liquidation_price: float | None = None
    tells_wishes: bool = False

    def part(self, size: float, price: float, fees_usd: float, slippage_usd: float) -> None:
        """The twin holds ``size`` more from ``price`` on; fees and slippage were paid for it (negative: spared)."""
        known = 0.0 if self.price is None else self.price * self.left
        self.left += size
        self.price = (known + price * size) / self.left if abs(self.left) > NOTHING_SIZE else price
        self._add(
            size=self.line.size + size,
            price=self.price if self.line.price is None else self.line.price,
            fees_usd=self.line.fees_usd + fees_usd,
            slippage_usd=self.line.slippage_usd + slippage_usd,
        )

    def meet(self, size: float, price: float, fees_usd: float, slippage_usd: float) -> None:
        """Both hold the same of ``size`` again."""
        assert self.price is not None, "only what was parted meets"
        self._add(
            price_usd=self.line.price_usd + size * (self.price - price),
            fees_usd=self.line.fees_usd + fees_usd,
            slippage_usd=self.line.slippage_usd + slippage_usd,
        )
        self.left -= size
        if abs(self.left) <= NOTHING_SIZE * max(abs(size), 1.0):
            self.left = 0.0

    def fund(self, usd: float) -> None:
        """The twin paid so much funding for what it holds more (negative: received)."""
        self._add(funding_usd=self.line.funding_usd + usd)

    def liquidated(self, usd: float) -> None:
        """The twin's liquidation took so much beyond its price."""
        self._add(liquidation_usd=self.line.liquidation_usd + usd)

    def misses(self, what: str) -> None:
        """Something about it cannot be known."""
        if what not in self.line.missing:
            self._add(missing=(*self.line.missing, what))

    def at(self, mark: float | None, now: Nanoseconds) -> BillLine:
        """What it has come to by now, with what is not realised; at least that where there is no price."""
        price_usd = self.line.price_usd
        if self.left and self.price is not None and mark is not None:
            price_usd += self.left * (self.price - mark)
        return structs.replace(self.line, until_at=now, price_usd=price_usd)

    def ended(self, end: BillEnd, now: Nanoseconds) -> BillLine:
        """Its last line; everything that was parted has met."""
        line = structs.replace(self.line, until_at=now, ended_by=end)
        if PRICE_UNKNOWN in line.missing or (line.missing and line.size == 0.0):
            verdict = BillVerdict.UNKNOWN
        elif line.size == 0.0 and line.kind is BillKind.RESTRICTION and not self.tells_wishes:
            verdict = BillVerdict.UNKNOWN
            line = structs.replace(line, missing=(WISHES_UNKNOWN,))
        elif line.size == 0.0:
            verdict = BillVerdict.NOTHING
        else:
            verdict = BillVerdict.PAID_OFF if line.net_usd > 0.0 else BillVerdict.FALSE_ALARM
        return structs.replace(line, verdict=verdict)

    @property
    def bot(self) -> BotId | None:
        """Who was told; ``None`` where nobody could be."""
        return self.line.bot

    def remember(self, mark: float | None, now: Nanoseconds) -> OpenMemory:
        """What a guard that is started anew goes on from."""
        return OpenMemory(
            line=structs.replace(self.line, until_at=now),
            mark=mark,
            left=self.left,
            price=self.price,
            ends_at=self.ends_at,
            liquidation_price=self.liquidation_price,
        )

    @classmethod
    def of(cls, memory: OpenMemory) -> Decision:
        """Go on from a memory. Whatever was still expected of a command is not any more: its guard has ended."""
        return cls(
            line=memory.line,
            left=memory.left,
            price=memory.price,
            ends_at=memory.ends_at,
            liquidation_price=memory.liquidation_price,
            tells_wishes=memory.line.modelled,
        )

    def _add(self, **changed: object) -> None:
        self.line = structs.replace(self.line, **changed)
