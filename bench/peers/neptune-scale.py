"""neptune-scale, offline: each row is a transaction of a SQLite log. Its capture of the console is off."""

import os
from pathlib import Path

from neptune_scale import Run as NeptuneRun

DISTRIBUTION = "neptune-scale"
SINGLE, BATCH = 5_000, 0
READER = "its OperationsRepository"


class Run:
    def __init__(self, folder):
        self.run = NeptuneRun(
            project="bench/bench", run_id="run", mode="offline", log_directory=os.path.join(folder, "neptune"),
            enable_console_log_capture=False, source_tracking_config=None,
        )  # fmt: skip

    def append(self, value, step, epoch):
        self.run.log_metrics({"value": value, "epoch": epoch}, step=step)

    def close(self):
        self.run.close()


def stored(folder):
    from neptune_scale.sync.operations_repository import OperationsRepository, OperationType

    for path in Path(folder, "neptune").rglob("*.sqlite3"):
        repository, last = OperationsRepository(path.absolute()), None
        while operations := repository.get_operations(up_to_bytes=32 * 2**20, from_exclusive=last):
            last = operations[-1].sequence_id
            for operation in operations:
                if operation.operation_type == OperationType.UPDATE_SNAPSHOT:
                    row = {key: update.float64 for key, update in operation.operation.append.items()}
                    if "value" in row:
                        yield row["value"], operation.operation.step.whole, row["epoch"]
        repository.close(cleanup_files=False)
