"""Reading without resuming: one run opened to read, and lists of runs as they are stored. Names and answers only.

Both packages use it: what differs between them is the facade class that is passed in.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast, overload

import msgspec

from ml_dash.errors import InvalidInput, InvalidType, NotFound
from ml_dash.facade import RunFacade
from ml_dash.model import METRICS, TRACKS, Run, RunKey, RunKind, RunQuery
from ml_dash.names import check_run_name
from ml_dash.notebook import MOST_ROWS, runs_table, short, summary
from ml_dash.place import Place, settle

if TYPE_CHECKING:
    from ml_dash.experiment import Experiment
    from ml_dash.store.base import Store

F = TypeVar("F", bound=RunFacade)
"""Which names a user chose: `Experiment` or `Session`."""

_SERIES: dict[RunKind, str] = {"experiment": METRICS, "session": TRACKS}
_PACKAGES: dict[RunKind, str] = {"experiment": "ml_dash", "session": "dreamlake"}
_CELL = 36


def load(
    name: str,
    project: str,
    *,
    local_path: str | os.PathLike[str] | None = None,
    remote: str | None = None,
    api_key: str | None = None,
) -> Experiment:
    """Open the run `name` of `project` to read, without resuming it: status, metrics, parameters, log and files.

    `local_path` is the folder that keeps it, or `remote` the server's URL, with `api_key` its token; neither: the environment
    variables ML_DASH_URL and ML_DASH_API_KEY, else the folder ML_DASH_DIR, else ".ml-dash". Nothing is changed; writing raises
    `ReadOnly` (a `RuntimeError`). Raises `NotFound` naming the runs that come near, `InvalidInput` for what is no name,
    `Unavailable` where the server does not answer.
    """
    from ml_dash.experiment import Experiment

    return open_run(Experiment, name, project, place_to_read(Experiment, local_path, remote, api_key))


def runs(
    *,
    local_path: str | os.PathLike[str] | None = None,
    remote: str | None = None,
    api_key: str | None = None,
    project: str | None = None,
    filter: str | Callable[[RunView[Experiment]], Any] | None = None,  # noqa: A002  the published word
    sort: str | None = None,
) -> RunList[Experiment]:
    """The runs of a folder or server as they are now, newest first, with parameters and the last row of every metric.

    `project` keeps that project's. `filter` is text such as ``params.lr < 0.01 and metrics["train/loss"].value < 0.5`` (see
    `ml_dash.query`) or a function of a `RunView`; `sort` is one such reference, descending after a leading "-". Where they are
    is said as for `load`; a folder that is not there has no runs. Raises `InvalidInput` for a filter or sort that cannot be read.
    """
    from ml_dash.experiment import Experiment

    return list_runs(Experiment, place_to_read(Experiment, local_path, remote, api_key), project, filter, sort)


class RunView(msgspec.Struct, Generic[F], frozen=True, eq=False, kw_only=True):
    """A run as it was when it was listed. `status` may be "LOST" (RUNNING, but its heartbeat is old); `params` is flat;
    `metrics` maps a series to its last row, and `counts` to its number of points; times are ISO 8601 texts in UTC."""

    name: str
    project: str
    id: str
    status: str
    created_at: str
    updated_at: str
    description: str | None
    tags: list[str]
    params: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    counts: dict[str, int]
    _facade: type[F]
    _place: Place
    _namespace: str = ""

    @property
    def workspace(self) -> str:
        """What dreamlake calls a project."""
        return self.project

    @property
    def tracks(self) -> dict[str, dict[str, Any]]:
        """What dreamlake calls metrics."""
        return self.metrics

    def load(self) -> F:
        """Open the run to read; see `load`. Raises `NotFound` where it was deleted since."""
        return open_run(self._facade, self.name, self.project, self._place, self._namespace)

    def __repr__(self) -> str:
        words = _words(self._facade)
        holds = f"{len(self.params)} parameters, {len(self.counts)} {words.series}"
        return f"<{words.kind} {self.name!r} {words.group}={self.project!r} {self.status}, {holds}>"


class RunList(Sequence[RunView[F]]):
    """Runs in order. A slice is a list of its kind again."""

    def __init__(self, views: Sequence[RunView[F]], facade: type[F], place: Place) -> None:
        self._views = list(views)
        self._facade = facade
        self._place = place

    def __len__(self) -> int:
        return len(self._views)

    def __iter__(self) -> Iterator[RunView[F]]:
        return iter(self._views)

    @overload
    def __getitem__(self, at: int) -> RunView[F]: ...
    @overload
    def __getitem__(self, at: slice) -> RunList[F]: ...
    def __getitem__(self, at: int | slice) -> RunView[F] | RunList[F]:
        if isinstance(at, slice):
            return RunList(self._views[at], self._facade, self._place)
        return self._views[at]

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, a row a run: name, project, status, created_at, every parameter ("params.lr") and every field
        of the last rows ("metrics.loss.value"); missing where a run lacks it. Raises `ImportError` naming the extra.
        """
        try:
            import pandas as pd
        except ImportError as e:
            raise ImportError("to_pandas() needs pandas: pip install 'ml-dash[pandas]'") from e
        words = _words(self._facade)
        created = pd.Series([view.created_at or None for view in self], dtype="object")
        table: dict[str, Any] = {
            "name": [view.name for view in self],
            words.group: [view.project for view in self],
            "status": [view.status for view in self],
            "created_at": pd.to_datetime(created, utc=True, format="ISO8601", errors="coerce"),
        }
        rows = [_flat(view, words.series) for view in self]
        names = dict.fromkeys(name for row in rows for name in row)
        ordered = sorted(names, key=lambda name: not name.startswith("params."))
        return pd.DataFrame(table | {name: [row.get(name) for row in rows] for name in ordered})

    def __repr__(self) -> str:
        if not self:
            return f"<{self._title()}>"
        header, rows = self._table()
        cells = [list(header), *([short(cell, _CELL) for cell in row] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        more = [f"… {len(self) - MOST_ROWS} more"] if len(self) > MOST_ROWS else []
        return "\n".join([self._title(), *lines, *more])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return runs_table(self._title(), *self._table(), len(self))

    def _title(self) -> str:
        runs = _words(self._facade).kind + ("" if len(self) == 1 else "s")
        return f"{len(self) or 'no'} {runs} in {self._place.root or self._place}"

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        words = _words(self._facade)
        header = ("name", words.group, "status", "created", "parameters", words.series)
        return header, [_cells(view) for view in self._views[:MOST_ROWS]]


def place_to_read(
    facade: type[RunFacade], local_path: str | os.PathLike[str] | None, remote: str | None, api_key: str | None
) -> Place:
    """Where runs of `facade`'s kind are read. Raises `InvalidInput`."""
    words = _words(facade)
    return settle(local_path, remote, api_key, variable=words.variable, default=words.folder).to_read()


def open_run(facade: type[F], name: str, group: str, place: Place, namespace: str = "") -> F:
    """A run of `facade`'s kind, opened to read; see `load`."""
    run = cast("Callable[..., F]", facade)(name, group, local_path=os.curdir)
    run._at = place  # noqa: SLF001  a facade has no public way to open without resuming
    recorder = run._recorder  # noqa: SLF001
    recorder.key = recorder.key._replace(namespace=namespace)
    try:
        recorder.open_to_read()
    except NotFound as e:
        found = _found(place, RunQuery())
        raise NotFound(f"{e} {_nearest(found, recorder.key, _words(facade).group, place.argument)}") from None
    if recorder.store is not None:
        # A list of a thousand runs, each loaded and read, keeps no more descriptors than the runs that are still held.
        weakref.finalize(recorder, recorder.store.close).atexit = False
    record = recorder.refresh()
    if record.kind != recorder.kind:
        package = _PACKAGES[record.kind]
        raise InvalidInput(
            f"{run.path or run.url} was written by {package} (kind {record.kind!r}). Open it with {package}.load()."
        )
    for said in ("description", "tags", "bindrs", "folder", "metadata"):
        setattr(run, said, getattr(record, said))
    return run


def list_runs(
    facade: type[F],
    place: Place,
    group: str | None,
    filter_: str | Callable[[RunView[F]], Any] | None,
    sort: str | None,
) -> RunList[F]:
    """Runs of `facade`'s kind; see `runs`."""
    words = _words(facade)
    if group is not None:
        check_run_name(words.group, group)
    store = place.open()
    try:
        keeps, keeps_view = _filters(filter_, store)
        key = _sort_key(sort, store)
        found = store.find_runs(RunQuery(project=group, series=True))
        found = [run for run in found if run.kind == words.kind and keeps(run)]
        if key is not None:
            found.sort(key=key)
    finally:
        store.close()
    now = time.time()
    views = (_view(run, facade, place, now) for run in found)
    return RunList([view for view in views if keeps_view(view)], facade, place)


class _Words(NamedTuple):
    """What a facade calls things, and where its runs are if nobody says."""

    kind: RunKind
    group: str
    series: str
    variable: str
    folder: str


def _words(facade: type[RunFacade]) -> _Words:
    kind, group = facade._KIND, facade._GROUP  # noqa: SLF001  what a facade says for its package's own use
    return _Words(kind, group, _SERIES[kind], facade._FOLDER_VARIABLE, facade._FOLDER)  # noqa: SLF001


def _found(place: Place, query: RunQuery) -> list[Run]:
    store = place.open()
    try:
        return store.find_runs(query)
    finally:
        store.close()


def _filters(wanted: Any, store: Store) -> tuple[Callable[[Run], Any], Callable[[Any], Any]]:
    """What tells of a run, and of its view, whether it stays."""
    if isinstance(wanted, str):
        from ml_dash.aggregates import FieldAggregates
        from ml_dash.query import compile_filter

        return compile_filter(wanted, aggregates=FieldAggregates(store)), _all
    if wanted is not None and not callable(wanted):
        msg = f'filter: expected text, such as "params.lr < 0.01", or a function of a run; got {wanted!r}.'
        raise InvalidType(msg)
    return _all, wanted or _all


def _all(_: Any) -> bool:
    return True


def _sort_key(sort: str | None, store: Store) -> Callable[[Run], Any] | None:
    if sort is None:
        return None
    from ml_dash.aggregates import FieldAggregates
    from ml_dash.query import sort_key

    return sort_key(sort, FieldAggregates(store))


def _view(run: Run, facade: type[F], place: Place, now: float) -> RunView[F]:
    kind = _SERIES[run.kind]
    series = [one for one in run.series or () if one.kind == kind]
    return RunView(
        name=run.key.name,
        project=run.key.project,
        id=run.id,
        status=run.shown_status(now),
        created_at=run.created_at,
        updated_at=run.updated_at,
        description=run.description,
        tags=run.tags,
        params=run.params,
        metrics={one.name: one.last for one in series if one.last is not None},
        counts={one.name: one.count for one in series},
        _facade=facade,
        _place=place,
        _namespace=run.key.namespace,
    )


def _flat(view: RunView[Any], series: str) -> dict[str, Any]:
    row = {f"params.{name}": value for name, value in view.params.items()}
    for name, last in view.metrics.items():
        row |= {f"{series}.{name}.{field}": value for field, value in last.items()}
    return row


def _cells(view: RunView[Any]) -> tuple[str, ...]:
    from ml_dash.query import last_value

    last = {name: value for name, row in view.metrics.items() if (value := last_value(row)) is not None}
    created = view.created_at[:16].replace("T", " ")
    return view.name, view.project, view.status, created, summary(view.params), summary(last)


def _nearest(found: list[Run], key: RunKey, group: str, argument: str) -> str:
    """What the caller may have meant. `group` is what projects are called, `argument` what said where they are."""
    import difflib

    here = [run.key.name for run in found if run.key.project == key.project]
    groups = list(dict.fromkeys(run.key.project for run in found))
    elsewhere = [run.key.project for run in found if run.key.name == key.name]
    if near := difflib.get_close_matches(key.name, here, 3):
        return f"Did you mean {_or(near)}?"
    if elsewhere:
        return f"There is one of that name in {group} {_or(elsewhere[:3])}."
    if near := difflib.get_close_matches(key.project, groups, 3) if not here else []:
        return f"Did you mean the {group} {_or(near)}?"
    if here:
        return f"The newest there: {', '.join(map(repr, here[:3]))}."
    if groups:
        return f"The {group}s there: {', '.join(map(repr, groups[:5]))}."
    return f"There is no run at all: is {argument} right?"


def _or(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))


__all__ = ["RunList", "RunView", "load", "runs"]
