"""Parquet files that are written as they come and are there only when they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from guard.columns import Column, schema_of, storage_of
from guard.errors import FileUnusableError
from guard.extras import need

UNFINISHED = ".unfinished"
"""What a file's name ends with until it is whole."""

ROWS_MAX = 16_384


class ParquetFile:
    """A Parquet file that is written; a context manager that leaves a whole file, or none if anything raises in it.

    What is killed leaves ``NAME.unfinished``. Equal tables give equal bytes, with the same version of pyarrow.

    Args:
        path: replaced when the new file is whole.
        columns: of every table.
        metadata: what the file says of itself.

    Raises:
        ExtraMissingError: pyarrow is not installed.
        FileUnusableError: it cannot be written there.
    """

    def __init__(self, path: Path, columns: Sequence[Column], metadata: Mapping[bytes, bytes]) -> None:
        self.path = path
        self.schema = schema_of(columns, dict(metadata))
        self._unfinished = path.with_name(path.name + UNFINISHED)
        parquet = need("pyarrow.parquet", extra="lab")
        with self._disk_told():
            self._writer = parquet.ParquetWriter(self._unfinished, self.schema, **storage_of(columns))

    def write(self, table: Any) -> None:
        """Write a pyarrow.Table as one row group. Raises FileUnusableError."""
        with self._disk_told():
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))

    def close(self, metadata: Mapping[bytes, bytes] | None = None) -> None:
        """Make the file whole, with more to say of itself, and give it its name. Raises FileUnusableError."""
        if metadata:
            self._writer.add_key_value_metadata(dict(metadata))
        with self._disk_told():
            self._writer.close()
            with self._unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            self._unfinished.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind. Raises FileUnusableError."""
        with self._disk_told():
            try:
                self._writer.close()
            finally:
                self._unfinished.unlink(missing_ok=True)

    @contextmanager
    def _disk_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileUnusableError(
                str(self.path), f"cannot be written: {error.strerror or error}"
            ) from error


class RowWriter:
    """Writes rows into a ``ParquetFile``, as it a context manager; holds ``rows_max`` of them at most."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[Column],
        metadata: Mapping[bytes, bytes],
        *,
        rows_max: int = ROWS_MAX,
    ) -> None:
        self.rows = 0
        self._file = ParquetFile(path, columns, metadata)
        self._columns = tuple(columns)
        self._rows_max = rows_max
        self._waiting: list[Sequence[Any]] = []

    def write(self, row: Sequence[Any]) -> None:
        """Take a row: a value for each column, in their order. Raises FileUnusableError."""
        self._waiting.append(row)
        self.rows += 1
        if len(self._waiting) >= self._rows_max:
            self.flush()

    def write_columns(self, *columns: Any) -> None:
        """Write many rows at once, each column a sequence of equal length. Raises FileUnusableError."""
        self.flush()
        self.rows += len(columns[0])
        self._write(columns)

    def flush(self) -> None:
        """Write what waits. Raises FileUnusableError."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._write(list(zip(*waiting, strict=True)))

    def close(self) -> None:
        """Make the file whole. Raises FileUnusableError."""
        self.flush()
        self._file.close()

    def discard(self) -> None:
        """Leave nothing behind. Raises FileUnusableError."""
        self._file.discard()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, or discard if something was raised."""
        close_or_discard(self, kind)

    def _write(self, columns: Sequence[Any]) -> None:
        arrow = need("pyarrow", extra="lab")
        arrays = [
            arrow.array(values, type=column.arrow().type)
            for column, values in zip(self._columns, columns, strict=True)
        ]
        self._file.write(arrow.Table.from_arrays(arrays, schema=self._file.schema))


def close_or_discard(writer: Any, raised: type[BaseException] | None) -> None:
    """End a writer as its block ended: ``close`` it, or ``discard`` it if anything was raised, also by closing."""
    if raised is not None:
        writer.discard()
        return
    try:
        writer.close()
    except BaseException:
        writer.discard()
        raise
