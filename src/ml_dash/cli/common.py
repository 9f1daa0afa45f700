"""What every command needs: the folder, the run and the series that the user means, and how an error ends a command.

Exit codes: 0 fine, 1 findings or failed, 2 wrong usage, 3 not found, 130 interrupted (Ctrl-C), 141 nobody reads our output.
No command of its own, no formatting of values.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Annotated, Any, NamedTuple, NoReturn, ParamSpec

import typer

from ml_dash.cli import output
from ml_dash.cli.completion import complete_run, complete_series
from ml_dash.cli.places import closest, default_folder, folders_of, run_at
from ml_dash.errors import InvalidInput, MlDashError, NotFound
from ml_dash.model import LOGS, Run, RunQuery, SeriesInfo, SeriesKey
from ml_dash.store import open_store
from ml_dash.store.base import Store

P = ParamSpec("P")

FAILED = 1
USAGE = 2
NOT_FOUND = 3
INTERRUPTED = 130
NO_READER = 141

FolderOption = Annotated[
    str | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        show_default=False,
        help="The folder of the runs. Else ML_DASH_DIR, .ml-dash, or .dreamlake (DREAMLAKE_DIR) if only that is there.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", autocompletion=complete_run, help="The run.")]
SomeSeries = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SERIES", autocompletion=complete_series, help="Names, or patterns such as 'train/*'. Else all."
    ),
]


# ---------------------------------------------------------------- how a command ends


class MissingExtra(MlDashError):
    """A library that only an extra brings is not installed; the text says how to install it."""


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """`command` with what a user can cause turned into one line and an exit code. MLDASH_DEBUG=1 shows the traceback."""

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _let_go()
            raise typer.Exit(NO_READER) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except (MlDashError, OSError) as e:
            if debugging():
                raise
            _let_go()
            with suppress(BrokenPipeError):
                output.complain("error", _text(e))
            raise typer.Exit(_code(e)) from None

    return call


def debugging() -> bool:
    """Whether the user asked for tracebacks."""
    return any(os.environ.get(name, "") not in ("", "0") for name in ("MLDASH_DEBUG", "ML_DASH_DEBUG"))


def _let_go() -> None:
    """Write what can be written of standard output; what cannot is not tried again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _code(error: BaseException) -> int:
    if isinstance(error, NotFound):
        return NOT_FOUND
    return USAGE if isinstance(error, InvalidInput) else FAILED


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, MlDashError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


# ---------------------------------------------------------------- folder and run


class Opened(NamedTuple):
    """A run with the store that has it."""

    store: Store
    run: Run

    @property
    def label(self) -> str:
        """``project/name``."""
        return f"{self.run.key.project}/{self.run.key.name}"

    def series(self, kind: str, name: str) -> SeriesKey:
        """The key of a series of the run."""
        return SeriesKey(self.run.id, kind, name)


def open_folder(folder: str | None) -> tuple[str, Store]:
    """The folder that the user means, and its store. Raises `NotFound` where there is none."""
    root = folder if folder is not None else default_folder()
    if not os.path.isdir(root):
        hint = "" if folder is not None else " Give --dir, set ML_DASH_DIR, or go to the folder above it."
        raise NotFound(f"there is no folder {root!r} here ({os.path.abspath(root)}).{hint}")
    return root, open_store(root)


def find_run(folder: str | None, text: str) -> Opened:
    """The run that `text` names, see the module `app`. Raises `NotFound` with the closest names, `InvalidInput` listing candidates."""
    root = folder if folder is not None else default_folder()
    runs: list[Run] = []
    if os.path.isdir(root):
        store = open_store(root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of runs that are left out, as long as it is not the one that is meant
            runs = store.find_runs(RunQuery())
        found = _matching(runs, text)
        if len(found) == 1:
            return Opened(store, store.get_run(found[0].key))
        if found:
            _ambiguous(text, found)
    at = run_at(text)
    if at is not None:
        store = open_store(at[0])
        return Opened(store, store.get_run(at[1]))
    _, store = open_folder(folder)
    for key, _ in folders_of(root, text):
        store.get_run(key)  # raises what is wrong with it
    raise _unknown(text, runs, root)


def find_runs(folder: str | None, texts: Sequence[str]) -> list[Opened]:
    """`find_run` for each, a run that is named twice only once."""
    found: dict[tuple[Any, ...], Opened] = {}
    for text in texts:
        opened = find_run(folder, text)
        found.setdefault((getattr(opened.store, "root", ""), opened.run.key), opened)
    return list(found.values())


def _matching(runs: list[Run], text: str) -> list[Run]:
    exact = [run for run in runs if text in (run.key.name, f"{run.key.project}/{run.key.name}", run.id)]
    if exact or len(text) < 6:
        return exact
    return [run for run in runs if run.id.startswith(text)]


def _ambiguous(text: str, runs: list[Run]) -> NoReturn:
    known = "\n".join(f"  {run.key.project}/{run.key.name}  ({run.id})" for run in runs)
    raise InvalidInput(f"{text!r} may be any of these; give project/name:\n{known}")


def _unknown(text: str, runs: list[Run], root: str) -> NotFound:
    if not runs:
        return NotFound(f"there is no run {text!r}: {root!r} holds no runs.")
    names = [run.key.name for run in runs] + [f"{run.key.project}/{run.key.name}" for run in runs]
    return NotFound(f"there is no run {text!r} in {root!r}.{closest(text, names)} `ml-dash list` shows all.")


# ---------------------------------------------------------------- series


def find_series(opened: Opened, names: Iterable[str] | None, infos: list[SeriesInfo] | None = None) -> list[SeriesInfo]:
    """The series that are named, or that match a pattern; all but our own if none is. Raises `NotFound`."""
    infos = opened.store.describe(opened.run.id) if infos is None else infos
    wanted = list(names or ())
    if not wanted:
        return [info for info in infos if not info.name.startswith("_system/")]
    found: dict[tuple[str, str], SeriesInfo] = {}
    for name in wanted:
        matching = [info for info in infos if info.name == name] or [i for i in infos if fnmatchcase(i.name, name)]
        if not matching:
            raise _no_series(opened, name, infos)
        found.update({(info.kind, info.name): info for info in matching})
    return list(found.values())


def _no_series(opened: Opened, name: str, infos: list[SeriesInfo]) -> NotFound:
    names = [info.name for info in infos]
    if not names:
        return NotFound(f"run {opened.label} has no series yet.")
    some = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return NotFound(f"run {opened.label} has no series {name!r}.{closest(name, names)} It has {some}.")


def last_points(opened: Opened, kind: str, name: str, count: int) -> tuple[list[dict[str, Any]], int]:
    """The last `count` points, decoded, and the series' length."""
    from ml_dash import codec

    key = opened.series(kind, name)
    total = opened.store.read(key, 0, 0).total
    page = opened.store.read(key, max(0, total - count), count)
    return codec.decode_page(page), total


def fields_of(opened: Opened, info: SeriesInfo) -> list[str]:
    """The numeric fields of a series that say what was measured: "value" first, by its first and last points."""
    from ml_dash import codec
    from ml_dash.query import AXES

    key = opened.series(info.kind, info.name)
    ends = [*codec.decode_page(opened.store.read(key, 0, 20)), *last_points(opened, info.kind, info.name, 20)[0]]
    rows = [point if info.kind == LOGS else point["data"] for point in ends]
    names = dict.fromkeys(field for row in rows for field, value in row.items() if is_number(value))
    measured = [name for name in names if name not in AXES] or list(names)
    return sorted(measured, key=lambda name: name != "value")


def is_number(value: Any) -> bool:
    """Whether a chart can show it."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# ---------------------------------------------------------------- long work


def watched(items: Sequence[Any], doing: str) -> Iterator[Any]:
    """The items, with a progress bar on standard error once they take longer than half a second."""
    with output.progress(doing, len(items)) as advance:
        for item in items:
            yield item
            advance(1)
