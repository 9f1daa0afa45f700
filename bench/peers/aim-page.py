"""aim over its repository, as `aim up` starts it. Its monitors and terminal capture are off."""

import os
import sys

from bench.dashboard_data import PROJECT, params, run_name

DISTRIBUTION = "aim"
COMMAND = "aim up"
WRITTEN_BY = "Run.track"


def new_run(folder, number):
    from aim import Run as AimRun

    run = AimRun(repo=folder, experiment=PROJECT, system_tracking_interval=None, capture_terminal_logs=False)
    run.name = run_name(number)
    for key, value in params(number).items():
        run[key] = value
    return run


def write(folder, shape):
    from aim import Repo

    Repo.from_path(folder, init=True)
    for number in shape.each_run():
        run = new_run(folder, number)
        for name, column in zip(shape.names(), shape.columns(number), strict=True):
            for step, value in enumerate(column.tolist()):
                run.track(value, name=name, step=step)
        run.close()


def serve(folder, port):
    command = os.path.join(os.path.dirname(sys.executable), "aim")
    if not os.path.exists(os.path.join(folder, ".aim")):
        os.system(f"{command} init --repo {folder}")
    os.execv(command, [command, "up", "--repo", folder, "--port", str(port), "--host", "127.0.0.1", "--yes"])


class Live:
    def __init__(self, folder, port, runs):
        self.runs = [new_run(folder, number) for number in range(runs)]

    def tick(self, step):
        for run in self.runs:
            run.track(1.0 / (step + 1), name="loss", step=step)

    def probe(self, step, value):
        self.runs[0].track(value, name="probe", step=step)
