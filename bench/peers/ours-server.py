"""Ours, remote mode: `ml-dash server` on a folder, or on the two tiers where ML_DASH_MONGO and ML_DASH_S3 say where they are.
The server's files are read back by plain json, the tiers by bench/tiers_stored.py."""

import json
import os
import sys
from pathlib import Path

DISTRIBUTION = "ml-dash"
CALL, BULK, ACKNOWLEDGED = "metric.append", "metric.append_batch of 1,000", "flush()"
TIERS = "ML_DASH_MONGO" in os.environ
ON = " on MongoDB and S3" if TIERS else ""
READER = "PyMongo and PyArrow" if TIERS else "json.loads a line of the server's file"


def serve(folder, port):
    command = os.path.join(os.path.dirname(sys.executable), "ml-dash")
    os.execv(command, [command, "server", *([] if TIERS else ["--store", folder]), "--port", str(port)])


def address(folder, port):
    return f"http://127.0.0.1:{port}"


class Run:
    def __init__(self, url, name):
        from ml_dash import Experiment

        self.experiment = Experiment(name=name, project="bench", remote=url)
        self.metric = self.experiment.run.start().metrics("loss")

    def append(self, value, step, epoch):
        self.metric.append(value=value, step=step, epoch=epoch)

    def append_all(self, rows):
        for start in range(0, len(rows), 1_000):
            self.metric.append_batch(rows[start : start + 1_000])

    def wait(self):
        self.experiment.flush()

    def close(self):
        self.experiment.run.complete()


def stored(folder, url, name):
    return in_tiers(name) if TIERS else in_files(folder, name)


def in_tiers(name):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    from bench import tiers_stored

    with tiers_stored.from_environment() as found:
        columns = found.series(found.run(name), "loss")
    return zip(*(column.tolist() for column in columns), strict=True)


def in_files(folder, name):
    with Path(folder, "bench", name, "metrics", "loss", "data.jsonl").open("rb") as file:
        for index, line in enumerate(file):
            point = json.loads(line)
            if not line.endswith(b"\n") or point["index"] != index:
                raise SystemExit(f"line {index} says index {point['index']}: ours must be gapless")
            row = point["data"]
            yield row["value"], row["step"], row["epoch"]
