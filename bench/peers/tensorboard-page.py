"""TensorBoard over event files that tensorboardX writes, a folder a run, as `tensorboard --logdir` starts it."""

import os
import sys

from tensorboardX import SummaryWriter

from bench.dashboard_data import FIRST_SECOND, run_name

DISTRIBUTION = "tensorboard"
COMMAND = "tensorboard --logdir"
WRITTEN_BY = "tensorboardX SummaryWriter.add_scalar"


def writer_of(folder, name):
    return SummaryWriter(os.path.join(folder, name), write_to_disk=True, max_queue=1, flush_secs=1)


def write(folder, shape):
    names = shape.names()
    for number in shape.each_run():
        writer = SummaryWriter(os.path.join(folder, run_name(number)), write_to_disk=True)
        for name, column in zip(names, shape.columns(number), strict=True):
            add, now = writer.add_scalar, FIRST_SECOND
            for step, value in enumerate(column.tolist()):
                add(name, value, step, now + step)
        writer.close()


def serve(folder, port):
    command = os.path.join(os.path.dirname(sys.executable), "tensorboard")
    os.execv(command, [command, "--logdir", folder, "--port", str(port), "--host", "127.0.0.1"])


class Live:
    def __init__(self, folder, port, runs):
        self.writers = [writer_of(folder, run_name(number)) for number in range(runs)]

    def tick(self, step):
        for writer in self.writers:
            writer.add_scalar("loss", 1.0 / (step + 1), step)

    def probe(self, step, value):
        self.writers[0].add_scalar("probe", value, step)
        self.writers[0].flush()
