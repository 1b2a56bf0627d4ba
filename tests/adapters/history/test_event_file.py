"""Event files give back what was put in, exactly, in equal bytes; what is no such file is named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.history.event_file import EventFile, EventWriter, read_events
from adapters.history.event_schema import HEADER_KEY, EventFileHeader, EventFileSpan, EventOrder, Origin
from guard.errors import FileUnusableError
from guard.events import (
    CURVE_BPS,
    NOTIONALS_USD,
    AccountSnapshot,
    AnyEvent,
    BookSide,
    LinkChanged,
    LinkKind,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    Position,
    PositionSource,
    Stream,
    StreamActivity,
    StreamsActive,
    Tick,
)
from guard.units import AccountId, MarketId
from tests.support.any_events import ALL_EVENTS, events, usual_sides
from tests.support.market import even_features

BTC, ETH = MarketId("binanceusdm:BTC/USDT:USDT"), MarketId("binanceusdm:ETH/USDT:USDT")
AS_PROCESSED = EventFileHeader(origin=Origin.RECORDING, software="test", order=EventOrder.AS_PROCESSED)
BY_TIME = EventFileHeader(origin=Origin.SIMULATION, software="test")


def write(
    path: Path, given: Iterable[AnyEvent], header: EventFileHeader = BY_TIME, rows_max: int = 16
) -> Path:
    with EventWriter(path, header, rows_max=rows_max) as writer:
        for event in given:
            writer.write(event)
    return path


def mark(at: int, price: float = 60_000.0, market: MarketId = BTC) -> MarkPriceSeen:
    return MarkPriceSeen(received_at=at, market=market, mark_price=price)


def sample(at: int, market: MarketId = BTC) -> MarketFeatures:
    return even_features(at, market=market)


@pytest.mark.parametrize("kind", ALL_EVENTS, ids=lambda kind: kind.__name__)
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_kind_comes_back_exactly(kind: type, tmp_path: Path, data: st.DataObject) -> None:
    given = data.draw(st.lists(events(kind), min_size=1, max_size=4))
    assert list(read_events(write(tmp_path / "events.parquet", given, AS_PROCESSED, 3))) == given


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(given=st.lists(events(), max_size=12), rows_max=st.integers(1, 9))
def test_kinds_in_any_order_come_back_exactly(given: list[AnyEvent], rows_max: int, tmp_path: Path) -> None:
    found = list(read_events(write(tmp_path / "events.parquet", given, AS_PROCESSED, rows_max)))
    assert found == given
    assert [type(event) for event in found] == [type(event) for event in given]
    assert [msgspec.json.encode(event) for event in found] == [msgspec.json.encode(event) for event in given]


def test_equal_events_give_equal_bytes(tmp_path: Path) -> None:
    given = [event for at in range(50) for event in (sample(at), sample(at, ETH), mark(at))]
    first, second = write(tmp_path / "a", given), write(tmp_path / "b", given)
    assert first.read_bytes() == second.read_bytes()
    other = write(tmp_path / "c", [*given[:-1], mark(49, 60_001.0)])
    assert first.read_bytes() != other.read_bytes()


def test_numbers_of_columns_may_be_infinite_and_the_rest_may_not(tmp_path: Path) -> None:
    given = [mark(1, float("inf")), mark(2, -0.0)]
    found = list(read_events(write(tmp_path / "events.parquet", given)))
    assert [repr(event) for event in found] == [repr(event) for event in given]
    position = Position(market=BTC, size=1.0, leverage=float("inf"))
    snapshot = AccountSnapshot(
        received_at=3,
        account=AccountId("binanceusdm:main"),
        source=PositionSource.VENUE,
        positions=(position,),
    )
    with pytest.raises(FileUnusableError, match="account_snapshot holds a number that is not finite"):
        write(tmp_path / "events.parquet", [snapshot])
    assert list(read_events(tmp_path / "events.parquet")) == given, "the former file was left as it was"


@pytest.mark.parametrize(
    "event",
    [
        mark(1, float("nan")),
        msgspec.structs.replace(mark(1), index_price=float("nan")),
        msgspec.structs.replace(
            sample(1),
            bids=BookSide(
                curve_usd=(1.0,) * len(CURVE_BPS),
                visible_bps=1.0,
                visible_usd=1.0,
                slippage_bps=(None,) * len(NOTIONALS_USD),
                slope_usd=float("nan"),
            ),
        ),
        msgspec.structs.replace(mark(1), next_funding_at=2**63),
    ],
    ids=["required", "may be missing", "of a side", "too large"],
)
def test_what_would_not_come_back_is_refused(event: AnyEvent, tmp_path: Path) -> None:
    with pytest.raises(FileUnusableError, match=r"NaN in|too large"):
        write(tmp_path / "events.parquet", [event])
    assert list(tmp_path.iterdir()) == []


def test_a_file_tells_what_it_holds(tmp_path: Path) -> None:
    header = EventFileHeader(
        origin=Origin.SIMULATION,
        software="perpguard 1",
        tag="abc",
        episode_sha256="0123",
    )
    sampled = MarketsSampled(received_at=9, samples=(sample(8), sample(9, ETH)), left_out=3)
    file = EventFile(
        write(tmp_path / "events.parquet", [Tick(received_at=5), mark(6, market=ETH), sampled], header)
    )
    assert file.header == header
    assert file.span == EventFileSpan(events=3, first_at=5, last_at=9)
    assert file.rows == 5
    assert file.markets == (BTC, ETH)


def test_a_file_of_no_events_is_one(tmp_path: Path) -> None:
    file = EventFile(write(tmp_path / "events.parquet", []))
    assert (list(file.events()), file.span, file.markets) == ([], EventFileSpan(), ())


def test_parts_stand_in_rows_of_their_own(tmp_path: Path) -> None:
    """Whoever opens the file with another program finds every sample of a market, however it was judged."""
    activity = StreamActivity(
        received_at=2, subject=BTC, stream=Stream.BOOK, updates=7, last_at=2, gap_ns_max=1
    )
    given: list[AnyEvent] = [
        MarketsSampled(received_at=1, samples=(sample(1), sample(1, ETH))),
        StreamsActive(received_at=2, activities=(activity,)),
        sample(3),
    ]
    table = pq.read_table(write(tmp_path / "events.parquet", given))
    samples = table.filter(pa.compute.equal(table["type"].cast("string"), "market_features")).to_pylist()
    assert [(row["received_at"], row["market"]) for row in samples] == [(1, BTC), (1, ETH), (3, BTC)]
    assert table["parts"].to_pylist() == [2, None, None, None, None]
    bids = sample(1).bids
    assert bids is not None
    assert samples[0]["bid_depth_usd_100bps"] == bids.curve_usd[CURVE_BPS.index(100.0)]
    assert samples[0]["bid_slippage_bps_500usd"] == bids.slippage_bps[NOTIONALS_USD.index(500.0)]


@given(side=usual_sides())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_book_may_have_one_side(side: Any, tmp_path: Path) -> None:
    given = [
        msgspec.structs.replace(sample(1), bids=None, asks=side),
        sample(2),
        msgspec.structs.replace(sample(3), bids=side, asks=None),
    ]
    assert list(read_events(write(tmp_path / "events.parquet", given))) == given


def test_what_raises_while_writing_leaves_the_former_file(tmp_path: Path) -> None:
    path = write(tmp_path / "events.parquet", [mark(1)])
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write(path, _interrupted(), rows_max=1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _interrupted() -> Iterable[AnyEvent]:
    yield mark(2)
    raise KeyboardInterrupt


def test_writing_against_time_is_refused_where_order_is_by_time(tmp_path: Path) -> None:
    with pytest.raises(FileUnusableError, match="event 3 was received 4 ns before"):
        write(tmp_path / "events.parquet", [mark(1), mark(9), mark(5)])
    backwards = [mark(9), mark(5)]
    assert list(read_events(write(tmp_path / "events.parquet", backwards, AS_PROCESSED))) == backwards


def rewritten(path: Path, change: Any) -> Path:
    """The file with its table changed, and its metadata kept unless that is changed."""
    table = change(pq.read_table(path))
    pq.write_table(table, path)
    return path


def replace_column(name: str, values: Sequence[Any]) -> Any:
    def change(table: Any) -> Any:
        at = table.schema.get_field_index(name)
        field = table.schema.field(at).with_nullable(True)
        return table.set_column(at, field, pa.array(values, type=field.type))

    return change


def other_version(table: Any) -> Any:
    header = msgspec.json.decode(table.schema.metadata[HEADER_KEY]) | {"version": 2}
    return table.replace_schema_metadata({HEADER_KEY: msgspec.json.encode(header)})


def names(*values: str | None) -> Any:
    return pa.array(values).dictionary_encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.replace_schema_metadata({}), "not one of events"),
        (other_version, "an event file of version 2, this program reads 1"),
        (
            lambda table: table.replace_schema_metadata({HEADER_KEY: b"{}"}),
            "what it says of itself cannot be read",
        ),
        (lambda table: table.drop_columns(["mark_price"]), "column mark_price is missing"),
        (lambda table: table.drop_columns(["type"]), "column type is missing"),
        (
            lambda table: table.select(["received_at"]).replace_schema_metadata({"perpguard.truth": "{}"}),
            "not one of events of perpguard",
        ),
        (
            lambda table: table.set_column(0, "received_at", pa.array(["1", "2", "3"])),
            "column received_at is string, not int64",
        ),
        (replace_column("received_at", [1, 3, 2]), "row 3: received 1 ns before"),
        (replace_column("mark_price", [1.0, None, 2.0]), "row 2: mark_price is missing"),
        (
            replace_column("type", names("mark_price", "mark_price", "earthquake")),
            "row 3: no event of type 'earthquake'",
        ),
        (
            replace_column("type", names("mark_price", "markets_sampled", "mark_price")),
            "row 2: left_out is missing",
        ),
        (replace_column("parts", [None, 1, None]), "row 2: 1 parts are announced of a mark_price"),
        (replace_column("body", [None, "{", None]), "row 2: body is no event"),
        (
            replace_column("body", [None, '{"type":"tick","received_at":2}', None]),
            "row 2: type is 'mark_price' and body a 'tick'",
        ),
    ],
)
def test_a_file_that_was_made_wrong_is_told_with_its_row(change: Any, said: str, tmp_path: Path) -> None:
    path = rewritten(write(tmp_path / "events.parquet", [mark(1), mark(2), mark(3)]), change)
    with pytest.raises(FileUnusableError, match=said) as told:
        list(read_events(path))
    assert told.value.path == str(path)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    """Another program may have put them in another order, or added some."""
    given: list[AnyEvent] = [sample(1), mark(2), Tick(received_at=3)]

    def change(table: Any) -> Any:
        reordered = table.select(list(reversed(table.column_names)))
        return reordered.append_column("mine", pa.array([1, 2, 3]))

    assert list(read_events(rewritten(write(tmp_path / "events.parquet", given), change))) == given


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda whole: b"", "not a Parquet file"),
        (lambda whole: b"received_at,market\n1,BTC\n", "not a Parquet file"),
        (lambda whole: whole[: len(whole) // 2], "cut off"),
        (lambda whole: whole[:-1], "cut off"),
        (lambda whole: whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], "row group 1 is damaged"),
    ],
)
def test_damaged_files_are_told(damage: Any, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "events.parquet", [sample(at) for at in range(200)], rows_max=500)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileUnusableError, match=said):
        list(read_events(path))


def test_a_file_that_is_not_there_or_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileUnusableError, match="there is no such file"):
        EventFile(tmp_path / "events.parquet")
    with pytest.raises(FileUnusableError, match="directory"):
        EventFile(tmp_path)
    with pytest.raises(FileUnusableError, match="cannot be written"):
        EventWriter(tmp_path / "no" / "events.parquet", BY_TIME)


def test_links_are_kept_whole(tmp_path: Path) -> None:
    """A kind without columns of its own: its row has its type, its time and a body."""
    link = LinkChanged(received_at=4, link=LinkKind.BROKER, up=False, detail="gone")
    table = pq.read_table(write(tmp_path / "events.parquet", [link]))
    row = {name: value for name, value in table.to_pylist()[0].items() if value is not None}
    assert row.keys() == {"received_at", "type", "body"}
    assert msgspec.json.decode(row["body"], type=LinkChanged) == link
