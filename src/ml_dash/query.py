"""Filters and sorts for lists of runs, as text. Pure: runs come in, truths and keys go out; no store may come in.

    params.lr < 0.01 and status == "COMPLETED"
    metrics["train/loss"].value < 0.5 or "baseline" in tags
    name in ["a", "b"] and not params.model.frozen

The language is a piece of Python's expressions, read with `ast` and never evaluated by Python: comparisons (also
chained), ``and``, ``or``, ``not``, ``in``, ``is``, literals, lists, and references:

    status                  as shown: also "LOST"; compared with texts, their case does not count
    id, kind, name, project, workspace (the same as project), description, folder, tags, created_at, updated_at, archived
    attempts                how often it was started
    ended_at                when the last attempt left; None while the run goes on
    duration                seconds from its creation to its end; to now while it runs, to its last change where it is lost
    params.lr, params.model.lr, params["model.lr"]
                            a parameter; dots join, since parameters are stored flat
    metrics.loss            a metric's last value, see `last_value`
    metrics.loss.acc, metrics["train/loss"].acc
                            a field of a metric's last row; further parts go into nested mappings
    metrics.loss.acc.max    of all its finite values: min, max, mean, first, last, count (a nested mapping that has such a
                            key goes first)
    tracks.…                likewise
    params, metrics, tracks alone: the names that there are, for ``in``

A single ``=`` means ``==``. A name that is not made of ASCII letters, digits and "_" goes in brackets. What a run lacks is
None. Nothing raises while a run is looked at: a comparison with None, or of types that have no order, is False; ``==``,
``!=`` and ``in`` take None as a value.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ml_dash.errors import InvalidInput
from ml_dash.model import METRICS, STATUSES, TRACKS, Run
from ml_dash.times import parse_iso

MAX_LENGTH = 4000
"""Characters in a filter or sort."""
MAX_DEPTH = 50
"""Levels of nesting in a filter or sort; a dot is one level."""

AXES = frozenset({"step", "epoch"})
"""Fields that say where a row is, not what was measured."""

MISSING = (1,)
"""The key by which `sort_key` orders a run that lacks the value."""
SHOWN_STATUSES = (*STATUSES, "LOST")
AGGREGATES = ("min", "max", "mean", "first", "last", "count")
"""What may be asked of all finite values of a field, behind its name."""

Value = Callable[[Run], Any]
Aggregates = Callable[[Run, str, str, str, str], Any]
"""(run, kind, series, field, one of `AGGREGATES`) → its value, None where there is none. Not to raise for what a run lacks."""

_EXAMPLE_FILTER = 'params.lr < 0.01 and metrics["train/loss"].value < 0.5 and status == "COMPLETED"'
_EXAMPLE_COLUMN = 'metrics["train/loss"].value'
_EXAMPLE_AGGREGATE = 'metrics["train/loss"].value.min'
_EXAMPLE_SORT = "-metrics.loss (a leading '-' is descending)"
_SHOWN_AT_MOST = 80

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, holder: _holds(holder, item),
    ast.NotIn: lambda item, holder: not _holds(holder, item),
}

_EQUALITIES = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)
_MEMBERSHIPS = (ast.In, ast.NotIn)


def ended_at(run: Run) -> str | None:
    """When its last attempt left; None where one has not."""
    if run.status == "RUNNING":
        return None
    return max((attempt.ended_at or "" for attempt in run.attempts), default="") or None


def duration(run: Run, now: float) -> float | None:
    """Seconds from its creation to its end: as the table of the dashboard shows it."""
    end = ended_at(run) or (None if run.shown_status(now) == "RUNNING" else run.updated_at)
    try:
        seconds = (now if end is None else parse_iso(end) / 1000) - parse_iso(run.created_at) / 1000
    except ValueError:
        return None
    return seconds if seconds >= 0 else None


_FIELDS: dict[str, Value] = {
    "id": lambda run: run.id,
    "kind": lambda run: run.kind,
    "name": lambda run: run.key.name,
    "project": lambda run: run.key.project,
    "workspace": lambda run: run.key.project,
    "description": lambda run: run.description,
    "folder": lambda run: run.folder,
    "tags": lambda run: run.tags,
    "created_at": lambda run: run.created_at or None,
    "updated_at": lambda run: run.updated_at or None,
    "ended_at": ended_at,
    "attempts": lambda run: len(run.attempts),
    "archived": lambda run: run.archived,
}


class Unreadable(InvalidInput):
    """A text that is no filter, sort or column. `at` is the part that is wrong: [begin, end) in the text as it was given;
    `sentence` is what is wrong, for whoever sees the text and that part."""

    def __init__(self, message: str, at: tuple[int, int], sentence: str) -> None:
        super().__init__(message)
        self.at = at
        self.sentence = sentence

    def __reduce__(self) -> Any:
        return Unreadable, (self.args[0], self.at, self.sentence)


def no_aggregates(_run: Run, _kind: str, _series: str, _field: str, _aggregate: str) -> None:
    """For whoever has runs and no store to ask: no run has any."""


def compile_filter(
    text: str, clock: Callable[[], float] = time.time, aggregates: Aggregates = no_aggregates
) -> Callable[[Run], bool]:
    """The filter that `text` writes: a function that tells whether a run matches, and raises nothing but what `aggregates` does.

    `clock` gives unix seconds, by which a run counts as lost. Runs need their `series` filled where
    `needs_series(text)`. `aggregates` is asked only where the rest of the filter leaves it open. Raises `Unreadable`, an
    `InvalidInput` that quotes the text and the part that is wrong.
    """
    value = _Reader("filter", text, _EXAMPLE_FILTER, clock, aggregates).expression()
    return lambda run: bool(value(run))


def sort_key(text: str, aggregates: Aggregates = no_aggregates) -> Callable[[Run], tuple[Any, ...]]:
    """The sort that `text` writes, as a key for `sorted`: one reference, descending after a leading "-".

    Numbers come before text, text before the rest; reversed when descending. Runs that lack the value, or have NaN
    there, come last either way. Raises `Unreadable` as `compile_filter` does.
    """
    reader = _Reader("sort", text, _EXAMPLE_SORT, time.time, aggregates)
    descending = reader.take_minus()
    value = reader.reference_alone()
    return lambda run: _ordered(value(run), descending)


def reference(text: str, aggregates: Aggregates = no_aggregates) -> Value:
    """The one reference that `text` writes, as a function of a run. Raises `Unreadable` as `compile_filter` does."""
    return _Reader("column", text, _EXAMPLE_COLUMN, time.time, aggregates).reference_alone()


def aggregate_of(text: str) -> tuple[str, str, str, str]:
    """(kind, series, field, aggregate) of a reference to one. Raises `Unreadable` for any other text."""
    reader = _Reader("column", text, _EXAMPLE_AGGREGATE, time.time, no_aggregates)
    root = reader.tree()
    kind, path = reader.parts(root)
    if kind not in (METRICS, TRACKS) or len(path) != 3 or path[2] not in AGGREGATES:
        raise reader.refused(f"is none of {', '.join(AGGREGATES)} of a field of a series", root)
    return kind, path[0], path[1], path[2]


def needs_series(text: str) -> bool:
    """Whether the filter or sort `text` looks at metrics or tracks, so that runs have to come with their series.

    Raises `Unreadable` where it cannot be read.
    """
    tree = _Reader("filter", text, _EXAMPLE_FILTER, time.time, no_aggregates).tree()
    return any(isinstance(node, ast.Name) and node.id in (METRICS, TRACKS) for node in ast.walk(tree))


def last_value(row: Mapping[str, Any] | None) -> Any:
    """What a metric "is" when only it is named: the field "value", else the only numeric field besides `AXES`.

    None where the row has neither.
    """
    if not row:
        return None
    if "value" in row:
        return row["value"]
    numbers = [value for field, value in row.items() if field not in AXES and _is_number(value)]
    return numbers[0] if len(numbers) == 1 else None


class _Reader:
    """Reads one text: nodes of the syntax tree become functions of a run, and only the nodes named here."""

    def __init__(self, what: str, text: str, example: str, clock: Callable[[], float], aggregates: Aggregates) -> None:
        self.what = what
        self.example = example
        if not isinstance(text, str):
            raise InvalidInput(
                f"{what} {text!r} is of type {type(text).__name__}, not str. Write for example: {example}"
            )
        self.text = text
        if len(text) > MAX_LENGTH:
            raise self.refused(f"is {len(text)} characters long; {MAX_LENGTH} are the limit")
        self.aggregates = aggregates
        self.source, self.places = _doubled(text)
        """What Python's parser reads, and where each of its characters, and its end, are in the text."""
        self.fields: dict[str, Value] = {
            "status": lambda run: run.shown_status(clock()),
            **_FIELDS,
            "duration": lambda run: duration(run, clock()),
        }

    def take_minus(self) -> bool:
        """Whether the text begins with "-", which is then no more to be read."""
        minus = self.source.startswith("-")
        if minus:
            rest = self.source[1:].lstrip()
            self.places = self.places[len(self.source) - len(rest) :]
            self.source = rest
        return minus

    def tree(self) -> ast.expr:
        """The syntax tree of the text, no deeper than `MAX_DEPTH`."""
        if not self.source:
            raise self.refused("is empty")
        try:
            root = ast.parse(self.source, mode="eval").body
        except SyntaxError as error:
            raise self._no_expression(error) from None
        except (ValueError, RecursionError, MemoryError) as error:
            # NUL characters, lone surrogates; nesting that Python's own parser gives up on.
            raise self.refused(f"cannot be read: {str(error) or 'too deeply nested'}") from None
        level: list[ast.AST] = [root]
        for _ in range(MAX_DEPTH):
            level = [child for node in level for child in ast.iter_child_nodes(node)]
        if level:
            raise self.refused(f"is nested deeper than {MAX_DEPTH} levels")
        return root

    def expression(self) -> Value:
        """The whole text as a value: literals, references, comparisons and what joins them."""
        return self._value(self.tree())

    def reference_alone(self) -> Value:
        """The whole text as one reference to one value."""
        root = self.tree()
        if not isinstance(root, (ast.Name, ast.Attribute, ast.Subscript)):
            raise self.refused("is not one reference", root)
        if isinstance(root, ast.Name) and root.id in ("params", METRICS, TRACKS):
            raise self.refused(f"does not say which of the {root.id}", root)
        return self._reference(root)

    def refused(self, why: str, node: ast.expr | None = None) -> Unreadable:
        """The error that says what is wrong with the text, and with which part of it."""
        begin, end = self._span(node) if node is not None else (0, len(self.text))
        where = f", at {_shown(self.text[begin:end])}" if node is not None and begin < end else ""
        return self._unreadable(why, where, begin, end)

    def _no_expression(self, error: SyntaxError) -> Unreadable:
        """The parser's columns are 1-based, and 0 or None at the end of the text."""
        begin = self._place(error.lineno or 1, (error.offset or 0) - 1) if error.offset else len(self.text)
        end = self._place(error.end_lineno or 1, (error.end_offset or 0) - 1) if error.end_offset else begin
        rest = self.text[begin:].strip()
        where = f", at {_shown(rest)}" if rest else ", at its end"
        at_least = min(begin + 1, len(self.text))
        return self._unreadable(f"is not an expression: {error.msg}", where, begin, max(end, at_least))

    def _unreadable(self, why: str, where: str, begin: int, end: int) -> Unreadable:
        message = f"{self.what} {_shown(self.text)} {why}{where}. Write for example: {self.example}"
        return Unreadable(message, (begin, end), f"The {self.what} {why}.")

    def _span(self, node: ast.expr) -> tuple[int, int]:
        """Where the node is in the text."""
        lines = self.source.split("\n")

        def place(line: int | None, column: int | None) -> int:
            if line is None or column is None or line > len(lines):
                return len(self.text)
            return self._place(line, len(lines[line - 1].encode()[:column].decode()))

        return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)

    def _place(self, line: int, column: int) -> int:
        """Where the parser's line (from 1 on) and column (in characters, from 0 on) are in the text."""
        before = sum(len(one) + 1 for one in self.source.split("\n")[: line - 1])
        return self.places[max(0, min(before + column, len(self.places) - 1))]

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.BoolOp():
                return self._junction(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.UnaryOp(op=ast.Not()):
                inner = self._value(node.operand)
                return lambda run: not inner(run)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() as number)):
                signed = -number if isinstance(node.op, ast.USub) else number
                return lambda _run: signed
            case ast.Constant(value=str() | int() | float() | None as literal):
                return lambda _run: literal
            case ast.List():
                return self._list(node)
            case ast.Tuple():
                raise self.refused(_COMMA, node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._reference(node)
        raise self.refused("may hold comparisons, and, or, not, in, literals and references only", node)

    def _list(self, node: ast.List | ast.Tuple) -> Value:
        items = [self._value(item) for item in node.elts]
        return lambda run: [item(run) for item in items]

    def _junction(self, node: ast.BoolOp) -> Value:
        operands = [self._value(operand) for operand in node.values]
        holds = all if isinstance(node.op, ast.And) else any
        return lambda run: holds(operand(run) for operand in operands)

    def _comparison(self, node: ast.Compare) -> Value:
        sides = [node.left, *node.comparators]
        for op, one, other in zip(node.ops, sides, sides[1:], strict=False):
            self._check_tags(op, one, other)
            self._check_tags(op, other, one)
        equal = all(isinstance(op, (*_EQUALITIES, *_MEMBERSHIPS)) for op in node.ops)
        if any(_is_field(side, "status") for side in sides):
            parts = (
                isinstance(op, _MEMBERSHIPS) and _is_field(side, "status")
                for op, side in zip(node.ops, sides[1:], strict=True)
            )
            whole = equal and not any(parts)
            sides = [self._statuses(side, whole) for side in sides]
        left, *rights = [
            self._list(side) if equal and isinstance(side, ast.Tuple) else self._value(side) for side in sides
        ]
        links = [(_COMPARISONS[type(op)], right) for op, right in zip(node.ops, rights, strict=True)]

        def holds(run: Run) -> bool:
            one = left(run)
            for compare, right in links:
                other = right(run)
                if not _compared(compare, one, other):
                    return False
                one = other
            return True

        return holds

    def _check_tags(self, op: ast.cmpop, one: ast.expr, other: ast.expr) -> None:
        """Tags are a list, which equals no text."""
        if not (isinstance(op, _EQUALITIES) and _is_field(one, "tags")):
            return
        if isinstance(other, ast.Constant) and isinstance(other.value, str):
            no = "not " if isinstance(op, (ast.NotEq, ast.IsNot)) else ""
            raise self.refused(
                f"compares tags, which are a list, with a text; say {_in_quotes(other.value)} {no}in tags", other
            )

    def _statuses(self, node: ast.expr, whole: bool) -> ast.expr:
        """What status is compared with, in the case in which it is shown. `whole` texts have to be known ones."""
        match node:
            case ast.Constant(value=str() as text):
                if whole and text.upper() not in SHOWN_STATUSES:
                    raise self.refused(f"asks for a status that is none of {', '.join(SHOWN_STATUSES)}", node)
                return ast.copy_location(ast.Constant(text.upper()), node)
            case ast.List() | ast.Tuple():
                elements = [self._statuses(one, whole) for one in node.elts]
                return ast.copy_location(ast.List(elements, ast.Load()), node)
        return node

    def _reference(self, node: ast.expr) -> Value:
        root, path = self.parts(node)
        if root == "params":
            return _param(".".join(path)) if path else lambda run: list(run.params)
        if root in (METRICS, TRACKS):
            if not path:
                return _series_names(root)
            self._check_aggregate(path, node)
            return self._series_value(root, path[0], path[1:])
        if root not in self.fields:
            known = ", ".join(["params.<name>", "metrics.<name>", "tracks.<name>", *self.fields])
            raise self.refused(f"names {root!r}, which is none of {known} (text goes in quotes)", node)
        if path:
            raise self.refused(f"asks for a part of {root!r}, which has none", node)
        return self.fields[root]

    def _check_aggregate(self, path: list[str], node: ast.expr) -> None:
        """A part of a field may be one of a mapping in it; not where it is nearly an aggregate, of the field that is a number.

        A column is left alone: a table with one that is always empty is better than none.
        """
        if self.what == "column" or len(path) != 3 or path[1] != "value" or path[2] in AGGREGATES:
            return
        if difflib.get_close_matches(path[2].lower(), AGGREGATES):
            raise self.refused(f"asks for {path[2]!r} of a field, which is none of {', '.join(AGGREGATES)}", node)

    def _series_value(self, kind: str, name: str, fields: list[str]) -> Value:
        """The last value of a series, of what `fields` lead to in its last row, or an aggregate of the field."""
        if len(fields) != 2 or fields[1] not in AGGREGATES:
            return _last_value_of(kind, name, fields)
        inside, (field, aggregate), aggregates = _last_value_of(kind, name, fields), fields, self.aggregates

        def value(run: Run) -> Any:
            found = inside(run)
            return found if found is not None else aggregates(run, kind, name, field, aggregate)

        return value

    def parts(self, node: ast.expr) -> tuple[str, list[str]]:
        """``a.b["c"]`` as "a" and ["b", "c"]."""
        path: list[str] = []
        while not isinstance(node, ast.Name):
            match node:
                case ast.Attribute(value=inner, attr=name):
                    path.append(name)
                case ast.Subscript(value=inner, slice=ast.Constant(value=str() as name)):
                    path.append(name)
                case ast.Subscript():
                    raise self.refused("has something else than a name in quotes between brackets", node)
                case _:
                    raise self.refused("asks for a part of what has none", node)
            node = inner
        return node.id, path[::-1]


def _doubled(text: str) -> tuple[str, list[int]]:
    """The text without space around it and with each ``=`` that stands alone as ``==``, but for those in quotes; and the places
    of its characters, and of its end, in the text."""
    out: list[str] = []
    places: list[int] = []
    at, end = len(text) - len(text.lstrip()), len(text.rstrip())
    while at < end:
        quoted = _QUOTED.match(text, at, end)
        if quoted:
            out.append(quoted[0])
            places += range(at, quoted.end())
            at = quoted.end()
            continue
        alone = text[at] == "=" and text[at - 1 : at] not in _BEFORE_EQUALS and text[at + 1 : at + 2] != "="
        out.append("==" if alone else text[at])
        places += [at, at] if alone else [at]
        at += 1
    return "".join(out), [*places, max(at, end)]


_QUOTED = re.compile(r"""(\"{3}|'{3}|"|')(?:\\.|(?!\1)[^\\])*\1""", re.DOTALL)
"""A backslash is read in one way only: with two, a quote that is never closed would take time beyond all bounds."""
_BEFORE_EQUALS = frozenset("=!<>:+-*/%&|^@~")
"""With which it is another operator."""


_COMMA = (
    'has a comma where none belongs: a decimal point is ".", conditions are joined by "and" or "or", what follows "in" goes in'
    " brackets"
)


def _is_field(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _in_quotes(text: str) -> str:
    return f'"{text}"' if '"' not in text and "\\" not in text else repr(text)


def _param(key: str) -> Value:
    return lambda run: run.params.get(key)


def _series_names(kind: str) -> Value:
    return lambda run: [series.name for series in run.series or () if series.kind == kind]


def _last_value_of(kind: str, name: str, fields: list[str]) -> Value:
    """The last value of a series, or of what `fields` lead to in its last row."""

    def value(run: Run) -> Any:
        row = next((series.last for series in run.series or () if series.kind == kind and series.name == name), None)
        return _inside(row, fields) if fields else last_value(row)

    return value


def _inside(value: Any, path: list[str]) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _compared(compare: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    try:
        return compare(one, other)
    except TypeError:
        return False


def _holds(holder: Any, item: Any) -> bool:
    """Whether `item` is in `holder`; False where nothing can be in it."""
    if isinstance(holder, str):
        return isinstance(item, str) and item in holder
    return isinstance(holder, (list, Mapping)) and item in list(holder)


def _ordered(value: Any, descending: bool) -> tuple[Any, ...]:
    """A key that compares with that of any other value of the same sort."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if _is_number(value) or isinstance(value, bool):
        key = (0, value)
    else:
        key = (1, value) if isinstance(value, str) else (2, str(value))
    return (0, _Descending(key) if descending else key)


class _Descending:
    """A key that compares the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: tuple[int, Any]) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.key == other.key

    def __lt__(self, other: _Descending) -> bool:
        return other.key < self.key

    __hash__ = None  # type: ignore[assignment]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_AT_MOST else f"{text[:_SHOWN_AT_MOST]}…")
