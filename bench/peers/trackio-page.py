"""trackio over its own folder, as `trackio show` starts it. A row has all metrics of a step; it is written by the library's bulk call
where all is there beforehand, and by run.log where it comes point by point."""

import os
import threading
from datetime import datetime, timezone

from bench.dashboard_data import FIRST_SECOND, PROJECT, params, run_name

DISTRIBUTION = "trackio"
COMMAND = "trackio show"
WRITTEN_BY = "SQLiteStorage.bulk_log"
ROWS = 10_000


def write(folder, shape):
    os.environ["TRACKIO_DIR"] = folder
    from trackio.sqlite_storage import SQLiteStorage

    names = shape.names()
    for number in shape.each_run():
        columns = [column.tolist() for column in shape.columns(number)]
        for start in range(0, shape.points, ROWS):
            steps = list(range(start, min(start + ROWS, shape.points)))
            rows = [dict(zip(names, (column[step] for column in columns), strict=True)) for step in steps]
            times = [datetime.fromtimestamp(FIRST_SECOND + step, timezone.utc).isoformat() for step in steps]
            config = params(number) if start == 0 else None
            SQLiteStorage.bulk_log(PROJECT, run_name(number), rows, steps, times, config)


def serve(folder, port):
    os.environ["TRACKIO_DIR"] = folder
    import trackio

    trackio.show(host="127.0.0.1", server_port=port, open_browser=False, block_thread=False)
    threading.Event().wait()


class Live:
    """One process has one run of trackio at a time, so the points of the others come by the call that its own server uses."""

    def __init__(self, folder, port, runs):
        os.environ["TRACKIO_DIR"] = folder
        from trackio.sqlite_storage import SQLiteStorage

        self.log = SQLiteStorage.bulk_log
        self.runs = [run_name(number) for number in range(runs)]

    def tick(self, step):
        for run in self.runs:
            self.log(PROJECT, run, [{"loss": 1.0 / (step + 1)}], [step])

    def probe(self, step, value):
        self.log(PROJECT, self.runs[0], [{"probe": value}], [step])
