"""A local series as `sample_cache` reads it: numbers, block by block. Imports NumPy; import it where a sample is taken."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ml_dash import codec

if TYPE_CHECKING:
    from ml_dash.rollup import BoolArray, FloatArray
    from ml_dash.store.foreign import IrregularSeries
    from ml_dash.store.series_file import SeriesFile

_BLOCK = 200_000


class SeriesNumbers:
    """The numeric view of one series as it is now; `file` None is a series without points."""

    def __init__(self, file: SeriesFile | IrregularSeries | None, kind: str) -> None:
        self._file = file
        self._kind = kind
        self.total = file.extent()[1] if file is not None else 0

    @property
    def identity(self) -> bytes:
        """Hash of the inode and the first line."""
        if self._file is None:
            return b""
        with open(self._file.path, "rb") as f:
            first = f.readline(1 << 16)
        return hashlib.sha256(b"%d " % os.stat(self._file.path).st_ino + first).digest()

    def numbers(self, fields: Sequence[str], start: int, stop: int) -> dict[str, tuple[FloatArray, BoolArray]]:
        """See `SampleSource.numbers`."""
        parts: dict[str, list[tuple[FloatArray, BoolArray]]] = {field: [] for field in fields}
        for at in range(start, stop, _BLOCK):
            assert self._file is not None
            page = self._file.read(at, min(_BLOCK, stop - at))
            for field, part in codec.numbers(page, fields).items():
                parts[field].append(part)
        empty = (np.empty(0), np.empty(0, dtype=bool))
        return {
            field: (np.concatenate([v for v, _ in got]), np.concatenate([m for _, m in got])) if got else empty
            for field, got in parts.items()
        }
