"""One writer of the soak: its threads append to the series all share and to their own, until SIGTERM or SIGKILL.

What an append returned is acknowledged by one write(2) to a file of the stream's own, before the next append: what a
file in `acks/` tells was promised, whatever became of this process. A stream is one thread's (or forked child's) rows
in one series; its rows are numbered by `n` from 0 without a hole, and carry the batch they came in as [first n, count].
"""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_dash import Experiment

if TYPE_CHECKING:
    from types import FrameType

ACK = struct.Struct("<QQQ")
"""First index, first n, count."""


class Stream:
    def __init__(self, experiment: Experiment, series: str, name: str, acks: Path, seed: str) -> None:
        self.metric = experiment.metrics(series)
        self.name = name
        self.n = 0
        self.random = random.Random(f"{seed} {series} {name}")
        self.acks = os.open(acks / f"{series}~{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self) -> None:
        """One append, or now and then a batch; acknowledged."""
        count = self.random.randrange(1, 200) if self.random.random() < 0.05 else 1
        rows = [self._row(self.n + i, [self.n, count]) for i in range(count)]
        if count == 1:
            first = self.metric.append(rows[0])["index"]
        else:
            answer = self.metric.append_batch(rows)
            first = answer["startIndex"]
            assert answer["count"] == count == answer["endIndex"] - first + 1, answer
        os.write(self.acks, ACK.pack(first, self.n, count))
        self.n += count

    def _row(self, n: int, batch: list[int]) -> dict[str, Any]:
        row: dict[str, Any] = {"stream": self.name, "n": n, "batch": batch, "value": self.random.gauss(0, 1)}
        dice = self.random.random()
        if dice < 0.02:
            row["text"] = "x" * self.random.randrange(4_000)
        elif dice < 0.04:
            row["value"] = float("nan")
        return row


class Writer:
    def __init__(self, folder: Path, name: str, threads: int) -> None:
        self.folder, self.name, self.threads = folder, name, threads
        self.stop = threading.Event()
        self.children: list[int] = []

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._terminate)
        with Experiment(name="run", project="soak", local_path=str(self.folder / "runs")).run as experiment:
            loads = [threading.Thread(target=self._load, args=(experiment, number)) for number in range(self.threads)]
            for thread in loads:
                thread.start()
            self._small_records(experiment)
            for thread in loads:
                thread.join()
            for pid in self.children:
                os.waitpid(pid, 0)

    def _terminate(self, _signal: int, _frame: FrameType | None) -> None:
        self.stop.set()

    def _load(self, experiment: Experiment, number: int) -> None:
        slot = self.name.partition(".")[0]
        try:
            shared = self._stream(experiment, "shared", f"{self.name}.{number}")
            own = self._stream(experiment, f"own-{slot}-{number}", f"{self.name}.{number}")
            while not self.stop.is_set():
                for _ in range(shared.random.randrange(1, 50)):
                    shared.append()
                    own.append()
                self.stop.wait(shared.random.uniform(0, 0.2))
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _stream(self, experiment: Experiment, series: str, name: str) -> Stream:
        return Stream(experiment, series, name, self.folder / "acks", seed=self.name)

    def _small_records(self, experiment: Experiment) -> None:
        """Parameters, logs, a file under the same name again, and forks, beside the load."""
        step = 0
        while not self.stop.wait(0.2):
            step += 1
            experiment.params.set(**{self.name.replace(".", "_"): step, "nested": {"last": self.name}})
            experiment.log(f"{self.name} step {step}", metadata={"step": step})
            if step % 5 == 1:
                experiment.files(prefix="/state").save_json({"writer": self.name, "step": step}, "state.json")
            if step % 10 == 5:
                self._fork(experiment, step)

    def _fork(self, experiment: Experiment, step: int) -> None:
        """A child that appends a little, now or after its parent may be dead."""
        pid = os.fork()
        if pid:
            self.children.append(pid)
            return
        try:
            stream = self._stream(experiment, "shared", f"{self.name}.f{step}")
            for _ in range(20):
                stream.append()
                time.sleep(stream.random.uniform(0, 0.05))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


if __name__ == "__main__":
    Writer(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])).run()
