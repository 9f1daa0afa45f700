"""Ours over a folder, as `ml-dash server` starts it; live points come by remote mode. A series a metric."""

import os
import shutil
import sys
import tempfile

from bench.dashboard_data import PROJECT, params, run_name

DISTRIBUTION = "ml-dash"
COMMAND = "ml-dash server"
WRITTEN_BY = "append_batch, local mode"
ROWS = 100_000


MEMORY = "/dev/shm"
LARGE = 5_000_000


def write(folder, shape):
    """Closing a run syncs each of its files; where there are many small runs, in memory first, then copied: the bytes are the same."""
    if not os.path.isdir(MEMORY) or shape.runs * shape.metrics * shape.points > LARGE:
        write_runs(folder, shape)
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        write_runs(place, shape)
        shutil.copytree(place, folder, dirs_exist_ok=True)


def write_runs(folder, shape):
    from ml_dash import Experiment

    names = shape.names()
    for number in shape.each_run():
        with Experiment(name=run_name(number), project=PROJECT, local_path=folder).run as experiment:
            experiment.params.set(**params(number))
            for name, column in zip(names, shape.columns(number), strict=True):
                series, values = experiment.metrics(name), column.tolist()
                for start in range(0, len(values), ROWS):
                    part = enumerate(values[start : start + ROWS], start)
                    series.append_batch([{"value": value, "step": step} for step, value in part])


def serve(folder, port):
    command = os.path.join(os.path.dirname(sys.executable), "ml-dash")
    os.execv(command, [command, "server", "--store", folder, "--port", str(port)])


class Live:
    def __init__(self, folder, port, runs):
        from ml_dash import Experiment

        url = f"http://127.0.0.1:{port}"
        self.runs = [Experiment(name=run_name(number), project=PROJECT, remote=url) for number in range(runs)]
        for run in self.runs:
            run.run.start()

    def tick(self, step):
        for run in self.runs:
            run.metrics("loss").append(value=1.0 / (step + 1), step=step)

    def probe(self, step, value):
        self.runs[0].metrics("probe").append(value=value, step=step)
