"""Metrics and tracks, through both front doors over a folder: what each call answers, stores and refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from dreamlake import Session
from ml_dash import Experiment, InvalidInput, InvalidType, RunClosed, SeriesNotFound, columns
from ml_dash.testing import COLUMNS


class Door(NamedTuple):
    """One of the two packages: an open run, with the words for its series."""

    run: Any
    noun: str
    id: str
    folder: str

    @property
    def series(self) -> Callable[..., Any]:
        found: Callable[..., Any] = self.run.metrics if self.noun == "metric" else self.run.track
        return found

    def lines(self, name: str) -> list[Any]:
        """What is on disk, by a parser of strict JSON."""

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        text = Path(self.run.path, self.folder, name, "data.jsonl").read_text()
        return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.fixture(params=["ml_dash", "dreamlake"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    if request.param == "ml_dash":
        with Experiment("run", "project", local_path=tmp_path / "root").run as experiment:
            yield Door(experiment, "metric", "metricId", "metrics")
    else:
        with Session("run", "project", local_path=tmp_path / "root") as session:
            yield Door(session, "track", "trackId", "tracks")


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    with Experiment("run", "project", local_path=tmp_path / "root").run as opened:
        yield opened


@pytest.fixture
def loss(experiment: Experiment) -> Any:
    """A metric with ten points, their value ten times their index."""
    metric = experiment.metrics("loss")
    metric.append_batch([{"value": index * 10} for index in range(10)])
    return metric


def values(points: list[dict[str, Any]]) -> list[Any]:
    return [point["data"]["value"] for point in points]


# ---------------------------------------------------------------- append


def test_append_answers_with_where_the_point_is(door: Door) -> None:
    """Every number an int, also where the published clients gave text."""
    answers = [door.series("train/loss").append(value=0.5, epoch=1), door.series("train/loss").append(value=0.25)]
    assert answers == [
        {door.id: f"local-{door.noun}-train/loss", "index": index, "bufferedDataPoints": index + 1, "chunkSize": 10_000}
        for index in (0, 1)
    ]
    assert [list(answer) for answer in answers] == [[door.id, "index", "bufferedDataPoints", "chunkSize"]] * 2
    assert all(type(answer[key]) is int for answer in answers for key in ("index", "bufferedDataPoints", "chunkSize"))


def test_a_point_is_a_line_as_the_format_says(door: Door) -> None:
    """Byte for byte, spaces included."""
    door.series("train_loss").append(value=0.5, epoch=1)
    path = Path(door.run.path, door.folder, "train_loss", "data.jsonl")
    assert path.read_text() == '{"index": 0, "data": {"value": 0.5, "epoch": 1}}\n'


def test_a_mapping_is_a_row_too(door: Door) -> None:
    """Any mapping; keywords beside it are more fields, and win."""
    series = door.series("loss")
    series.append({"value": 1, "not an identifier": 2})
    series.append({"value": 1, "step": 1}, value=2, epoch=3)
    series.append({})
    series.append()
    assert [line["data"] for line in door.lines("loss")] == [
        {"value": 1, "not an identifier": 2},
        {"value": 2, "step": 1, "epoch": 3},
        {},
        {},
    ]


def test_a_keyword_is_always_a_field(door: Door) -> None:
    """Whatever it is called: no parameter's name stands in the way."""
    row = {"self": 1, "name": "n", "data": {"a": 1}, "value": 2, "row": 3, "fields": 4, "description": 5, "args": 6}
    door.series("loss").append(**row)
    door.series("loss").append(row)
    door.series("loss").append_batch([row])
    assert [line["data"] for line in door.lines("loss")] == [row] * 3


def test_the_row_that_was_given_stays_the_callers(door: Door) -> None:
    """It may be filled anew for the next point."""
    row: dict[str, Any] = {"value": [1]}
    for epoch in range(3):
        row["value"][0] = epoch
        door.series("loss").append(row, epoch=epoch)
    assert row == {"value": [2]}
    assert [line["data"]["value"] for line in door.lines("loss")] == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((0.5,), "append takes one mapping, or fields by keyword: .*; got float"),
        (([1],), "append takes one mapping, or fields by keyword: .*; got list"),
        (({"a": 1}, {"b": 2}), "append takes one mapping, or fields by keyword: .*; got dict, dict"),
        (({1: 2},), r"keys must be strings; got 1 of type int. Use str\(key\)"),
    ],
)
def test_append_says_what_it_takes(door: Door, args: tuple[Any, ...], error: str) -> None:
    with pytest.raises(TypeError, match=error):
        door.series("loss").append(*args)
    assert len(door.series("loss")) == 0


def test_a_value_that_cannot_be_stored_is_named_with_its_series(door: Door) -> None:
    """Series, field and type; nothing of the call is stored, and the series is not made by it."""
    with pytest.raises(TypeError, match=f"^{door.noun} 'loss', field 'a.b': a value of type builtins.set"):
        door.series("loss", description="d").append(ok=1, a={"b": {1}})
    with pytest.raises(
        TypeError, match=f"^{door.noun} 'loss', row 2 of the batch: field 'v': a value of type .*object"
    ):
        door.series("loss").append_batch([{"v": 1}, {"v": 2}, {"v": object()}, {"v": 3}])
    with pytest.raises(ValueError, match=f"^{door.noun} 'loss', field 'v': .* lone surrogate"):
        door.series("loss").append(v="\udc80")
    assert door.series("loss").list_all() == []
    door.series("loss").append(v=1)
    assert door.series("loss").stats()["description"] == "d", "what was said waits for the first point that is stored"


def test_a_bad_row_in_the_middle_of_a_batch_stores_nothing_of_it(door: Door) -> None:
    """Not the rows before it either; the points that were there stay."""
    series = door.series("loss")
    series.append(v=0)
    for bad in ({"v": {1}}, {"v": "\ud800"}, {"v": 10**4300}, {1: 1}, 5, {str(i): i for i in range(10_001)}):
        with pytest.raises(ValueError, match="row 1 of the batch"):
            series.append_batch([{"v": 1}, bad, {"v": 3}])
    assert [line["data"] for line in door.lines("loss")] == [{"v": 0}]
    assert series.append_batch([{"v": 1}])["startIndex"] == 1


# ---------------------------------------------------------------- the unnamed series, and the methods of `metrics`


def test_the_unnamed_series_is_called_none(door: Door) -> None:
    """On disk and in lists, as in the published clients; by that name it is the same series."""
    assert door.series().append(v=1)[door.id] == f"local-{door.noun}-None"
    assert door.series("None").append(v=2)["index"] == 1
    assert [line["data"]["v"] for line in door.lines("None")] == [1, 2]
    assert [info["name"] for info in door.series().list_all()] == ["None"]


def test_metrics_append_takes_the_name_first(experiment: Experiment) -> None:
    """A first positional text is the metric's name; every keyword is a field, also `name` and `data`."""
    metrics = experiment.metrics
    assert metrics.append("loss", value=1)["metricId"] == "local-metric-loss"
    assert metrics.append("loss", {"value": 2})["index"] == 1
    assert metrics.append("loss", {"value": 3}, step=1)["index"] == 2
    assert metrics.append("loss", None, value=4)["index"] == 3, "as the published signature has it: data=None"
    assert metrics.append("loss", name="n", data=1, self=2)["index"] == 4
    assert [point["data"] for point in experiment.metrics("loss")] == [
        {"value": 1},
        {"value": 2},
        {"value": 3, "step": 1},
        {"value": 4},
        {"name": "n", "data": 1, "self": 2},
    ]


def test_without_a_name_the_row_goes_to_the_unnamed_metric(experiment: Experiment) -> None:
    metrics = experiment.metrics
    assert metrics.append(loss=1)["metricId"] == "local-metric-None"
    metrics.append({"loss": 2})
    metrics.append(name="loss", value=3)
    assert [point["data"] for point in metrics()] == [{"loss": 1}, {"loss": 2}, {"name": "loss", "value": 3}]
    assert [metric["name"] for metric in metrics.list_all()] == ["None"]


ROWS = [{"v": 1}, {"v": 2}]


@pytest.mark.parametrize(
    "call",
    [
        lambda metrics: metrics.append_batch("loss", ROWS),
        lambda metrics: metrics.append_batch("loss", iter(ROWS)),
        lambda metrics: metrics.append_batch("loss", data_points=ROWS),
        lambda metrics: metrics.append_batch(name="loss", data_points=ROWS),
        lambda metrics: metrics.append_batch(ROWS, name="loss"),
        lambda metrics: metrics("loss").append_batch(ROWS),
        lambda metrics: metrics("loss").append_batch(data_points=ROWS),
        lambda metrics: metrics(name="loss").append_batch(row for row in ROWS),
    ],
)
def test_append_batch_takes_a_name_and_rows_in_any_spelling(experiment: Experiment, call: Callable[..., Any]) -> None:
    assert call(experiment.metrics) == {
        "metricId": "local-metric-loss",
        "startIndex": 0,
        "endIndex": 1,
        "count": 2,
        "bufferedDataPoints": 2,
        "chunkSize": 10_000,
    }
    assert [point["data"] for point in experiment.metrics("loss")] == ROWS


def test_append_batch_takes_what_is_said_of_the_metric(experiment: Experiment) -> None:
    """By position and by keyword, as published."""
    experiment.metrics.append_batch("a", ROWS, "said", ["t"], {"unit": "s"})
    experiment.metrics.append_batch("b", ROWS, description="said", tags=["t"], metadata={"unit": "s"})
    for name in "ab":
        stats = experiment.metrics(name).stats()
        assert (stats["description"], stats["tags"], stats["metadata"]) == ("said", ["t"], {"unit": "s"})


def test_append_batch_without_a_name_goes_to_the_unnamed_metric(experiment: Experiment) -> None:
    assert experiment.metrics.append_batch(ROWS)["metricId"] == "local-metric-None"
    assert experiment.metrics.append_batch(data_points=ROWS)["startIndex"] == 2


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("loss",), {}),
        (("loss", ROWS), {"name": "other"}),
        (("loss", ROWS), {"data_points": ROWS}),
        (("loss", ROWS), {"step": 1}),
        (("loss", ROWS, None, None, None, None), {}),
    ],
)
def test_append_batch_says_what_it_takes(experiment: Experiment, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Nothing is stored under another name than the one that was meant."""
    with pytest.raises(TypeError, match="append_batch takes"):
        experiment.metrics.append_batch(*args, **kwargs)
    assert experiment.metrics.list_all() == []


# ---------------------------------------------------------------- append_batch


def test_append_batch_answers_with_the_span(door: Door) -> None:
    series = door.series("loss")
    series.append(v=0)
    answer = series.append_batch([{"v": 1}, {"v": 2}, {"v": 3}])
    assert list(answer) == [door.id, "startIndex", "endIndex", "count", "bufferedDataPoints", "chunkSize"]
    assert list(answer.values()) == [f"local-{door.noun}-loss", 1, 3, 3, 4, 10_000]
    assert all(type(answer[key]) is int for key in answer if key != door.id)


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        iter,
        lambda rows: (row for row in rows),
        lambda rows: dict(enumerate(rows)).values(),
        np.array,
    ],
    ids=["list", "tuple", "iterator", "generator", "view", "array"],
)
def test_append_batch_takes_any_iterable_of_mappings(door: Door, make: Callable[[Any], Any]) -> None:
    assert door.series("loss").append_batch(make([{"v": index} for index in range(5)]))["count"] == 5
    assert [line["index"] for line in door.lines("loss")] == list(range(5))


def test_an_empty_batch_is_a_value_error(door: Door) -> None:
    """As published; a generator that gives nothing is one."""
    empties: tuple[Any, ...] = ([], (), iter([]))
    for empty in empties:
        with pytest.raises(ValueError, match=f"{door.noun} 'loss': the batch is empty"):
            door.series("loss").append_batch(empty)
    assert door.series("loss").list_all() == []


@pytest.mark.parametrize("bad", [None, 5, "text", b"bytes", {"v": 1}])
def test_what_is_no_batch_is_a_type_error(door: Door, bad: Any) -> None:
    with pytest.raises(
        TypeError, match=f"append_batch takes a list of mappings, one a point; got {type(bad).__name__}"
    ):
        door.series("loss").append_batch(bad)
    with pytest.raises(TypeError, match="row 0 of the batch: a row must be a mapping"):
        door.series("loss").append_batch([bad if bad != {"v": 1} else [1]])


def test_a_generator_that_raises_stores_nothing(door: Door) -> None:
    """Its error comes through as it is."""

    def failing() -> Iterator[dict[str, int]]:
        yield {"v": 1}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        door.series("loss").append_batch(failing())
    assert len(door.series("loss")) == 0


# ---------------------------------------------------------------- values


def test_what_was_appended_is_what_is_read(door: Door) -> None:
    """Types included; NumPy's scalars and a tensor's are Python's numbers."""

    class Tensor:
        shape = ()

        def item(self) -> float:
            return 0.5

    row = {
        "a": 1,
        "b": 1.0,
        "c": True,
        "d": None,
        "e": math.nan,
        "f": -math.inf,
        "g": "NaN",
        "h": 2**70,
        "i": [1, {"x": "}, {"}],
        "NaN": '"index": ',
    }
    door.series("loss").append(**row)
    door.series("loss").append_batch([row])
    door.series("loss").append(x=np.float32(0.5), y=np.int64(3), z=np.bool_(True), t=Tensor(), u=np.arange(3))
    points = [point["data"] for point in door.series("loss").read()["data"]]
    assert [repr(point) for point in points[:2]] == [repr(row)] * 2
    assert repr(points[2]) == "{'x': 0.5, 'y': 3, 'z': True, 't': 0.5, 'u': [0, 1, 2]}"


# ---------------------------------------------------------------- read


def test_read_answers_with_points_and_where_they_are(door: Door) -> None:
    door.series("loss").append_batch([{"v": index} for index in range(5)])
    answer = door.series("loss").read(start_index=1, limit=2)
    assert list(answer) == ["data", "startIndex", "endIndex", "total", "hasMore"]
    assert answer | {"data": 0} == {"data": 0, "startIndex": 1, "endIndex": 2, "total": 2, "hasMore": True}
    assert [list(point) for point in answer["data"]] == [["index", "data", "createdAt"]] * 2
    assert [(point["index"], point["data"]) for point in answer["data"]] == [(1, {"v": 1}), (2, {"v": 2})]
    assert all(point["createdAt"].endswith("Z") for point in answer["data"])
    assert all(type(answer[key]) is int for key in ("startIndex", "endIndex", "total"))


@pytest.mark.parametrize(
    ("start", "limit", "indices", "span", "more"),
    [
        (0, 1000, range(10), (0, 9), False),
        (0, 10, range(10), (0, 9), False),
        (0, 9, range(9), (0, 8), True),
        (3, 2, (3, 4), (3, 4), True),
        (0, None, range(10), (0, 9), False),
        (8, None, (8, 9), (8, 9), False),
        (-3, None, (7, 8, 9), (7, 9), False),
        (-3, 2, (7, 8), (7, 8), True),
        (-99, 2, (0, 1), (0, 1), True),
        (10, 5, (), (10, 9), False),
        (500, 5, (), (500, 499), False),
        (500, None, (), (500, 499), False),
        (4, 0, (), (4, 3), True),
        (4, -1, (), (4, 3), True),
        (10, 0, (), (10, 9), False),
        (np.int64(2), np.int32(2), (2, 3), (2, 3), True),
        (np.int8(-1), np.uint64(5), (9,), (9, 9), False),
    ],
)
def test_read_gives_the_span_asked_for(
    loss: Any, start: Any, limit: Any, indices: range | tuple[int, ...], span: tuple[int, int], more: bool
) -> None:
    """As far as it exists: negative starts count from the end, None is all, 0 or less none, beyond the end none."""
    answer = loss.read(start, limit)
    assert [point["index"] for point in answer["data"]] == list(indices)
    assert values(answer["data"]) == [index * 10 for index in indices]
    assert (answer["startIndex"], answer["endIndex"]) == span
    assert answer["total"] == len(indices)
    assert answer["hasMore"] is more
    assert json.dumps({key: answer[key] for key in ("startIndex", "endIndex", "total")}), "NumPy's numbers do not stay"


def test_a_series_without_points_reads_as_empty(door: Door) -> None:
    """And reading makes nothing on disk."""
    empty = door.series("none")
    assert empty.read() == {"data": [], "startIndex": 0, "endIndex": -1, "total": 0, "hasMore": False}
    assert empty.read(start_index=7, limit=3) == {
        "data": [],
        "startIndex": 7,
        "endIndex": 6,
        "total": 0,
        "hasMore": False,
    }
    assert (len(empty), list(empty), empty[:], bool(empty)) == (0, [], [], True)
    assert not Path(door.run.path, door.folder, "none").exists()


@pytest.mark.parametrize("bad", ["1", 1.0, None, [1]])
def test_read_wants_whole_numbers(loss: Any, bad: Any) -> None:
    with pytest.raises(TypeError, match=r"start_index: expected a whole number; got .* of type \w+"):
        loss.read(bad)
    if bad is not None:
        with pytest.raises(TypeError, match="limit: expected a whole number; got"):
            loss.read(0, bad)


def test_a_point_whose_time_is_lost_has_none(door: Door, tmp_path: Path) -> None:
    """The clock is advisory: without its file the points are all there, and so is the key."""
    door.series("loss").append(v=1)
    door.run.flush()
    for clock in tmp_path.rglob("clock.jsonl"):
        clock.unlink()
    again = type(door.run)("run", "project", local_path=tmp_path / "root")
    with again.run if door.noun == "metric" else again as run:
        series = Door(run, *door[1:]).series("loss")
        assert series.read()["data"] == [{"index": 0, "data": {"v": 1}, "createdAt": None}]
        assert np.isnat(series.columns()["createdAt"]).all()


# ---------------------------------------------------------------- len, [i], [a:b], iteration


def test_a_metric_is_a_sequence(loss: Any) -> None:
    """Of points as `read` gives them."""
    assert len(loss) == 10
    assert loss[3] == loss.read(3, 1)["data"][0]
    assert loss[-1]["index"] == loss[9]["index"] == loss[np.int64(9)]["index"] == 9
    assert [point["index"] for point in loss] == list(range(10))
    assert loss[2:4] == loss.read(2, 2)["data"]


slices = [
    slice(a, b, step)
    for a in (None, 0, 3, -4, -99, 12)
    for b in (None, 0, 7, -2, -99, 99)
    for step in (None, 1, 2, 3, -1, -2, 11, -11)
]


def test_slices_are_those_of_a_list(loss: Any) -> None:
    """Whatever start, stop and step."""
    expected = list(range(10))
    for at in slices:
        assert [point["index"] for point in loss[at]] == expected[at], at


@pytest.mark.parametrize("at", [10, -11, 10**30, -(10**30)])
def test_an_index_beyond_the_end_is_an_index_error(loss: Any, at: int) -> None:
    with pytest.raises(IndexError, match=rf"metric 'loss' has 10 points; there is none at index {at}"):
        loss[at]


@pytest.mark.parametrize("at", ["value", 1.0, None, (1, 2)])
def test_an_index_is_a_whole_number(loss: Any, at: Any) -> None:
    with pytest.raises(TypeError, match="index: expected a whole number"):
        loss[at]
    with pytest.raises((TypeError, ValueError)):
        loss[slice(at, None, "x" if at is None else None)]


def test_an_iteration_sees_the_points_of_its_start(loss: Any) -> None:
    """Appending inside it does not make it endless."""
    for point in loss:
        loss.append(value=point["data"]["value"])
    assert len(loss) == 20


def test_a_long_series_is_read_whole(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many pages as it takes."""
    monkeypatch.setattr("ml_dash.recorder.PAGE", 7)
    metric = experiment.metrics("loss")
    metric.append_batch([{"value": index} for index in range(50)])
    assert values(metric.read(limit=None)["data"]) == list(range(50))
    assert values(metric.read(3, 40)["data"]) == list(range(3, 43))
    assert values(list(metric)) == list(range(50))
    assert values(metric[5:45:3]) == list(range(5, 45, 3))
    assert metric.columns()["value"].tolist() == list(range(50))
    assert metric.columns(start_index=6, stop_index=8)["index"].tolist() == [6, 7]


# ---------------------------------------------------------------- stats, list_all, what is said of a series

STATS = [
    "name",
    "description",
    "tags",
    "metadata",
    "totalDataPoints",
    "bufferedDataPoints",
    "chunkedDataPoints",
    "totalChunks",
    "chunkSize",
    "firstDataAt",
    "lastDataAt",
    "createdAt",
    "updatedAt",
]


def test_stats_tell_all_of_a_series(door: Door) -> None:
    """In local mode all points are buffered and there is no chunk; the first and the last point have their wall times."""
    series = door.series("loss", description="d", tags=["a"], metadata={"unit": "s"})
    series.append_batch([{"v": 1}, {"v": 2}])
    stats = series.stats()
    assert list(stats) == [door.id, *STATS]
    times = {key: stats[key] for key in ("firstDataAt", "lastDataAt", "createdAt", "updatedAt")}
    assert stats == {
        door.id: f"local-{door.noun}-loss",
        "name": "loss",
        "description": "d",
        "tags": ["a"],
        "metadata": {"unit": "s"},
        "totalDataPoints": 2,
        "bufferedDataPoints": 2,
        "chunkedDataPoints": 0,
        "totalChunks": 0,
        "chunkSize": 10_000,
        **times,
    }
    assert all(isinstance(at, str) and at.endswith("Z") for at in times.values())
    assert all(type(stats[key]) is int for key in STATS[4:9])
    first, last = series.read()["data"]
    assert (stats["firstDataAt"], stats["lastDataAt"]) == (first["createdAt"], last["createdAt"])


def test_stats_of_a_series_without_points_is_an_error_of_two_kinds(door: Door) -> None:
    """As published: a FileNotFoundError; also where something was said of it."""
    made = Path(door.run.path, door.folder, "made")
    made.mkdir(parents=True)
    (made / "metadata.json").write_text('{"name": "made", "totalDataPoints": 5}')
    assert door.series("made").list_all()[0]["totalDataPoints"] == 0, "what the record counts is not believed"
    for series in (door.series("none"), door.series("said", description="d"), door.series("made")):
        with pytest.raises(FileNotFoundError, match=f"{door.noun} '{series.name}' has no points yet") as caught:
            series.stats()
        assert isinstance(caught.value, SeriesNotFound)


def test_list_all_tells_every_series_sorted_by_name(door: Door) -> None:
    """From any handle; counts of batches of any size are right."""
    for name, count in (("b", 3), ("a/c", 1), ("a", 2), ("B", 1), ("é", 1)):
        door.series(name, description=name * 2).append_batch([{"v": 0}] * count)
    listed = door.series("whatever").list_all()
    assert [list(info) for info in listed] == [
        [door.id, "name", "description", "tags", "totalDataPoints", "createdAt"]
    ] * 5
    assert [(info["name"], info["totalDataPoints"]) for info in listed] == [
        ("B", 1),
        ("a", 2),
        ("a/c", 1),
        ("b", 3),
        ("é", 1),
    ]
    assert [info[door.id] for info in listed] == [f"local-{door.noun}-{info['name']}" for info in listed]
    assert [info["description"] for info in listed] == [info["name"] * 2 for info in listed]
    assert {tuple(info["tags"]) for info in listed} == {()}


def test_what_is_said_later_replaces_what_was_said(door: Door) -> None:
    """A field at a time; what is not given stays."""

    def said() -> tuple[Any, ...]:
        stats = door.series("loss").stats()
        return stats["description"], stats["tags"], stats["metadata"]

    door.series("loss", "first", ["a"], {"unit": "s"}).append(v=1)
    assert said() == ("first", ["a"], {"unit": "s"})
    door.series("loss").append(v=1)
    assert said() == ("first", ["a"], {"unit": "s"})
    door.series("loss", tags=["b", "c"]).append(v=1)
    assert said() == ("first", ["b", "c"], {"unit": "s"})
    door.series("loss", description="second", metadata={"scale": "log"}).append_batch([{"v": 1}])
    assert said() == ("second", ["b", "c"], {"scale": "log"})
    door.series("loss", description="", tags=[], metadata={}).append(v=1)
    assert said() == ("", [], {})


def test_what_is_said_in_two_calls_before_a_point_is_all_stored(door: Door) -> None:
    door.series("loss", description="d", tags=["old"])
    door.series("loss", tags=["new"])
    door.series("loss", metadata={"unit": "s"}).append(v=1)
    stats = door.series("loss").stats()
    assert (stats["description"], stats["tags"], stats["metadata"]) == ("d", ["new"], {"unit": "s"})


def test_the_last_word_counts(door: Door) -> None:
    """Also where it is one that was said before."""
    for text in ("a", "b", "a"):
        door.series("loss", description=text)
    door.series("loss").append(v=1)
    door.series("loss", description="b")
    door.series("loss", description="a").append(v=1)
    assert door.series("loss").stats()["description"] == "a"


def test_what_was_said_while_closed_is_stored_after_reopening(door: Door) -> None:
    """An append that was refused has not used it up."""
    series = door.series("loss")
    close, reopen = (
        (door.run.run.complete, door.run.run.start) if door.noun == "metric" else (door.run.close, door.run.open)
    )
    close()
    door.series("loss", description="said")
    with pytest.raises(RunClosed):
        series.append(v=1)
    reopen()
    series.append(v=1)
    assert series.stats()["description"] == "said"


@pytest.mark.parametrize(
    ("about", "error"),
    [
        ({"description": 5}, "description: expected a string; got 5 of type int"),
        ({"tags": "abc"}, "tags: expected a list of strings"),
        ({"tags": [1]}, "tags: expected a list of strings"),
        ({"metadata": [1]}, r"metadata: expected a mapping.* got \[1\] of type list"),
        ({"metadata": {"a": {1}}}, "metadata: field 'a': a value of type builtins.set"),
    ],
)
def test_what_is_said_is_checked_where_it_is_said(door: Door, about: dict[str, Any], error: str) -> None:
    with pytest.raises(TypeError, match=error):
        door.series("loss", **about)
    door.series("loss").append(v=1)
    assert door.series("loss").stats()["description"] is None


def test_metadata_is_kept_as_it_was_when_it_was_given(door: Door) -> None:
    metadata: dict[str, Any] = {"a": (1, np.float64(0.5))}
    series = door.series("loss", metadata=metadata)
    metadata["a"] = None
    series.append(v=1)
    assert series.stats()["metadata"] == {"a": [1, 0.5]}


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a//b", "a/", "nul\0", "x" * 256, "C:a"])
def test_what_is_no_name_is_refused_where_it_is_given(door: Door, name: str) -> None:
    """With the name in quotes; nothing is written anywhere."""
    with pytest.raises(ValueError, match="^name ") as caught:
        door.series(name)
    assert repr(name) in str(caught.value)
    assert door.series().list_all() == []


@pytest.mark.parametrize("name", [5, ["a"], {"a"}, b"a", 1.5])
def test_a_name_is_a_string(door: Door, name: Any) -> None:
    with pytest.raises(ValueError, match=r"^name .* of type \w+, not str"):
        door.series(name)


def test_a_name_may_have_slashes_and_be_anything_that_is_shown(door: Door) -> None:
    for name in ("train/loss", "a b", "100%", "CON", "é😀", "a.", "None/None", np.str_("n")):
        series = door.series(name)
        series.append(v=1)
        assert series.name == name
        assert series[0]["data"] == {"v": 1}
    assert "100%" in [info["name"] for info in door.series().list_all()]


# ---------------------------------------------------------------- columns, frames, samples


@pytest.fixture
def table(experiment: Experiment) -> Any:
    metric = experiment.metrics("table")
    metric.append_batch([{"step": step, "loss": step / 2, "index": "mine"} for step in range(5)])
    metric.append(step=5, ok=True)
    return metric


def test_columns_are_arrays_of_equal_length(table: Any) -> None:
    """A user's own "index" does not take the place of ours."""
    got = table.columns()
    assert {name: str(array.dtype) for name, array in got.items()} == {
        "index": "int64",
        "createdAt": "datetime64[ms]",
        "step": "int64",
        "loss": "float64",
        "data.index": "object",
        "ok": "object",
    }
    assert {len(array) for array in got.values()} == {6}
    assert got["step"].tolist() == list(range(6))
    assert math.isnan(got["loss"][5])
    assert got["ok"].tolist() == [None] * 5 + [True]
    assert [str(at) + "Z" for at in got["createdAt"]] == [point["createdAt"] for point in table]


def test_columns_of_some_fields_and_points(table: Any) -> None:
    """One name alone is one field; negative positions count from the end, what is beyond it is left out."""
    assert list(table.columns(["loss"])) == list(table.columns("loss")) == ["index", "createdAt", "loss"]
    spans = {
        (0, None): range(6),
        (2, 4): (2, 3),
        (-2, None): (4, 5),
        (0, -4): (0, 1),
        (-99, 99): range(6),
        (4, 2): (),
        (99, None): (),
        (np.int64(1), np.int64(2)): (1,),
    }
    for (start, stop), indices in spans.items():
        got = table.columns("step", start_index=start, stop_index=stop)
        assert got["index"].tolist() == got["step"].tolist() == list(indices)


def test_columns_of_named_fields_are_those_of_all(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, in whichever pages they come: what is no number in the last of them is no number in the first."""
    metric = experiment.metrics("kinds")
    metric.append_batch(
        {name: values[at] for name, values in COLUMNS.items() if values[at] is not ...} for at in range(24)
    )
    names = [*COLUMNS, "nobody"]
    for most in (100, 2_000, 1 << 20):
        monkeypatch.setattr(columns, "MOST_LINES", most)
        for start, stop in ((0, None), (0, 8), (5, 20), (23, None), (7, 7)):
            everything = metric.columns(None, start, stop)
            for fields in (names, names[:5], *([name] for name in names)):
                found = metric.columns(fields, start, stop)
                assert list(found) == ["index", "createdAt", *(f"data.{f}" if f == "index" else f for f in fields)]
                for name, column in found.items():
                    expected = everything.get(name, np.full(len(column), None))
                    assert (column.dtype, repr(column.tolist())) == (expected.dtype, repr(expected.tolist())), name
                    assert column.flags.writeable


def test_columns_of_more_fields_than_a_page_has(experiment: Experiment) -> None:
    metric = experiment.metrics("wide")
    metric.append_batch([{f"f{n}": n + at for n in range(150)} for at in range(3)])
    found = metric.columns([f"f{n}" for n in range(150)])
    assert [column.tolist() for column in list(found.values())[2:]] == [[n, n + 1, n + 2] for n in range(150)]


@pytest.mark.parametrize("fields", [5, [1], [None], {"a": 1}.items()])
def test_columns_wants_names(table: Any, fields: Any) -> None:
    with pytest.raises(TypeError, match="fields: expected a list of strings"):
        table.columns(fields)


@pytest.mark.parametrize("field", ['a"b', "a\\b", "a,b:c", "\x01", "NaN", "é", "", "}, {"])
def test_a_field_may_be_called_anything(experiment: Experiment, field: str) -> None:
    """In columns, data frames and samples as on disk."""
    metric = experiment.metrics("odd")
    metric.append_batch([{field: 1.5, "other": "NaN"}, {field: 2.5}])
    assert metric.columns()[field].tolist() == metric.columns([field])[field].tolist() == [1.5, 2.5]
    assert metric.sample(field).first.tolist() == [1.5, 2.5]
    assert metric.sample("other", x=field).x_min.tolist() == [1.5, 2.5]
    assert metric.to_pandas()[field].tolist() == [1.5, 2.5]


def test_data_frames_of_a_metric(table: Any) -> None:
    """The same columns in each library's own types."""
    frame = table.to_pandas()
    assert (frame.index.name, frame.index.tolist()) == ("index", list(range(6)))
    assert frame["step"].tolist() == table.to_polars()["step"].to_list() == table.to_arrow()["step"].to_pylist()
    assert table.to_polars().columns == table.to_arrow().column_names == list(table.columns())


SAMPLE = [
    "start",
    "stop",
    "x_min",
    "x_max",
    "count",
    "nan",
    "posinf",
    "neginf",
    "min",
    "max",
    "argmin",
    "argmax",
    "first",
    "last",
    "mean",
]


def test_a_sample_is_the_points_where_they_are_fewer(table: Any) -> None:
    """Arrays of equal length, one element a bucket; frozen."""
    sample = table.sample("loss")
    assert list(sample.to_dict()) == SAMPLE
    assert sample.start.tolist() == list(range(6))
    assert sample.first.tolist()[:5] == sample.min.tolist()[:5] == sample.mean.tolist()[:5] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert sample.count.tolist() == [1] * 5 + [0]
    with pytest.raises(AttributeError):
        sample.start = None


def test_a_sample_has_at_most_so_many_buckets_and_loses_no_extreme(experiment: Experiment) -> None:
    metric: Any = experiment.metrics("spiky")
    rows = [{"v": float(index % 7), "step": index * 2} for index in range(1000)]
    rows[333]["v"], rows[334]["v"], rows[335]["v"] = 1e9, math.nan, -math.inf
    metric.append_batch(rows)
    sample = metric.sample("v", x="step", max_points=10)
    assert 1 <= len(sample) <= 10
    assert (max(sample.max), int(sample.argmax[np.argmax(sample.max)])) == (1e9, 333)
    assert (sample.nan.sum(), sample.neginf.sum(), sample.posinf.sum(), sample.count.sum()) == (1, 1, 0, 998)
    assert (sample.x_min[0], sample.x_max[-1]) == (0, 1998)
    assert (sample.start[0], sample.stop[-1]) == (0, 1000)
    tail = metric.sample("v", start_index=-100, stop_index=-50, max_points=np.int64(5))
    assert (tail.start[0], tail.stop[-1], len(tail) <= 5) == (900, 950, True)


def test_a_sample_of_nothing_is_empty(experiment: Experiment, table: Any) -> None:
    assert len(experiment.metrics("none").sample("v")) == 0
    assert len(table.sample("loss", start_index=6)) == 0
    assert table.sample("no such field").count.tolist() == [0] * 6


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"field": 5}, "field: expected the name of a field; got 5 of type int"),
        ({"field": None}, "field: expected the name of a field; got None"),
        ({"field": "v", "x": 5}, "x: expected a string; got 5"),
        ({"field": "v", "max_points": 0}, "max_points: expected an int of 1 or more, got 0"),
        ({"field": "v", "max_points": 1.5}, "max_points"),
        ({"field": "v", "start_index": "a"}, "start_index: expected a whole number"),
        ({"field": "v", "stop_index": 0.5}, "stop_index: expected a whole number"),
    ],
)
def test_sample_says_what_it_takes(table: Any, kwargs: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        table.sample(**kwargs)


# ---------------------------------------------------------------- handles


def test_repr_names_series_and_run(door: Door) -> None:
    assert repr(door.series("loss")) == f"<{door.noun} 'loss' of project/run>"


def test_the_names_of_the_metrics_can_be_looped_over(experiment: Experiment) -> None:
    experiment.metrics("b").append(v=1)
    experiment.metrics("a").append(v=1)
    assert list(experiment.metrics) == ["a", "b"]
    assert "a" in experiment.metrics


def test_two_handles_of_one_series_share_it(door: Door, tmp_path: Path) -> None:
    """Of one run in one process, and of another run object of the same name."""
    other = type(door.run)("run", "project", local_path=tmp_path / "root")
    with other.run if door.noun == "metric" else other as run:
        second = Door(run, *door[1:]).series("loss")
        for index in range(6):
            assert (door.series("loss") if index % 2 else second).append(v=index)["index"] == index
        assert len(second) == len(door.series("loss")) == 6


def test_an_error_of_a_wrong_call_is_of_this_package(loss: Any) -> None:
    """So that one except clause has them all."""
    for call in (
        lambda: loss.append(5),
        lambda: loss.append_batch([]),
        lambda: loss.read("a"),
        lambda: loss.columns(5),
    ):
        with pytest.raises(InvalidInput):
            call()
    with pytest.raises(InvalidType):
        loss.append(v=object())
