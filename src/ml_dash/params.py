"""A run's parameters as a user sets and gets them: flattened with dots. Merging and storing are below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.errors import InvalidInput, InvalidType

if TYPE_CHECKING:
    from ml_dash.recorder import Recorder


class Parameters:
    """The parameters of one run."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def set(self, /, *values: Mapping[str, Any], **named: Any) -> Parameters:
        """Merge parameters: ``set(lr=0.1, model={"depth": 3})`` or ``set({"model.depth": 3})``; nested mappings become dotted keys.

        Returns itself. Raises `InvalidInput` (`TypeError`) for a value that cannot be stored and for ``a`` beside ``a.b``; then
        nothing that was stored before changes.
        """
        if len(values) > 1 or not all(isinstance(v, Mapping) for v in values):
            got = ", ".join(type(v).__name__ for v in values)
            msg = f"params.set takes one mapping, or values by keyword: set(lr=0.001); got {got}."
            raise InvalidType(msg)
        flat = flatten({**(values[0] if values else {}), **named})
        if flat or not self._recorder.writable:
            self._recorder.set_params(flat)
        return self

    def get(self, flatten: bool = True) -> dict[str, Any]:
        """The parameters as they are now, flat (``{"model.depth": 3}``) or nested."""
        flat = self._recorder.refresh().params
        return dict(flat) if flatten else nest(flat)

    def __repr__(self) -> str:
        return f"<parameters of {self._recorder.key.project}/{self._recorder.key.name}: {self.get()}>"


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a": {"b": 1}}`` → ``{"a.b": 1}``; an empty mapping stays a value. Raises `InvalidInput` where two spellings meet."""
    flat: dict[str, Any] = {}
    _flatten_into(flat, values, "", 1)
    return flat


def _flatten_into(flat: dict[str, Any], values: Mapping[str, Any], above: str, depth: int) -> None:
    if depth > 64:
        msg = f"parameter {above[:60]!r}…: nested deeper than 64 levels."
        raise InvalidInput(msg)
    for key, value in values.items():
        if not isinstance(key, str):
            place = f" below {above[:-1]!r}" if above else ""
            msg = f"parameters{place}: names must be strings; got {key!r} of type {type(key).__name__}."
            raise InvalidType(msg)
        name = above + key
        group = _group(value)
        if group:
            _flatten_into(flat, group, name + ".", depth + 1)
        elif name in flat:
            msg = f"parameter {name!r} is given twice in one call, once with a dot and once nested."
            raise InvalidInput(msg)
        else:
            flat[name] = value


def _group(value: Any) -> Mapping[str, Any] | None:
    """`value` as a mapping, if it is one or a dataclass."""
    if hasattr(type(value), "__dataclass_fields__"):
        import dataclasses

        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value if isinstance(value, Mapping) else None


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`. Where a published client left ``a`` beside ``a.b``, the dotted key stays as it is."""
    nested: dict[str, Any] = {}
    for name, value in sorted(flat.items(), key=lambda item: item[0].count(".")):
        place: Any = nested
        *groups, last = name.split(".")
        for group in groups:
            place = place.setdefault(group, {}) if isinstance(place, dict) else None
        if isinstance(place, dict) and last not in place:
            place[last] = value
        else:
            nested[name] = value
    return nested
