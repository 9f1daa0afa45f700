"""ml-dash 0.5.2, local mode: a file opened, a metadata file rewritten, at every append."""

from ml_dash import Experiment

DISTRIBUTION = "ml-dash"
SINGLE, BATCH = 5_000, 200_000
READER = "metric.read()"
PAGE = 100_000


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
    with Experiment(name="run", project="bench", local_path=folder).run as experiment:
        start = 0
        while True:
            page = experiment.metrics("loss").read(start_index=start, limit=PAGE)
            for point in page["data"]:
                row = point["data"]
                yield row["value"], row["step"], row["epoch"]
            if not page["data"]:
                return
            start += PAGE
