"""The examples of the two pages that this system is known by, as a user types them, leave exactly the lines shown there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dreamlake import Session
from ml_dash import Experiment

FIRST = b'{"index": 0, "data": {"value": 0.5, "epoch": 1}}\n'


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(path: str) -> list[bytes]:
    return Path(path).read_bytes().splitlines(keepends=True)


def metric_lines(name: str) -> list[bytes]:
    return lines(f".ml-dash/project/my-experiment/metrics/{name}/data.jsonl")


def track_lines(name: str) -> list[bytes]:
    return lines(f".dreamlake/project/my-experiment/tracks/{name}/data.jsonl")


def train_one_epoch(epoch: int) -> float:
    return 0.5 / (epoch + 1)


def validate(epoch: int) -> tuple[float, float]:
    return 0.6 / (epoch + 1), 0.8


class TestMetrics:
    def test_basic_usage(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            experiment.metrics("train_loss").append(value=0.5, epoch=1)
            experiment.metrics("train_loss").append(value=0.45, epoch=2)
            experiment.metrics("train_loss").append(value=0.4, epoch=3)
        assert metric_lines("train_loss") == [
            FIRST,
            b'{"index": 1, "data": {"value": 0.45, "epoch": 2}}\n',
            b'{"index": 2, "data": {"value": 0.4, "epoch": 3}}\n',
        ]

    def test_several_fields_in_one_point(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            experiment.metrics("metrics").append(epoch=5, train_loss=0.3, val_loss=0.35, train_acc=0.85, val_acc=0.82)
        assert metric_lines("metrics") == [
            b'{"index": 0, "data": {"epoch": 5, "train_loss": 0.3, "val_loss": 0.35, "train_acc": 0.85, "val_acc": 0.82}}\n'
        ]

    def test_timestamp_field(self) -> None:
        now = time.time()
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            experiment.metrics("events").append(value=0.5, timestamp=now)
        (line,) = metric_lines("events")
        assert line == b'{"index": 0, "data": {"value": 0.5, "timestamp": %s}}\n' % json.dumps(now).encode()

    def test_batch_tells_its_count(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            result = experiment.metrics("train_loss").append_batch(
                [
                    {"value": 0.5, "step": 1},
                    {"value": 0.45, "step": 2},
                    {"value": 0.4, "step": 3},
                ]
            )
            assert f"Appended {result['count']} points" == "Appended 3 points"
        assert metric_lines("train_loss")[0] == b'{"index": 0, "data": {"value": 0.5, "step": 1}}\n'

    def test_reading(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            for i in range(100):
                experiment.metrics("train_loss").append(value=1.0 / (i + 1), step=i)
            result = experiment.metrics("train_loss").read(start_index=0, limit=10)
            shown = [f"Index: {point['index']}, Data: {point['data']}" for point in result["data"]]
        assert len(shown) == 10
        assert shown[1] == "Index: 1, Data: {'value': 0.5, 'step': 1}"

    def test_training_loop(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            experiment.params.set(learning_rate=0.001, batch_size=32)
            experiment.log("Starting training")
            for epoch in range(3):
                train_loss = train_one_epoch(epoch)
                val_loss, val_accuracy = validate(epoch)
                experiment.metrics("train_loss").append(value=train_loss, epoch=epoch + 1)
                experiment.metrics("val_loss").append(value=val_loss, epoch=epoch + 1)
                experiment.metrics("val_accuracy").append(value=val_accuracy, epoch=epoch + 1)
                experiment.log(f"Epoch {epoch + 1} complete", metadata={"train_loss": train_loss, "val_loss": val_loss})
            assert experiment.params.get() == {"learning_rate": 0.001, "batch_size": 32}
        assert metric_lines("train_loss")[0] == FIRST
        log = [json.loads(line) for line in lines(".ml-dash/project/my-experiment/logs/logs.jsonl")]
        assert [entry["message"] for entry in log][:2] == ["Starting training", "Epoch 1 complete"]
        assert log[1]["metadata"] == {"train_loss": 0.5, "val_loss": 0.6}

    def test_collecting_points_and_appending_them_in_batches(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            batch = []
            for step in range(1000):
                batch.append({"value": 1 / (step + 1), "step": step})
                if len(batch) >= 100:
                    experiment.metrics("train_loss").append_batch(batch)
                    batch = []
            if batch:
                experiment.metrics("train_loss").append_batch(batch)
        stored = [json.loads(line) for line in metric_lines("train_loss")]
        assert stored == [{"index": i, "data": {"value": 1 / (i + 1), "step": i}} for i in range(1000)]

    def test_several_metrics_in_one(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            for epoch in range(2):
                experiment.metrics("all_metrics").append(
                    epoch=epoch, train_loss=0.5, val_loss=0.6, train_acc=0.85, val_acc=0.8, learning_rate=0.001
                )
        assert metric_lines("all_metrics")[0] == (
            b'{"index": 0, "data": {"epoch": 0, "train_loss": 0.5, "val_loss": 0.6, "train_acc": 0.85, "val_acc": 0.8, '
            b'"learning_rate": 0.001}}\n'
        )

    def test_files_of_a_metric_are_where_they_are_said_to_be(self) -> None:
        with Experiment(name="my-experiment", project="project", local_path=".ml-dash").run as experiment:
            experiment.metrics("train_loss").append(value=0.5, epoch=1)
        folder = Path(".ml-dash/project/my-experiment/metrics/train_loss")
        assert {path.name for path in folder.iterdir()} == {"data.jsonl", "metadata.json", "clock.jsonl"}
        assert (folder / "data.jsonl").read_bytes() == FIRST


class TestTracks:
    def test_basic_usage(self) -> None:
        with Session(name="my-experiment", workspace="project", local_path=".dreamlake") as session:
            session.track("train_loss").append(value=0.5, epoch=1)
            session.track("train_loss").append(value=0.45, epoch=2)
        assert track_lines("train_loss") == [FIRST, b'{"index": 1, "data": {"value": 0.45, "epoch": 2}}\n']

    def test_several_fields_and_a_timestamp(self) -> None:
        with Session(name="my-experiment", workspace="project", local_path=".dreamlake") as session:
            session.track("metrics").append(epoch=5, train_loss=0.3, val_loss=0.35, timestamp=1.5)
        assert track_lines("metrics") == [
            b'{"index": 0, "data": {"epoch": 5, "train_loss": 0.3, "val_loss": 0.35, "timestamp": 1.5}}\n'
        ]

    def test_batch_and_reading(self) -> None:
        with Session(name="my-experiment", workspace="project", local_path=".dreamlake") as session:
            result = session.track("train_loss").append_batch([{"value": 0.5, "epoch": 1}, {"value": 0.4, "epoch": 2}])
            assert result["count"] == 2
            result = session.track("train_loss").read(start_index=0, limit=10)
            points = [(point["index"], point["data"]) for point in result["data"]]
        assert points == [(0, {"value": 0.5, "epoch": 1}), (1, {"value": 0.4, "epoch": 2})]
        assert track_lines("train_loss")[0] == FIRST

    def test_training_loop(self) -> None:
        with Session(name="my-experiment", workspace="project", local_path=".dreamlake") as session:
            session.parameters().set(learning_rate=0.001, batch_size=32)
            session.log("Starting training")
            for epoch in range(3):
                session.track("train_loss").append(value=train_one_epoch(epoch), epoch=epoch + 1)
                session.log(f"Epoch {epoch + 1} complete", metadata={"epoch": epoch + 1})
            assert session.parameters().get()["batch_size"] == 32
        assert track_lines("train_loss")[0] == FIRST
        assert len(track_lines("train_loss")) == 3

    def test_collecting_points_and_appending_them_in_batches(self) -> None:
        with Session(name="my-experiment", workspace="project", local_path=".dreamlake") as session:
            batch = []
            for step in range(250):
                batch.append({"value": 0.5, "epoch": step + 1})
                if len(batch) >= 100:
                    session.track("train_loss").append_batch(batch)
                    batch = []
            if batch:
                session.track("train_loss").append_batch(batch)
        assert track_lines("train_loss")[0] == FIRST
        assert len(track_lines("train_loss")) == 250
