"""What a table of a file consists of: columns with their type, unit and meaning, which documents are made from too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from guard.extras import need


class Kind(StrEnum):
    """What a column holds, in Parquet's and Arrow's terms; ``null`` where it may be missing."""

    INTEGER = "int64"
    NUMBER = "double"
    FLAG = "bool"
    NAME = "string, dictionary"
    """Of few different values."""
    TEXT = "string"
    NUMBERS = "list of double"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``meaning`` holds its unit; ``width`` is how many numbers a list holds, always."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    width: int = 0

    def arrow(self) -> Any:
        """The column as a pyarrow.Field. Raises ExtraMissingError."""
        arrow = need("pyarrow", extra="lab")
        types = {
            Kind.INTEGER: arrow.int64(),
            Kind.NUMBER: arrow.float64(),
            Kind.FLAG: arrow.bool_(),
            Kind.NAME: arrow.dictionary(arrow.int32(), arrow.string()),
            Kind.TEXT: arrow.string(),
            Kind.NUMBERS: arrow.list_(arrow.float64(), self.width or 1),
        }
        return arrow.field(self.name, types[self.kind], nullable=not self.required)


def schema_of(columns: Iterable[Column], metadata: dict[bytes, bytes]) -> Any:
    """The columns and what the file says of itself as a pyarrow.Schema. Raises ExtraMissingError."""
    return need("pyarrow", extra="lab").schema([column.arrow() for column in columns], metadata=metadata)


def storage_of(columns: Iterable[Column]) -> dict[str, Any]:
    """How the columns are stored, as options of a pyarrow.parquet.ParquetWriter.

    The bytes of numbers are split (neighbours have the same exponents), times and counts are written as
    differences, names by number, all of it compressed by zstd; each page has a checksum.
    """
    columns = tuple(columns)
    encodings = {
        Kind.INTEGER: "DELTA_BINARY_PACKED",
        Kind.NUMBER: "BYTE_STREAM_SPLIT",
        Kind.NUMBERS: "BYTE_STREAM_SPLIT",
    }
    return {
        "compression": "zstd",
        "write_page_checksum": True,
        "compression_level": 3,
        "use_dictionary": [column.name for column in columns if column.kind is Kind.NAME],
        "column_encoding": {
            column.name + ".list.element" * (column.kind is Kind.NUMBERS): encodings[column.kind]
            for column in columns
            if column.kind in encodings
        },
        "write_statistics": [column.name for column in columns if column.kind is Kind.INTEGER],
    }


def document(columns: Iterable[Column]) -> Iterator[str]:
    """Yield the lines of a table in Markdown that describes them."""
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    for column in columns:
        kind = f"{column.width} double" if column.width else column.kind.value
        yield f"| `{column.name}` | {kind}{'' if column.required else ', null'} | {column.meaning} |"
