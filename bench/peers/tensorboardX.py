"""tensorboardX: two scalars a step, as its users write them; a thread writes the event file. TensorBoard's loader reads."""

import os
from collections import defaultdict

from tensorboardX import SummaryWriter

DISTRIBUTION = "tensorboardX"
SINGLE, BATCH = 20_000, 0
READER = "TensorBoard's event file loader"


class Run:
    def __init__(self, folder):
        self.writer = SummaryWriter(os.path.join(folder, "events"), write_to_disk=True)

    def append(self, value, step, epoch):
        self.writer.add_scalar("value", value, step)
        self.writer.add_scalar("epoch", epoch, step)

    def close(self):
        self.writer.close()


def stored(folder):
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    steps = defaultdict(dict)
    for name in os.listdir(os.path.join(folder, "events")):
        for event in LegacyEventFileLoader(os.path.join(folder, "events", name)).Load():
            for scalar in event.summary.value:
                steps[event.step][scalar.tag] = scalar.simple_value
    for step, fields in steps.items():
        if len(fields) == 2:
            yield fields["value"], step, fields["epoch"]
