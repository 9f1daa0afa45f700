"""A series as a user holds it: the methods that a metric and a track share. Names and shapes of answers only;
values are the Recorder's business, storage nobody's here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, overload

import msgspec

from ml_dash import codec
from ml_dash.errors import InvalidInput, InvalidType, SeriesNotFound
from ml_dash.model import CHUNK_SIZE, MOST_FIELDS, Appended, SeriesInfo, SeriesMeta
from ml_dash.names import check_series_name
from ml_dash.values import text, texts, whole

if TYPE_CHECKING:
    import numpy as np

    from ml_dash.recorder import Recorder
    from ml_dash.rollup import Sample

UNNAMED = "None"
"""What the series without a name is called on disk and in lists, as in the published clients."""


class Series:
    """One series of an open run: append, read, summarise. Get one from the experiment or session; do not make one."""

    _KIND: ClassVar[str]
    _NOUN: ClassVar[str]
    _ID: ClassVar[str]

    def __init__(self, recorder: Recorder, name: str | None) -> None:
        self._recorder = recorder
        self.name = UNNAMED if name is None else name
        self._key = recorder.series(self._KIND, check_series_name("name", self.name))
        self._id = f"local-{self._NOUN}-{self.name}"
        self._meta: SeriesMeta | None = None

    def describe(self, description: str | None, tags: list[str] | None, metadata: Mapping[str, Any] | None) -> None:
        """Keep what is said of the series; it is stored with the next append, and replaces what was said before."""
        if description is None and tags is None and metadata is None:
            return
        about = {
            "description": text("description", description),
            "tags": texts("tags", tags),
            "metadata": codec.settled("metadata", metadata),
        }
        waiting = self._meta or SeriesMeta(self._KIND, self.name)
        said = msgspec.structs.replace(waiting, **{key: value for key, value in about.items() if value is not None})
        self._meta = said if self._recorder.said.get(self._key) != said else None

    def _say(self, rows: list[Any]) -> None:
        """Store what was said of the series, before `rows`; nothing for rows that will be refused."""
        meta = self._meta
        if meta is None:
            return
        try:
            codec.encode_rows(rows)
        except InvalidInput:
            return
        self._recorder.describe_series(meta)
        self._recorder.said[self._key] = meta
        if self._meta is meta:
            self._meta = None

    def _find_again(self) -> None:
        """The run was deleted and made anew: a handle that was kept goes on with the new one."""
        self._key = self._recorder.series(self._KIND, self.name)

    # ------------------------------------------------------------ append

    def append(self, /, *row: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """Append one point: ``append(value=0.5, step=1)`` or ``append({"value": 0.5})``.

        Returns ``{"metricId", "index", "bufferedDataPoints", "chunkSize"}`` ("trackId" for a track). What returned survives
        the death of the process. `index` is None only for a call from a signal handler inside another append to this series.
        Raises `InvalidInput` (`TypeError` for a value that cannot be stored), `RunClosed`, `OSError` if it was not stored.
        """
        if row:
            fields = _one_row(row, fields)
        if self._meta is not None:
            self._say([fields])
        done = self._recorder.append(self._key, fields)
        return {self._ID: self._id, "index": done.first, "bufferedDataPoints": done.total, "chunkSize": CHUNK_SIZE}

    def append_batch(self, data_points: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Append points in order, all of them or none.

        Returns ``{"metricId", "startIndex", "endIndex", "count", "bufferedDataPoints", "chunkSize"}``.
        Raises `ValueError` for an empty batch, else as `append` does.
        """
        rows = _rows(data_points)
        if not rows:
            msg = f"{self._NOUN} {self.name!r}: the batch is empty; append_batch needs at least one point."
            raise InvalidInput(msg)
        if self._meta is not None:
            self._say(rows)
        done = self._recorder.append_batch(self._key, rows)
        return self._batch_answer(done)

    def _batch_answer(self, done: Appended) -> dict[str, Any]:
        first = done.first
        return {
            self._ID: self._id,
            "startIndex": first,
            "endIndex": None if first is None else first + done.count - 1,
            "count": done.count,
            "bufferedDataPoints": done.total,
            "chunkSize": CHUNK_SIZE,
        }

    # ------------------------------------------------------------ read

    def read(self, start_index: int = 0, limit: int | None = 1000) -> dict[str, Any]:
        """Points [start_index, start_index + limit) as far as they exist.

        A negative `start_index` counts from the end; `limit` None is all, 0 or less none. Returns ``{"data": [{"index", "data",
        "createdAt"}], "startIndex", "endIndex", "total", "hasMore"}``, where "total" is how many were returned.
        Raises `CorruptData` where a stored line is damaged.
        """
        start = whole("start_index", start_index)
        count = None if limit is None else whole("limit", limit)
        length = self._recorder.count(self._key)
        start = max(0, length + start) if start < 0 else start
        stop = length if count is None else min(length, start + max(count, 0))
        data: list[dict[str, Any]] = []
        with codec.gc_paused(stop - start):
            for page in self._recorder.pages(self._key, start, stop) if stop > start else ():
                data.extend(codec.decode_page(page))
        end = start + len(data)
        return {"data": data, "startIndex": start, "endIndex": end - 1, "total": len(data), "hasMore": end < length}

    def __len__(self) -> int:
        return self._recorder.count(self._key)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The points as of the start of the iteration, a page at a time."""
        for page in self._recorder.pages(self._key, 0, None):
            yield from codec.decode_page(page)

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """``metric[i]`` is a point, ``metric[a:b]`` a list of points; negative indices count from the end. Raises `IndexError`."""
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step < 0:
                return list(reversed(self._between(stop + 1, start + 1)))[::-step]
            return self._between(start, stop)[::step]
        index = whole("index", at)
        found = self.read(index, 1)["data"] if index >= 0 or -index <= len(self) else []
        if not found:
            msg = f"{self._NOUN} {self.name!r} has {len(self)} points; there is none at index {index}."
            raise IndexError(msg)
        point: dict[str, Any] = found[0]
        return point

    def _between(self, start: int, stop: int) -> list[dict[str, Any]]:
        return self.read(start, stop - start)["data"] if stop > start else []

    # ------------------------------------------------------------ columns

    def columns(
        self, fields: Iterable[str] | str | None = None, start_index: int = 0, stop_index: int | None = None
    ) -> dict[str, np.ndarray[Any, Any]]:
        """NumPy arrays of equal length: "index" (int64), "createdAt" (datetime64[ms]) and each of `fields` (None: all there are).

        A field is int64 or bool where every row has one, float64 where there are numbers (NaN where missing), else object
        (None where missing). A user's own field "index" or "createdAt" comes as "data.index", "data.createdAt".
        Raises `CorruptData`.
        """
        from ml_dash.columns import columns, numbers

        start, stop = self._range(start_index, stop_index)
        wanted = texts("fields", [fields] if isinstance(fields, str) else fields)
        if wanted is not None and len(wanted) <= MOST_FIELDS:
            found = numbers(self._recorder.columns(self._key, wanted, start, stop), wanted)
            if found is not None:
                return found
        return columns(self._recorder.pages(self._key, start, stop), wanted)

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        length = len(self)
        start = whole("start_index", start)
        stop = length if stop is None else whole("stop_index", stop)
        start = max(0, start + length) if start < 0 else start
        stop = max(0, stop + length) if stop < 0 else min(stop, length)
        return min(start, stop), stop

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` of `columns()`, indexed by "index". Raises `ImportError` naming the extra."""
        from ml_dash.columns import to_pandas

        return to_pandas(self.columns())

    def to_polars(self) -> Any:
        """A `polars.DataFrame` of `columns()`. Raises `ImportError` naming the extra."""
        from ml_dash.columns import to_polars

        return to_polars(self.columns())

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` of `columns()`. Raises `ImportError` naming the extra."""
        from ml_dash.columns import to_arrow

        return to_arrow(self.columns())

    def sample(
        self,
        field: str,
        x: str | None = None,
        start_index: int = 0,
        stop_index: int | None = None,
        max_points: int = 1000,
    ) -> Sample:
        """At most `max_points` exact buckets of consecutive points of `field`: no extreme is ever lost. See `rollup.Sample`.

        `x` names the field of the horizontal axis, None is the index. Raises `InvalidInput`.
        """
        if not isinstance(field, str):
            msg = f"field: expected the name of a field; got {field!r} of type {type(field).__name__}."
            raise InvalidType(msg)
        x = text("x", x)
        start, stop = self._range(start_index, stop_index)
        sample: Sample = self._recorder.sample(self._key, field, x, start, stop, max_points)
        return sample

    # ------------------------------------------------------------ about

    def stats(self) -> dict[str, Any]:
        """What is known of the series: ``{"metricId", "name", "description", "tags", "metadata", "totalDataPoints",
        "bufferedDataPoints", "chunkedDataPoints", "totalChunks", "chunkSize", "firstDataAt", "lastDataAt", "createdAt",
        "updatedAt"}``; "firstDataAt" and "lastDataAt" are the wall times of the first and last point.
        Raises `SeriesNotFound` (a `FileNotFoundError`) for a series without points.
        """
        info = next((i for i in self._recorder.describe() if (i.kind, i.name) == self._key[1:]), None)
        if info is None or not info.count:
            msg = f"{self._NOUN} {self.name!r} has no points yet; append one first."
            raise SeriesNotFound(msg)
        return {
            self._ID: self._id,
            "name": info.name,
            "description": info.description,
            "tags": info.tags,
            "metadata": info.metadata,
            "totalDataPoints": info.count,
            "bufferedDataPoints": info.count - info.chunked,
            "chunkedDataPoints": info.chunked,
            "totalChunks": info.chunks,
            "chunkSize": CHUNK_SIZE,
            "firstDataAt": info.first_at,
            "lastDataAt": info.last_at,
            "createdAt": info.created_at,
            "updatedAt": info.updated_at,
        }

    def list_all(self) -> list[dict[str, Any]]:
        """Every series of the run, sorted by name: ``{"metricId", "name", "description", "tags", "totalDataPoints", "createdAt"}``."""
        infos = (info for info in self._recorder.describe() if info.kind == self._KIND)
        return [self._summary(info) for info in sorted(infos, key=lambda info: info.name)]

    def _summary(self, info: SeriesInfo) -> dict[str, Any]:
        return {
            self._ID: f"local-{self._NOUN}-{info.name}",
            "name": info.name,
            "description": info.description,
            "tags": info.tags,
            "totalDataPoints": info.count,
            "createdAt": info.created_at,
        }

    def __repr__(self) -> str:
        return f"<{self._NOUN} {self.name!r} of {self._recorder.key.project}/{self._recorder.key.name}>"


def _one_row(row: tuple[Any, ...], fields: dict[str, Any]) -> dict[str, Any]:
    """The row of a call with a positional argument."""
    if len(row) > 1 or not isinstance(row[0], Mapping):
        got = ", ".join(type(r).__name__ for r in row)
        msg = f"append takes one mapping, or fields by keyword: append(value=0.5, step=1); got {got}."
        raise InvalidType(msg)
    merged = dict(row[0])
    for name in merged:
        if not isinstance(name, str):
            msg = f"append: keys must be strings; got {name!r} of type {type(name).__name__}. Use str(key)."
            raise InvalidType(msg)
    return merged | fields


def _rows(rows: Any) -> list[Any]:
    if isinstance(rows, (str, bytes, Mapping)) or not isinstance(rows, Iterable):
        msg = f"append_batch takes a list of mappings, one a point; got {type(rows).__name__}."
        raise InvalidType(msg)
    return rows if isinstance(rows, list) else list(rows)
