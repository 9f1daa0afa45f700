"""Appends of requests that came together, in as few calls of a store as they allow. Knows no HTTP, and of rights only whom to ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ml_dash.codec import Lines
from ml_dash.errors import MlDashError, Unavailable
from ml_dash.server.ingest import Outcome, outcome_of

if TYPE_CHECKING:
    from ml_dash.model import Appended, Batch

Batches = Sequence["Batch"]
Answer = list["Appended"]


class Request(NamedTuple):
    """`load` gives the batches, decoded and found to be allowed; it raises what is wrong with them. `append` stores them alone."""

    load: Callable[[], Batches]
    append: Callable[[Batches], Answer]


def append_group(requests: Sequence[Request], append: Callable[[Batches], Answer], most: int) -> list[Outcome[Answer]]:
    """What becomes of each. Those whose batches carry an identity go into one call of `append`, as far as `most` bytes of rows reach."""
    outcomes: list[Outcome[Answer]] = [Outcome(None)] * len(requests)
    together: dict[int, Batches] = {}
    size = 0
    for at, request in enumerate(requests):
        loaded = outcome_of(request.load)
        batches = loaded.done
        if batches is None:
            outcomes[at] = Outcome(None, loaded.failed)
        elif any(batch.writer is None for batch in batches):
            outcomes[at] = outcome_of(partial(request.append, batches))
        else:
            own = sum(map(_size, batches))
            if together and size + own > most:
                _settle(together, requests, append, outcomes)
                together, size = {}, 0
            together[at] = batches
            size += own
    _settle(together, requests, append, outcomes)
    return outcomes


def _settle(
    together: dict[int, Batches],
    requests: Sequence[Request],
    append: Callable[[Batches], Answer],
    outcomes: list[Outcome[Answer]],
) -> None:
    """Append them in one call. Where that fails, each on its own, so that what is wrong with one is no other's trouble: their
    identity makes it harmless, and `first` is None for what the failed call has stored. A store that cannot answer is everybody's."""
    if len(together) > 1:
        one = outcome_of(lambda: append([batch for batches in together.values() for batch in batches]))
        if one.done is not None or isinstance(one.failed, Unavailable) or not isinstance(one.failed, _OF_ONE):
            answers = iter(one.done or ())
            for at, batches in together.items():
                outcomes[at] = Outcome([next(answers) for _ in batches] if one.done is not None else None, one.failed)
            return
    for at, batches in together.items():
        outcomes[at] = outcome_of(partial(requests[at].append, batches))


_OF_ONE = (MlDashError, OSError)
"""What may be one request's doing; anything else is a defect."""


def _size(batch: Batch) -> int:
    rows = batch.rows
    return len(rows.data) if isinstance(rows, Lines) else sum(map(len, rows))
