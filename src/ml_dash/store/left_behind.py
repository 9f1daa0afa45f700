"""What dead processes left in a spool: sent by the next one, a step at a time, and taken away when the server has it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from ml_dash.model import Run, RunKey, RunPatch, RunQuery
from ml_dash.store.base import Store
from ml_dash.store.local import LocalStore
from ml_dash.store.spools import Hold
from ml_dash.store.uploader import Stopped, Uploader


def left_behind(spool: LocalStore, target: Store, server: str, mine: RunKey) -> Generator[bool, None, None]:
    """Yields True after each step that sent something of a run that no process has open, other than `mine`. Raises as
    `Uploader.step` does, but for what cannot be sent at all: that stays where it is."""
    for run in spool.find_runs(RunQuery()):
        if run.key == mine:
            continue
        hold = Hold(spool.root, run.key)
        try:
            if hold.own():
                end_dead(spool, run)
                hold.share()  # whoever opens it now need not wait for the sending
                yield from _sent(spool, run, target, server)
                if hold.own():
                    take_away(spool, run, server)
        except Stopped:
            pass
        finally:
            hold.let_go()


def end_dead(spool: LocalStore, run: Run) -> None:
    """Nobody has the run open, so whoever had not left it is dead. Here this is known; the server would wait for heartbeats."""
    dead = tuple(attempt.id for attempt in run.attempts if attempt.ended_at is None)
    if dead:
        spool.update_run(run.id, RunPatch(dead=dead))


def _sent(spool: LocalStore, run: Run, target: Store, server: str) -> Iterator[bool]:
    uploader = Uploader(spool, run, target, server)
    while uploader.step():
        yield True
    yield True


def take_away(spool: LocalStore, run: Run, server: str) -> bool:
    """Delete the run from its spool if the server has all of it, and refused nothing. The caller owns it."""
    uploader = Uploader(spool, run, spool, server)  # which asks nobody: what is there was noted here
    if not uploader.server_run or not uploader.is_whole:
        return False
    spool.delete_run(run.id)
    return True
