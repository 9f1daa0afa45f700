"""The floor: orjson and one write to an O_APPEND descriptor a point. No lock, no index kept from others, no checks."""

import json
import os

import orjson

DISTRIBUTION = "orjson"
SINGLE, BATCH = 1_000_000, 1_000_000
READER = "json.loads a line"


class Run:
    def __init__(self, folder):
        self.file = os.open(os.path.join(folder, "data.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self.index = 0

    def append(self, value, step, epoch):
        row = {"index": self.index, "data": {"value": value, "step": step, "epoch": epoch}}
        os.write(self.file, orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        self.index += 1

    def append_batch(self, rows):
        dumps, option = orjson.dumps, orjson.OPT_APPEND_NEWLINE
        lines = [dumps({"index": index, "data": row}, option=option) for index, row in enumerate(rows, self.index)]
        os.write(self.file, b"".join(lines))
        self.index += len(rows)

    def close(self):
        os.close(self.file)


def stored(folder):
    with open(os.path.join(folder, "data.jsonl"), "rb") as file:
        for line in file:
            row = json.loads(line)["data"]
            yield row["value"], row["step"], row["epoch"]
