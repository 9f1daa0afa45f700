"""trackio, local: rows wait in memory for a thread that writes them to SQLite. Its monitors of the machine are off."""

import os

import trackio

DISTRIBUTION = "trackio"
SINGLE, BATCH = 50_000, 0
READER = "SQLiteStorage.get_logs"


class Run:
    def __init__(self, folder):
        self.run = trackio.init(project="bench", name="run", embed=False, auto_log_gpu=False, auto_log_cpu=False)

    def append(self, value, step, epoch):
        self.run.log({"value": value, "epoch": epoch}, step=step)

    def close(self):
        trackio.finish()


def stored(folder):
    from trackio.sqlite_storage import SQLiteStorage

    os.environ.setdefault("TRACKIO_DISABLE_LOGS_CACHE", "1")
    for row in SQLiteStorage.get_logs("bench", "run"):
        yield row["value"], row["step"], row["epoch"]
