"""Sending what lies in folders to a server, once, on demand: which runs, where to, how far it got. Prints nothing.

Any folder will do: a spool, a run that was kept in its folder alone, one of a published client, one that is being written now.
Any number of these may run at once, and beside the process that writes: they agree through the folder, and what comes
twice the server trims.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from ml_dash import codec
from ml_dash.errors import InvalidInput, MlDashError, NotFound, PermissionDenied, Unavailable
from ml_dash.model import EVENTS, Run, RunKey, SeriesKey
from ml_dash.names import check_run_name
from ml_dash.place import API_KEY, URL, api_key_for, run_url, server_url
from ml_dash.store import events, open_store, sent
from ml_dash.store.base import Store
from ml_dash.store.left_behind import end_dead, take_away
from ml_dash.store.local import LocalStore
from ml_dash.store.run_folders import run_at, run_path, runs_in
from ml_dash.store.spools import Hold, is_for, server_of, spools
from ml_dash.store.uploader import Left, Stopped, Uploader

PATIENCE = 60.0
"""Seconds without progress after which a server counts as gone."""
BACKOFF = (0.5, 10.0)
"""Seconds to wait after a first failure, doubled with each, and at most; times a random factor between a half and one."""
_LOOK = 0.1
"""Seconds between two looks while another process sends."""
_TELL = 0.2
"""Seconds between two looks at what is left."""
_ANSWER = 30.0
"""Seconds that a server may keep silent."""

_random = random.SystemRandom().random


class Task(NamedTuple):
    """One run in the folder `root` that is to be sent to `server`. `spool`: the folder is a private spool."""

    root: str
    key: RunKey
    server: str
    spool: bool = False

    @property
    def label(self) -> str:
        """``project/name``."""
        return f"{self.key.project}/{self.key.name}"


class Refused(msgspec.Struct, frozen=True):
    """A row that a server refused for good."""

    series: str
    index: int
    reason: str


class Report(msgspec.Struct):
    """What became of a task. `points`, `files` and `changes` are those that got to the server meanwhile, whoever sent them;
    `left` is what did not, None where nothing is known; `why` says why not. `refused` are the rows and changes that the server
    will not take, kept in `refused_path`, those of earlier calls included."""

    project: str
    name: str
    path: str
    server: str
    url: str
    points: int = 0
    files: int = 0
    changes: int = 0
    left: Left | None = None
    why: str = ""
    refused: list[Refused] = []
    refused_path: str = ""
    taken_away: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the server has all of it."""
        return not self.why and not self.refused


# ---------------------------------------------------------------- which runs


def tasks(paths: Sequence[str], remote: str | None = None) -> list[Task]:
    """The runs at and below `paths`, each with where it is to go: `remote`, else the server that its spool or folder knows,
    else ML_DASH_URL. Without paths: all that is in this machine's spools, or in those of `remote`.

    Raises `NotFound` for a path without runs, `InvalidInput` where nobody says which server.
    """
    server = server_url(remote) if remote is not None else None
    if not paths:
        return [
            Task(root, key, known, spool=True)
            for root, known in spools()
            if server in (None, known)
            for key, _ in runs_in(root)
        ]
    found = [task for path in paths for task in _below(path, server)]
    return list(dict.fromkeys(found))


def _below(path: str, server: str | None) -> Iterator[Task]:
    for root, key, place in _runs_at(path):
        known = server_of(root)
        goals = [server] if server is not None else [known] if known is not None else sent.servers(place)
        if not goals:
            goals = [server_url(found)] if (found := os.environ.get(URL)) else []
        if not goals:
            raise InvalidInput(
                f"{place} does not say which server it is for. Give --remote URL, or set {URL}; for example: "
                f"ml-dash sync {path} --remote http://localhost:3000"
            )
        yield from (Task(root, key, goal, spool=known is not None) for goal in goals)


def _runs_at(path: str) -> list[tuple[str, RunKey, str]]:
    """(root, key, folder) of the run at `path`, of those of the project there, or of all below a root."""
    place = os.path.abspath(path)
    if not os.path.isdir(place):
        raise NotFound(f"there is no folder {path!r} ({place}).")
    one = run_at(place)
    if one is not None:
        return [(*one, place)]
    with os.scandir(place) as entries:
        inside = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    runs = [(*found, entry) for entry in inside if (found := run_at(entry)) is not None]
    runs = runs or [(place, key, folder) for key, folder in runs_in(place)]
    if not runs:
        raise NotFound(f"there are no runs in {path!r}. Give a folder of runs, a project's folder, or a run's.")
    return runs


# ---------------------------------------------------------------- sending


class Sender:
    """Sends tasks, one after the other. `api_key` is for every server; None: the environment's. `alias` is the name that a run
    gets at the server in place of its own. `patience` is how long (s) to go on without progress."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        alias: str | None = None,
        patience: float = PATIENCE,
        backoff: tuple[float, float] = BACKOFF,
        any_token: bool = True,
    ) -> None:
        if alias is not None:
            check_run_name("--as", alias)
        self._api_key = api_key
        self._alias = alias
        self._patience = patience
        self._backoff = backoff
        self._any_token = any_token
        self._targets: dict[str, Store] = {}
        self._gone: dict[str, str] = {}
        """The servers that did not answer for as long as patience lasts, and why: the next run is not made to wait for it again."""

    def close(self) -> None:
        """Let the connections go."""
        for target in self._targets.values():
            target.close()

    def send(self, task: Task, tell: Callable[[Left], None] = lambda _: None) -> Report:
        """Send what there is as of now. `tell` is called with what is left, as often as it changes. Raises nothing that
        concerns one run alone."""
        spool = LocalStore(task.root)
        key = task.key if self._alias is None else task.key._replace(name=self._alias)
        report = Report(
            project=key.project,
            name=key.name,
            path=run_path(spool.root, task.key),
            server=task.server,
            url=run_url(task.server, key),
        )
        hold = Hold(task.root, task.key) if task.spool else None
        try:
            run = spool.get_run(task.key)
            if hold is not None:
                _hold(hold, spool, run)
            self._send(spool, run, task, report, tell)
            if hold is not None and self._alias is None and report.is_done and hold.own():
                report.taken_away = take_away(spool, run, task.server)
        except (MlDashError, OSError) as e:
            # A spool's run that is not there any more has been sent by somebody else meanwhile.
            gone = task.spool and isinstance(e, NotFound) and not os.path.exists(report.path)
            report.why = "" if gone else str(e)
        finally:
            spool.close()
            if hold is not None:
                hold.let_go()
        return report

    def _send(self, spool: LocalStore, run: Run, task: Task, report: Report, tell: Callable[[Left], None]) -> None:
        if not self._any_token and not is_for(task.root, task.server, api_key_for(task.server, self._api_key)):
            report.why = (
                f"it was kept for a token, and that is not the one that is given. If this one may send it: "
                f"ml-dash sync {report.path} --api-key TOKEN"
            )
            report.left = Uploader(spool, run, spool, task.server).left()
            return
        uploader = Uploader(spool, run, self._target(task.server), task.server, name=self._alias)
        known, before = uploader.server_run, uploader.reached_of(uploader.goal())
        try:
            report.why = self._gone.get(task.server) or self._steps(uploader, task.server, tell)
        except Stopped as e:
            report.why = str(e)
        _tell_of(report, spool, uploader, before if uploader.server_run == known else {})

    def _target(self, server: str) -> Store:
        if server not in self._targets:
            timeout = min(_ANSWER, max(1.0, self._patience))
            self._targets[server] = open_store(server, api_key=api_key_for(server, self._api_key), timeout=timeout)
        return self._targets[server]

    def _steps(self, uploader: Uploader, server: str, tell: Callable[[Left], None]) -> str:
        """Step until the server has what there was when it was first heard of; "" then, else why not."""
        goal: dict[SeriesKey, int] | None = None
        moved, failures, known, told = time.monotonic(), 0, -1, 0.0
        while True:
            try:
                more, failures = uploader.step(), 0
            except PermissionDenied as e:
                return f"{e} Give a token that may write: --api-key TOKEN, or {API_KEY}."
            except Unavailable as e:
                failures += 1
                left = self._patience - (time.monotonic() - moved)
                if left <= 0:
                    self._gone[server] = str(e)
                    return str(e)
                time.sleep(min(self._pause(failures, e.retry_after), left))
                continue
            if uploader.there is not None:
                goal = goal or uploader.goal()
                if time.monotonic() - told > _TELL:
                    tell(uploader.left())
                    told = time.monotonic()
                if uploader.reached(goal):
                    return ""
            reached = sum(uploader.reached_of(goal).values()) if goal else -1
            if reached != known:
                moved, known = time.monotonic(), reached
            elif time.monotonic() - moved > self._patience:
                return f"another process sends it, and has not got on for {self._patience:g} s."
            if not more:
                time.sleep(_LOOK)

    def _pause(self, failures: int, retry_after: float | None) -> float:
        first, longest = self._backoff
        pause: float = min(longest, first * 2.0 ** min(failures - 1, 16)) * (0.5 + _random() / 2)
        return max(retry_after or 0.0, pause)


def _hold(hold: Hold, spool: LocalStore, run: Run) -> None:
    """Have it open beside whoever else has; where nobody has, its process is dead, and that is known here alone."""
    if hold.own():
        end_dead(spool, run)
    hold.share()


def _tell_of(report: Report, spool: LocalStore, uploader: Uploader, before: dict[SeriesKey, int]) -> None:
    for series, reached in uploader.reached_of(uploader.goal()).items():
        start = before.get(series, 0)
        grown = max(0, reached - start)
        if series.kind == EVENTS:
            report.files = _files(spool, series, start, grown)
            report.changes = grown - report.files
        else:
            report.points += grown
    report.left = uploader.left()
    report.refused = [Refused(series, index, why) for (series, index), why in uploader.refused().items()]
    report.refused_path = uploader.refused_path if report.refused else ""
    if not report.why and uploader.stuck:
        report.why = next(iter(uploader.stuck.values()))


def _files(spool: LocalStore, series: SeriesKey, start: int, count: int) -> int:
    """How many of these changes are files that were stored."""
    found = 0
    for point in codec.decode_page(spool.read(series, start, count)):
        with suppress(InvalidInput):
            found += events.parse(point["data"]).stored
    return found


# ---------------------------------------------------------------- what waits


class Waiting(msgspec.Struct):
    """A run that is not wholly at its server. `sent` is when (unix seconds) the server acknowledged something of it last, 0 for
    never; `held`: a process has it open; `why` is what kept it, as far as that is known."""

    project: str
    name: str
    path: str
    server: str
    left: Left
    sent: float
    why: str
    held: bool
    refused: int = 0
    refused_path: str = ""

    @property
    def command(self) -> str:
        """What sends it."""
        return f"ml-dash sync {self.path} --remote {self.server}"


def waiting() -> list[Waiting]:
    """The runs in the spools of this machine that are not wholly at their servers. Asks no server."""
    found = []
    for root, server in spools():
        spool = LocalStore(root)
        for key, _ in runs_in(root):
            with suppress(MlDashError, OSError):
                hold = Hold(root, key)
                held = not hold.own()
                hold.let_go()
                found += _waiting(spool, spool.get_run(key), server, held=held)
        spool.close()
    return found


def waiting_below(path: str) -> list[Waiting]:
    """The same of the runs at and below `path` that were sent to servers before. Raises `NotFound` where there is no run."""
    found = []
    for root, key, place in _runs_at(path):
        spool = LocalStore(root)
        with suppress(MlDashError, OSError):
            run = spool.get_run(key)
            for server in sent.servers(place):
                found += _waiting(spool, run, server, held=run.heartbeat_at is not None)
        spool.close()
    return found


def _waiting(spool: LocalStore, run: Run, server: str, *, held: bool) -> list[Waiting]:
    uploader = Uploader(spool, run, spool, server)  # which is not asked for anything that a server has to answer
    left, refused = uploader.left(), uploader.refused()
    if not left and not refused:
        return []
    path = run_path(spool.root, run.key)
    file = sent.SentFile(path, server)
    record = file.load()
    one = Waiting(
        project=run.key.project,
        name=run.key.name,
        path=path,
        server=server,
        left=left,
        sent=record.at if any(record.series.values()) else 0.0,
        why=file.trouble() or "",
        held=held,
        refused=len(refused),
        refused_path=file.refused_path if refused else "",
    )
    return [one]
