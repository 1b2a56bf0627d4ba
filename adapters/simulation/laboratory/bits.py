"""The lowest and the highest bit that is set in a word of 32 bits: how a book finds its next price.

Compiled where there is a compiler (bits.pxd), and the same as it is.
"""

from __future__ import annotations


def lowest_bit(word: int) -> int:
    """Return the place of the lowest bit that is set in a word of 32 bits, which has one."""
    place = 0
    if not word & 0xFFFF:
        word >>= 16
        place = 16
    if not word & 0xFF:
        word >>= 8
        place += 8
    if not word & 0xF:
        word >>= 4
        place += 4
    if not word & 3:
        word >>= 2
        place += 2
    return place if word & 1 else place + 1


def highest_bit(word: int) -> int:
    """Return the place of the highest bit that is set in a word of 32 bits, which has one."""
    place = 0
    if word >> 16:
        word >>= 16
        place = 16
    if word >> 8:
        word >>= 8
        place += 8
    if word >> 4:
        word >>= 4
        place += 4
    if word >> 2:
        word >>= 2
        place += 2
    return place + 1 if word >> 1 else place
