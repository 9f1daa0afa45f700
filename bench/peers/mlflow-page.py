"""MLflow over SQLite, as `mlflow server` starts it. Its runs are made by its client; the points go into its own table by SQL, since
log_batch would take half an hour for them, and its client reads some back."""

import os
import sqlite3
import sys
import time

from mlflow import MlflowClient

from bench.dashboard_data import FIRST_SECOND, PROJECT, params, run_name

DISTRIBUTION = "mlflow"
COMMAND = "mlflow server"
WRITTEN_BY = "MlflowClient; points into its table by SQL"
POINTS = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
LATEST = "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)"


def store(folder):
    return "sqlite:///" + os.path.join(folder, "mlflow.db")


def new_run(client, experiment, number):
    run = client.create_run(experiment, run_name=run_name(number))
    for key, value in params(number).items():
        client.log_param(run.info.run_id, key, value)
    return run.info.run_id


def write(folder, shape):
    client = MlflowClient(store(folder))
    experiment = client.create_experiment(PROJECT, artifact_location=os.path.join(folder, "artifacts"))
    runs = [new_run(client, experiment, number) for number in shape.each_run()]
    database = sqlite3.connect(os.path.join(folder, "mlflow.db"))
    database.execute("PRAGMA synchronous = OFF")
    for number, run in enumerate(runs):
        for name, column in zip(shape.names(), shape.columns(number), strict=True):
            values = column.tolist()
            rows = ((name, value, (FIRST_SECOND + i) * 1000, run, i) for i, value in enumerate(values))
            database.executemany(POINTS, rows)
            last = len(values) - 1
            database.execute(LATEST, (name, values[last], (FIRST_SECOND + last) * 1000, last, run))
        database.commit()
    database.close()
    for run in runs:
        client.set_terminated(run)
    found = client.get_metric_history(runs[-1], shape.names()[-1])
    if [point.value for point in found] != shape.values(shape.runs - 1, shape.metrics - 1).tolist():
        raise SystemExit("its client reads other points than were written")


def serve(folder, port):
    command = os.path.join(os.path.dirname(sys.executable), "mlflow")
    artifacts = os.path.join(folder, "artifacts")
    options = ["--backend-store-uri", store(folder), "--default-artifact-root", artifacts, "--port", str(port)]
    few = ["--workers", "1"] if "BENCH_QUICK" in os.environ else []  # its four take minutes to start on a busy machine
    os.execv(command, [command, "server", *options, *few])


class Live:
    def __init__(self, folder, port, runs):
        self.client = MlflowClient(f"http://127.0.0.1:{port}")
        found = self.client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self.client.create_experiment(PROJECT)
        self.runs = [new_run(self.client, experiment, number) for number in range(runs)]

    def tick(self, step):
        for run in self.runs:
            self.client.log_metric(run, "loss", 1.0 / (step + 1), step=step, synchronous=False)

    def probe(self, step, value):
        self.client.log_metric(self.runs[0], "probe", value, int(time.time() * 1000), step)
