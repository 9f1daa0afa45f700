"""aim's remote tracking server. A thread of the client sends each tracked value over a websocket and waits for its answer;
closing the run waits for that thread. It has no call for many points. Monitors and terminal capture are off."""

import os
import sys

DISTRIBUTION = "aim"
CALL, BULK, ACKNOWLEDGED = "run.track", "run.track, one by one", "run.close()"
READER = "Run.metrics() of the server's repository"


def serve(folder, port):
    command = os.path.join(os.path.dirname(sys.executable), "aim")
    os.execv(command, [command, "server", "--repo", folder, "--port", str(port), "--host", "127.0.0.1", "--yes"])


def address(folder, port):
    return f"aim://127.0.0.1:{port}"


class Run:
    def __init__(self, url, name):
        from aim import Run as AimRun

        self.run = AimRun(repo=url, experiment=name, system_tracking_interval=None, capture_terminal_logs=False)

    def append(self, value, step, epoch):
        self.run.track(value, name="value", step=step, epoch=epoch)

    def append_all(self, rows):
        for row in rows:
            self.append(row["value"], row["step"], row["epoch"])

    def wait(self):
        self.run.close()

    def close(self):
        pass


def stored(folder, url, name):
    from aim import Repo
    from aim import Run as AimRun

    repo = Repo.from_path(folder)
    for key in repo.list_all_runs():
        # Opened for writing: a read-only run is looked up in an index that `aim up` makes later.
        run = AimRun(key, repo=repo, force_resume=True, system_tracking_interval=None, capture_terminal_logs=False)
        if run.experiment == name:
            for metric in run.metrics():
                for step, (value, epoch, _) in metric.data.items():
                    yield value, step, epoch
        run.close()
