"""aim: one tracked value with its step and epoch, in RocksDB. Its monitors and terminal capture are off."""

import os

from aim import Repo
from aim import Run as AimRun

DISTRIBUTION = "aim"
SINGLE, BATCH = 15_000, 0
READER = "Run.metrics()"


class Run:
    def __init__(self, folder):
        os.makedirs(os.path.join(folder, "aim"), exist_ok=True)
        repo = Repo.from_path(os.path.join(folder, "aim"), init=True)
        self.run = AimRun(repo=repo, experiment="bench", system_tracking_interval=None, capture_terminal_logs=False)

    def append(self, value, step, epoch):
        self.run.track(value, name="value", step=step, epoch=epoch)

    def close(self):
        self.run.close()


def stored(folder):
    repo = Repo.from_path(os.path.join(folder, "aim"))
    for key in repo.list_all_runs():
        # Opened for writing: a read-only run is looked up in an index that `aim up` makes later.
        run = AimRun(key, repo=repo, force_resume=True, system_tracking_interval=None, capture_terminal_logs=False)
        for metric in run.metrics():
            for step, (value, epoch, _) in metric.data.items():
                yield value, step, epoch
        run.close()
