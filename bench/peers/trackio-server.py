"""trackio's own server, as `trackio show` starts it. Rows wait in memory for a thread of the client that sends them twice a
second; finish() waits for it. It has no call for many points. Its monitors of the machine are off."""

import os
import threading
import time
from pathlib import Path

DISTRIBUTION = "trackio"
CALL, BULK, ACKNOWLEDGED = "run.log", "run.log, one by one", "finish()"
READER = "SQLiteStorage.get_logs of the server's folder"


def serve(folder, port):
    os.environ["TRACKIO_DIR"] = folder
    import trackio

    *_, url = trackio.show(host="127.0.0.1", server_port=port, open_browser=False, block_thread=False)
    Path(folder, "address").write_text(url)  # with the token that it has made for writing
    threading.Event().wait()


def address(folder, port):
    file = Path(folder, "address")
    while not file.exists():
        time.sleep(0.05)
    return file.read_text()


class Run:
    def __init__(self, url, name):
        import trackio

        self.finish = trackio.finish
        quiet = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        self.run = trackio.init(project="bench", name=name, server_url=url, **quiet)

    def append(self, value, step, epoch):
        self.run.log({"value": value, "epoch": epoch}, step=step)

    def append_all(self, rows):
        for row in rows:
            self.append(row["value"], row["step"], row["epoch"])

    def wait(self):
        self.finish()

    def close(self):
        pass


def stored(folder, url, name):
    os.environ["TRACKIO_DIR"] = folder
    os.environ["TRACKIO_DISABLE_LOGS_CACHE"] = "1"
    from trackio.sqlite_storage import SQLiteStorage

    for row in SQLiteStorage.get_logs("bench", name):
        yield row["value"], row["step"], row["epoch"]
