"""The newest ml-dash of the index, local mode: points wait in memory for a thread that writes every few seconds."""

from ml_dash import Experiment

DISTRIBUTION = "ml-dash"
SINGLE, BATCH = 100_000, 0  # what its queue holds; beyond that an append waits for the writing thread
READER = "metric.read()"
PAGE = 10_000


def experiment_in(folder):
    return Experiment(prefix="bench/bench/run", dash_root=folder)


class Run:
    def __init__(self, folder):
        self.experiment = experiment_in(folder)
        self.metric = self.experiment.run.start().metrics("loss")

    def append(self, value, step, epoch):
        self.metric.log(value=value, step=step, epoch=epoch)

    def close(self):
        self.experiment.run.complete()


def stored(folder):
    with experiment_in(folder).run as experiment:
        start = 0
        while True:
            page = experiment.metrics("loss").read(start_index=start, limit=PAGE)
            for point in page["data"]:
                row = point["data"]
                yield row["value"], row["step"], row["epoch"]
            if not page["data"]:
                return
            start += PAGE
