"""mlflow with its SQLite store: each row is a transaction. A batch is calls of 1,000 metrics, its limit."""

import os
import time

from mlflow import MlflowClient
from mlflow.entities import Metric

DISTRIBUTION = "mlflow"
SINGLE, BATCH = 500, 20_000
READER = "MlflowClient.get_metric_history"
CALL_LIMIT = 1_000


def client_of(folder):
    return MlflowClient("sqlite:///" + os.path.join(folder, "mlflow.db"))


def metrics_of(value, step, epoch, now):
    return Metric("value", value, now, step), Metric("epoch", epoch, now, step)


class Run:
    def __init__(self, folder):
        self.client = client_of(folder)
        experiment = self.client.create_experiment("bench", artifact_location=os.path.join(folder, "artifacts"))
        self.id = self.client.create_run(experiment, run_name="run").info.run_id

    def append(self, value, step, epoch):
        self.client.log_batch(self.id, metrics=metrics_of(value, step, epoch, int(time.time() * 1000)))

    def append_batch(self, rows):
        now = int(time.time() * 1000)
        metrics = [metric for row in rows for metric in metrics_of(row["value"], row["step"], row["epoch"], now)]
        for start in range(0, len(metrics), CALL_LIMIT):
            self.client.log_batch(self.id, metrics=metrics[start : start + CALL_LIMIT])

    def close(self):
        self.client.set_terminated(self.id)


def stored(folder):
    client = client_of(folder)
    run = client.search_runs([client.get_experiment_by_name("bench").experiment_id])[0].info.run_id
    epochs = {metric.step: metric.value for metric in client.get_metric_history(run, "epoch")}
    for metric in client.get_metric_history(run, "value"):
        if metric.step in epochs:
            yield metric.value, metric.step, epochs[metric.step]
