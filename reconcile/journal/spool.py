"""Differences in a file, however many they are: as they were found, or in the order of a report.

A temporary file may be memory, so they are compressed, to a sixth or less.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import IO, NamedTuple

import deflate

from shared.repository.drifts import BATCH, CONSEQUENCES, DriftRow, decode, encode

_IN_MEMORY = 1 << 20
"""Bytes up to which there is no file."""

_TOGETHER = 50
"""Rows that are compressed and read together."""

_FASTEST = 1
"""How hard to compress: the hardest saves 6 % more, for twice the time."""

_PORTION = 10 * BATCH
"""Rows that are sorted at once."""


class Block(NamedTuple):
    """Where some rows lie in the file."""

    begin: int
    size: int


class Spool:
    """An unnamed file of differences."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed later)
        self._end = 0

    def write(self, rows: Sequence[DriftRow]) -> list[Block]:
        """Append rows, and return where they lie."""
        blocks: list[Block] = []
        self._file.seek(self._end)
        for start in range(0, len(rows), _TOGETHER):
            packed = deflate.gzip_compress(encode(rows[start : start + _TOGETHER]), _FASTEST)
            self._file.write(packed)
            blocks.append(Block(self._end, len(packed)))
            self._end += len(packed)
        return blocks

    def read(self, blocks: Iterable[Block]) -> Iterator[DriftRow]:
        """Yield the rows that lie there; others may read or write meanwhile."""
        for block in blocks:
            self._file.seek(block.begin)
            yield from decode(deflate.gzip_decompress(self._file.read(block.size)))

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


class SortedSpool:
    """Sorts by portions into a file, and merges them anew for each reader."""

    def __init__(self, portion: int = _PORTION) -> None:
        """`portion`: rows that are sorted at once."""
        self._spool = Spool()
        self._segments: dict[str, list[list[Block]]] = {name: [] for name in CONSEQUENCES}
        self._unsorted: list[DriftRow] = []
        self._portion = portion

    def add(self, rows: Iterable[DriftRow]) -> None:
        """Take rows in, in any order."""
        for row in rows:
            self._unsorted.append(row)
            if len(self._unsorted) >= self._portion:
                self._sort()

    def read(self, consequence: str | None = None) -> Iterator[DriftRow]:
        """Yield all in order, or those of one consequence."""
        self._sort()
        for name in CONSEQUENCES if consequence is None else (consequence,):
            parts = [self._spool.read(blocks) for blocks in self._segments[name]]
            yield from heapq.merge(*parts, key=lambda row: row.place)

    def unsorted(self) -> Iterator[DriftRow]:
        """Yield all in any order, at half the price."""
        self._sort()
        for blocks in chain(*self._segments.values()):
            yield from self._spool.read(blocks)

    def close(self) -> None:
        """Remove the file."""
        self._spool.close()

    def _sort(self) -> None:
        self._unsorted.sort(key=lambda row: row.place)
        for name, ones in groupby(self._unsorted, key=lambda row: row.consequence):
            self._segments[name].append(self._spool.write(list(ones)))
        self._unsorted.clear()
