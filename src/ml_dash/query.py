"""Filters and sorts for lists of runs, as text. Pure: runs come in, truths and keys go out; no store may come in.

    params.lr < 0.01 and status == "COMPLETED"
    metrics["train/loss"].value < 0.5 or "baseline" in tags
    name in ["a", "b"] and not params.model.frozen

The language is a piece of Python's expressions, read with `ast` and never evaluated by Python: comparisons (also
chained), ``and``, ``or``, ``not``, ``in``, ``is``, literals, lists, and references:

    status                  as shown: also "LOST"
    name, project, workspace (the same as project), description, folder, tags, created_at, updated_at
    params.lr, params.model.lr, params["model.lr"]
                            a parameter; dots join, since parameters are stored flat
    metrics.loss            a metric's last value, see `last_value`
    metrics.loss.acc, metrics["train/loss"].acc
                            a field of a metric's last row; further parts go into nested mappings
    tracks.…                likewise
    params, metrics, tracks alone: the names that there are, for ``in``

A name that is not made of ASCII letters, digits and "_" goes in brackets. What a run lacks is None. Nothing raises
while a run is looked at: a comparison with None, or of types that have no order, is False; ``==``, ``!=`` and ``in``
take None as a value.
"""

from __future__ import annotations

import ast
import math
import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

from ml_dash.errors import InvalidInput
from ml_dash.model import METRICS, TRACKS, Run

MAX_LENGTH = 4000
"""Characters in a filter or sort."""
MAX_DEPTH = 50
"""Levels of nesting in a filter or sort; a dot is one level."""

AXES = frozenset({"step", "epoch"})
"""Fields that say where a row is, not what was measured."""

Value = Callable[[Run], Any]

_EXAMPLE_FILTER = 'params.lr < 0.01 and metrics["train/loss"].value < 0.5 and status == "COMPLETED"'
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

_FIELDS: dict[str, Value] = {
    "name": lambda run: run.key.name,
    "project": lambda run: run.key.project,
    "workspace": lambda run: run.key.project,
    "description": lambda run: run.description,
    "folder": lambda run: run.folder,
    "tags": lambda run: run.tags,
    "created_at": lambda run: run.created_at or None,
    "updated_at": lambda run: run.updated_at or None,
}


def compile_filter(text: str, clock: Callable[[], float] = time.time) -> Callable[[Run], bool]:
    """The filter that `text` writes: a function that tells whether a run matches, and never raises.

    `clock` gives unix seconds, by which a run counts as lost. Runs need their `series` filled where
    `needs_series(text)`. Raises `InvalidInput` that quotes the text and the part that is wrong.
    """
    value = _Reader("filter", text, _EXAMPLE_FILTER, clock).expression()
    return lambda run: bool(value(run))


def sort_key(text: str, clock: Callable[[], float] = time.time) -> Callable[[Run], tuple[Any, ...]]:
    """The sort that `text` writes, as a key for `sorted`: one reference, descending after a leading "-".

    Numbers come before text, text before the rest; reversed when descending. Runs that lack the value, or have NaN
    there, come last either way. Raises `InvalidInput` as `compile_filter` does.
    """
    reader = _Reader("sort", text, _EXAMPLE_SORT, clock)
    descending = reader.take_minus()
    value = reader.reference_alone()
    return lambda run: _ordered(value(run), descending)


def needs_series(text: str) -> bool:
    """Whether the filter or sort `text` looks at metrics or tracks, so that runs have to come with their series.

    Raises `InvalidInput` where it cannot be read.
    """
    tree = _Reader("filter", text, _EXAMPLE_FILTER, time.time).tree()
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

    def __init__(self, what: str, text: str, example: str, clock: Callable[[], float]) -> None:
        self.what = what
        self.example = example
        if not isinstance(text, str):
            raise InvalidInput(
                f"{what} {text!r} is of type {type(text).__name__}, not str. Write for example: {example}"
            )
        self.text = text
        self.source = text.strip()
        self.fields: dict[str, Value] = {"status": lambda run: run.shown_status(clock()), **_FIELDS}

    def take_minus(self) -> bool:
        """Whether the text begins with "-", which is then no more to be read."""
        rest = self.source.removeprefix("-")
        minus = rest != self.source
        self.source = rest.strip()
        return minus

    def tree(self) -> ast.expr:
        """The syntax tree of the text, no deeper than `MAX_DEPTH`."""
        if len(self.text) > MAX_LENGTH:
            raise self.refused(f"is {len(self.text)} characters long; {MAX_LENGTH} are the limit")
        if not self.source:
            raise self.refused("is empty")
        try:
            root = ast.parse(self.source, mode="eval").body
        except SyntaxError as error:
            raise self.refused(f"is not an expression: {error.msg}{_near(error)}") from None
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

    def refused(self, why: str, node: ast.expr | None = None) -> InvalidInput:
        """The error that says what is wrong with the text, and with which part of it."""
        part = ast.get_source_segment(self.source, node) if node is not None else None
        where = f", at {_shown(part)}" if part else ""
        return InvalidInput(f"{self.what} {_shown(self.text)} {why}{where}. Write for example: {self.example}")

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
            case ast.List() | ast.Tuple():
                items = [self._value(item) for item in node.elts]
                return lambda run: [item(run) for item in items]
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._reference(node)
        raise self.refused("may hold comparisons, and, or, not, in, literals and references only", node)

    def _junction(self, node: ast.BoolOp) -> Value:
        operands = [self._value(operand) for operand in node.values]
        holds = all if isinstance(node.op, ast.And) else any
        return lambda run: holds(operand(run) for operand in operands)

    def _comparison(self, node: ast.Compare) -> Value:
        left = self._value(node.left)
        links = [
            (_COMPARISONS[type(op)], self._value(right)) for op, right in zip(node.ops, node.comparators, strict=True)
        ]

        def holds(run: Run) -> bool:
            one = left(run)
            for compare, right in links:
                other = right(run)
                if not _compared(compare, one, other):
                    return False
                one = other
            return True

        return holds

    def _reference(self, node: ast.expr) -> Value:
        root, path = self._parts(node)
        if root == "params":
            return _param(".".join(path)) if path else lambda run: list(run.params)
        if root in (METRICS, TRACKS):
            return _series_value(root, path[0], path[1:]) if path else _series_names(root)
        if root not in self.fields:
            known = ", ".join(["params.<name>", "metrics.<name>", "tracks.<name>", *self.fields])
            raise self.refused(f"names {root!r}, which is none of {known} (text goes in quotes)", node)
        if path:
            raise self.refused(f"asks for a part of {root!r}, which has none", node)
        return self.fields[root]

    def _parts(self, node: ast.expr) -> tuple[str, list[str]]:
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


def _near(error: SyntaxError) -> str:
    # The parser's columns are 1-based, and 0 or None at the end of the text.
    rest = error.text[error.offset - 1 :].strip() if error.text and error.offset and error.offset > 0 else ""
    return f", at {_shown(rest)}" if rest else ", at its end"


def _param(key: str) -> Value:
    return lambda run: run.params.get(key)


def _series_names(kind: str) -> Value:
    return lambda run: [series.name for series in run.series or () if series.kind == kind]


def _series_value(kind: str, name: str, fields: list[str]) -> Value:
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
        return (1,)
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
