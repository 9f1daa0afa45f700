"""mlflow's tracking server as `mlflow server` starts it (four workers): with SQLite, or with PostgreSQL where BENCH_DATABASE is
its URL. A point is two metrics; a batch is calls of 1,000 metrics, its limit. A call returns when the server has stored what it
brought."""

import os
import sys
import time

DISTRIBUTION = "mlflow"
CALL, BULK, ACKNOWLEDGED = "log_batch of one point", "log_batch of 500 points", "each call"
DATABASE = os.environ.get("BENCH_DATABASE")
ON = " on PostgreSQL" if DATABASE else ""
READER = "SQL, table metrics" if DATABASE else "MlflowClient.get_metric_history"
CALL_LIMIT = 1_000


def serve(folder, port):
    command = os.path.join(os.path.dirname(sys.executable), "mlflow")
    store = DATABASE or "sqlite:///" + os.path.join(folder, "mlflow.db")
    artifacts = os.path.join(folder, "artifacts")
    options = ["--backend-store-uri", store, "--default-artifact-root", artifacts, "--port", str(port)]
    os.execv(command, [command, "server", *options])


def address(folder, port):
    return f"http://127.0.0.1:{port}"


def client_of(url):
    from mlflow import MlflowClient

    return MlflowClient(url)


def metrics_of(value, step, epoch, now):
    from mlflow.entities import Metric

    return Metric("value", value, now, step), Metric("epoch", epoch, now, step)


class Run:
    def __init__(self, url, name):
        self.client = client_of(url)
        found = self.client.get_experiment_by_name("bench")
        experiment = found.experiment_id if found else self.client.create_experiment("bench")
        self.id = self.client.create_run(experiment, run_name=name).info.run_id

    def append(self, value, step, epoch):
        self.client.log_batch(self.id, metrics=metrics_of(value, step, epoch, int(time.time() * 1000)))

    def append_all(self, rows):
        now = int(time.time() * 1000)
        metrics = [metric for row in rows for metric in metrics_of(row["value"], row["step"], row["epoch"], now)]
        for start in range(0, len(metrics), CALL_LIMIT):
            self.client.log_batch(self.id, metrics=metrics[start : start + CALL_LIMIT])

    def wait(self):
        pass

    def close(self):
        self.client.set_terminated(self.id)


def stored(folder, url, name):
    return in_database(name) if DATABASE else by_client(url, name)


def in_database(name):
    import psycopg2

    pairs = (
        "SELECT v.value, v.step, e.value FROM metrics v JOIN metrics e USING (run_uuid, step) JOIN runs USING (run_uuid) "
        "WHERE v.key = 'value' AND e.key = 'epoch' AND runs.name = %s"
    )
    connection = psycopg2.connect(DATABASE.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute(pairs, (name,))
        yield from cursor.fetchall()
    connection.close()


def by_client(url, name):
    client = client_of(url)
    experiment = client.get_experiment_by_name("bench").experiment_id
    run = client.search_runs([experiment], f"attributes.run_name = '{name}'")[0].info.run_id
    epochs = {metric.step: metric.value for metric in client.get_metric_history(run, "epoch")}
    for metric in client.get_metric_history(run, "value"):
        if metric.step in epochs:
            yield metric.value, metric.step, epochs[metric.step]
