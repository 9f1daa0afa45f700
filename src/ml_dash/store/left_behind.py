"""What dead processes left in a spool: sent by the next one, a step at a time, and taken away when the server has it."""

from __future__ import annotations

from collections.abc import Iterator

from ml_dash.model import Run, RunKey, RunQuery
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.spools import Hold
from ml_dash.store.uploader import Stopped, Uploader


def left_behind(spool: LocalStore, target: Store, server: str, mine: RunKey) -> Iterator[bool]:
    """Yields True after each step that sent something of a run that no process has open, other than `mine`. Raises as
    `Uploader.step` does, but for what cannot be sent at all: that stays where it is."""
    for run in spool.find_runs(RunQuery()):
        if run.key == mine:
            continue
        hold = Hold(spool.root, run.key)
        try:
            if hold.own():
                hold.share()  # whoever opens it now need not wait for the sending
                yield from _sent(spool, run, target, server)
                if hold.own():
                    take_away(spool, run, target, server)
        except Stopped:
            pass
        finally:
            hold.let_go()


def _sent(spool: LocalStore, run: Run, target: Store, server: str) -> Iterator[bool]:
    uploader = Uploader(spool, run, target, server)
    while uploader.step():
        yield True
    yield True


def take_away(spool: LocalStore, run: Run, target: Store, server: str) -> bool:
    """Delete the run from its spool if the server has all of it. The caller owns it."""
    uploader = Uploader(spool, run, target, server)
    if not uploader.server_run or uploader.left():
        return False
    spool.delete_run(run.id)
    return True
