"""Numbers the updates of an OKX book so that a lost one shows. Pure.

OKX names with each update the one before it, but its numbers may fall after maintenance: whether one is later
than another cannot be told from them. Numbered anew one by one, what does not name its predecessor is a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from adapters.exchanges.sync import DepthDiff
from adapters.exchanges.venue import DepthSnapshot


@dataclass(slots=True)
class Chain:
    """One book; ``number`` is ours, ``seen`` the venue's last and the one before it.

    >>> chain = Chain()
    >>> chain.begin(DepthSnapshot(500, [], [])).last_id
    1
    >>> after_maintenance = DepthDiff(500, 7, 7, [], [])
    >>> chain.follow(after_maintenance).previous_id, chain.follow(DepthDiff(9, 12, 12, [], [])).previous_id
    (1, 3)
    """

    number: int = 0
    seen: tuple[int, int] | None = None

    def begin(self, snapshot: DepthSnapshot) -> DepthSnapshot:
        """Take a whole book."""
        self.number += 1
        self.seen = (-1, snapshot.last_id)
        return replace(snapshot, last_id=self.number)

    def follow(self, diff: DepthDiff) -> DepthDiff | None:
        """Take an update; ``None`` for one that was taken just now, ``previous_id`` is not ``number`` at a gap."""
        ids = (diff.previous_id, diff.last_id)
        if ids == self.seen and diff.previous_id != diff.last_id:
            return None
        if self.seen is not None and diff.previous_id != self.seen[1]:
            self.number += 1
        before, self.number = self.number, self.number + 1
        self.seen = ids
        return replace(diff, previous_id=before, first_id=self.number, last_id=self.number)
