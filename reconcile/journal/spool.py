"""Differences in the order of a report, kept in a file however many they are."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from shared.repository.drifts import CONSEQUENCES, DriftRow, as_line, from_line

_PORTION = 4 << 20
"""Bytes that are sorted at once."""

_BUFFERS = 8 << 20
"""Bytes that are read ahead in all."""


class _Segment(NamedTuple):
    """A part of the file, sorted, of one consequence."""

    begin: int
    end: int


class SortedSpool:
    """Sorts by portions into an unnamed file, and merges them anew for each reader."""

    def __init__(self, rows: Iterable[DriftRow], portion: int = _PORTION) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this)
        self._segments: dict[str, list[_Segment]] = {name: [] for name in CONSEQUENCES}
        waiting: list[tuple[tuple[str, str, str], str, bytes]] = []
        size = 0
        for row in rows:
            line = as_line(row)
            waiting.append((row.place, row.consequence, line))
            size += len(line)
            if size >= portion:
                self._append(waiting)
                waiting, size = [], 0
        self._append(waiting)
        self._file.flush()

    def read(self, consequence: str | None = None) -> Iterator[DriftRow]:
        """Yield all, or those of one consequence."""
        for name in CONSEQUENCES if consequence is None else (consequence,):
            segments = self._segments[name]
            ahead = max(_BUFFERS // max(len(segments), 1), 4096)
            parts = [self._rows(segment, ahead) for segment in segments]
            yield from heapq.merge(*parts, key=lambda row: row.place)

    def unsorted(self) -> Iterator[DriftRow]:
        """Yield all in any order, at half the price."""
        for segments in self._segments.values():
            for segment in segments:
                yield from self._rows(segment, _BUFFERS)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _append(self, waiting: list[tuple[tuple[str, str, str], str, bytes]]) -> None:
        waiting.sort(key=lambda one: one[0])
        for name, ones in groupby(waiting, key=lambda one: one[1]):
            begin = self._file.tell()
            self._file.writelines(line for _, _, line in ones)
            self._segments[name].append(_Segment(begin, self._file.tell()))

    def _rows(self, segment: _Segment, ahead: int) -> Iterator[DriftRow]:
        """Yield a segment's rows, read past the file's own position, which others use too."""
        place, rest = segment.begin, b""
        while place < segment.end:
            read = os.pread(self._file.fileno(), min(ahead, segment.end - place), place)
            place += len(read)
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                yield from_line(line)
