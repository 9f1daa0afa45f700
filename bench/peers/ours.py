"""Ours, local mode. Read back by plain json, as any other program would."""

import json
import os

from ml_dash import Experiment

DISTRIBUTION = "ml-dash"
SINGLE, BATCH = 300_000, 1_000_000
READER = "json.loads a line"


class Run:
    def __init__(self, folder):
        self.experiment = Experiment(name="run", project="bench", local_path=folder)
        self.metric = self.experiment.run.start().metrics("loss")

    def append(self, value, step, epoch):
        self.metric.append(value=value, step=step, epoch=epoch)

    def append_batch(self, rows):
        self.metric.append_batch(rows)

    def close(self):
        self.experiment.run.complete()


def stored(folder):
    with open(os.path.join(folder, "bench", "run", "metrics", "loss", "data.jsonl"), "rb") as file:
        for index, line in enumerate(file):
            if not line.endswith(b"\n"):
                return  # the format: no newline, no line
            point = json.loads(line)
            if point["index"] != index:
                raise SystemExit(f"line {index} says index {point['index']}: ours must be gapless")
            row = point["data"]
            yield row["value"], row["step"], row["epoch"]
