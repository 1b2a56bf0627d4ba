"""What venues last said of margin outlives a restart, and a file that was damaged does no harm."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from adapters.storage.margin_terms import BYTES_MAX, MarginTermsFiles, read_terms
from guard.margin_terms import (
    CollateralTerms,
    ContractKind,
    HaircutTier,
    MarginTier,
    TermsSource,
    TierTable,
    TierUnit,
)
from guard.units import MarketId
from tests.support.hand_clock import HandClock

MARKET = MarketId("okx:BTC/USD:BTC")
TABLE = TierTable(
    market=MARKET,
    tiers=(
        MarginTier(floor=0.0, maintenance_ratio=0.004),
        MarginTier(floor=5.0, maintenance_ratio=0.01, deduction=0.03, leverage_max=50.0),
    ),
    kind=ContractKind.INVERSE,
    unit=TierUnit.SIZE,
    as_of=17,
)
COLLATERAL = CollateralTerms(
    asset="BTC",
    tiers=(HaircutTier(floor_usd=0.0, haircut=0.02), HaircutTier(floor_usd=2e6, haircut=0.1)),
    unit_usd=100_000.0,
    as_of=18,
)


def files(folder: Path) -> MarginTermsFiles:
    return MarginTermsFiles(folder, HandClock())


async def test_words_come_back_as_stored_ones_with_their_dates(tmp_path: Path) -> None:
    await files(tmp_path / "new").keep("okx", [TABLE], [COLLATERAL])

    (table,), (collateral,) = await files(tmp_path / "new").recall("okx")

    assert table == msgspec.structs.replace(TABLE, source=TermsSource.STORED)
    assert collateral == msgspec.structs.replace(COLLATERAL, source=TermsSource.STORED)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["okx.json"]


async def test_of_a_venue_that_has_said_nothing_nothing_is_known(tmp_path: Path) -> None:
    assert await files(tmp_path).recall("okx") == ((), ())


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"version": 1', '"version": 2', "version"),
        ('"venue": "okx"', '"venue": "bybit"', "of bybit"),
        ("okx:BTC", "bybit:BTC", "another venue"),
        ('"maintenance_ratio": 0.01', '"maintenance_ratio": 1.01', "cannot be"),
        ('"maintenance_ratio": 0.01', '"maintenance_ratio": -0.01', "cannot be"),
        ('"floor": 5.0', '"floor": 0.0', "ascend"),
        ('"floor": 5.0', '"floor": "5"', "Expected"),
        ('"haircut": 0.1', '"haircut": 1.1', "within"),
        ('"floor_usd": 2000000.0', '"floor_usd": 0.0', "ascend"),
        ('"unit_usd": 100000.0', '"unit_usd": 0.0', "no price"),
        ('"tables": [', '"tables": [[', "Expected"),
    ],
)
async def test_what_was_damaged_is_not_used(tmp_path: Path, old: str, new: str, why: str) -> None:
    await files(tmp_path).keep("okx", [TABLE], [COLLATERAL])
    path = tmp_path / "okx.json"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))

    with pytest.raises(ValueError, match=why):
        read_terms(path, "okx")
    assert await files(tmp_path).recall("okx") == ((), ())


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"[]", b" " * (BYTES_MAX + 1)])
async def test_what_is_no_such_file_is_not_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "okx.json").write_bytes(content)

    assert await files(tmp_path).recall("okx") == ((), ())


async def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    await files(tmp_path).keep("okx", [TABLE], [])
    before = (tmp_path / "okx.json").read_bytes()
    (tmp_path / "okx.json.part").mkdir()

    await files(tmp_path).keep("okx", [TABLE], [COLLATERAL])

    assert (tmp_path / "okx.json").read_bytes() == before


async def test_too_much_is_not_kept(tmp_path: Path) -> None:
    many = [msgspec.structs.replace(TABLE, market=MarketId(f"okx:{'X' * 100_000}{n}")) for n in range(90)]

    await files(tmp_path).keep("okx", many, [])

    assert await files(tmp_path).recall("okx") == ((), ())
