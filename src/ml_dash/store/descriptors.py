"""How many files one process keeps open, and what a fork does to them. Knows no series and no lock."""

from __future__ import annotations

import os
import random
import resource
import threading
import weakref
from typing import Protocol

MOST = 512
_random = random.SystemRandom().random
"""Not the module's own generator: a user who seeded that one gets his numbers, however many files are open."""


class Holder(Protocol):
    """What keeps a descriptor."""

    def give_up_descriptor(self) -> bool:
        """Close it if that can be done at once; whether it was."""

    def forget(self) -> None:
        """In a forked child, where it was closed without unlocking: forget it, and what was remembered of the file."""


class Descriptors:
    """At most min(soft limit / 4, 512) descriptors, in all stores of the process together, opened for holders; a random one
    is given up for a new one, since the least recently used one is exactly the next one needed when series take turns."""

    def __init__(self, most: int | None = None) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft == resource.RLIM_INFINITY:
            soft = 4 * MOST
        self.most = most if most is not None else max(4, min(soft // 4, MOST))
        self._held: dict[int, tuple[Holder, int]] = {}
        self._index()
        _all.add(self)

    def _index(self) -> None:
        """From `_held`, which each call changes in one step: `_open` is to choose from, `_place` where in it each one is."""
        self._open = [holder for holder, _ in self._held.values()]
        self._place = {id(holder): at for at, holder in enumerate(self._open)}

    def open(self, holder: Holder, path: str, flags: int) -> int:
        """A descriptor of `path` for `holder`, counted until `close`. Raises `OSError`."""
        with _opening:
            if id(holder) in self._held:  # an interrupt kept its number from the holder
                self.close(holder, self._held[id(holder)][1])
            if len(self._held) >= self.most:
                self._make_room()
            elif sum(len(one._held) for one in _all) >= self.most:  # noqa: SLF001  all stores of the process together
                max(_all, key=lambda one: len(one._held))._make_room()  # noqa: SLF001
            fd = os.open(path, flags, 0o666)
            self._held[id(holder)] = (holder, fd)
            self._place[id(holder)] = len(self._open)
            self._open.append(holder)
            return fd

    def close(self, holder: Holder, fd: int) -> None:
        """Close `holder`'s descriptor."""
        with _opening:
            self._held.pop(id(holder), None)
            self._remove(holder)
            os.close(fd)

    def _remove(self, holder: Holder) -> None:
        at = self._place.pop(id(holder), -1)
        if not 0 <= at < len(self._open) or self._open[at] is not holder or len(self._open) != len(self._held) + 1:
            self._index()  # an interrupt had come between two steps
            return
        last = self._open.pop()
        if last is not holder:
            self._open[at] = last
            self._place[id(last)] = at

    def _make_room(self) -> None:
        """One that is busy in another thread is passed over; if all are, the limit is exceeded by one for now."""
        if len(self._open) != len(self._held):
            self._index()
        for _ in range(8 if self._open else 0):
            if self._open[int(_random() * len(self._open))].give_up_descriptor():
                return

    def forget(self) -> None:
        """In a forked child: every descriptor here is the parent's."""
        held, self._held = self._held, {}
        self._index()
        for holder, fd in held.values():
            os.close(fd)
            holder.forget()


_all: weakref.WeakSet[Descriptors] = weakref.WeakSet()
_opening = threading.RLock()
"""Held over every open, close and fork, so that a child knows each descriptor that it has inherited: one that it did not
close would keep the parent's lock alive after the parent was killed."""


def _after_fork_in_child() -> None:
    global _opening  # noqa: PLW0603  the one mutable of this module
    _opening = threading.RLock()
    for descriptors in list(_all):
        descriptors.forget()


os.register_at_fork(
    before=lambda: _opening.acquire(),  # noqa: PLW0108  the name is bound anew in a child
    after_in_parent=lambda: _opening.release(),  # noqa: PLW0108
    after_in_child=_after_fork_in_child,
)
