"""What is damaged, left over or in the way below a folder of runs, and mending it. Knows files, lines and records; knows no
user's names and no open run. The only module that rewrites what was written.

Nothing is deleted without a copy beside it: lines that are cut go to ``.torn``, a file that is rewritten is copied to
``.<n>.bak`` first, a record that is replaced is renamed to ``.damaged``. (A temporary file that its dead writer left is no
content of anything, and goes.) `examine` changes nothing. A file is looked at and mended under its own lock.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_SH
from hashlib import sha256
from itertools import count
from typing import Any

import msgspec

from ml_dash import codec
from ml_dash.errors import CorruptData, FileMissing, InvalidInput, LockTimeout, NewerFormat, NotFound, Unavailable
from ml_dash.model import EVENTS, LOGS, METRICS, TRACKS, Attempt, FileRecord, Run, RunKey, RunKind, RunPatch
from ml_dash.names import decode_segment
from ml_dash.store import locks
from ml_dash.store.atomic import CREATE, TEMPORARY, inside, sync_folder, write_all, write_atomically
from ml_dash.store.foreign import as_ours, is_foreign, is_foreign_log
from ml_dash.store.line_search import last_line
from ml_dash.store.local import LocalStore
from ml_dash.store.patch import new_id
from ml_dash.store.run_files import RunFiles, _abandoned
from ml_dash.store.run_folder import (
    CLOCK,
    DATA,
    FORMAT,
    META,
    RECORDS,
    RunFolder,
    load_meta,
    read_record,
    save_meta,
    set_aside,
    walk_series,
)
from ml_dash.store.series_file import cut_tail
from ml_dash.times import iso, parse_iso

PATIENCE = 5.0
"""Seconds to wait for a file's lock before it is reported as locked."""
LEFT_AFTER = 60.0
"""Seconds after which a temporary file that is written in one go counts as left over."""
MOST = 1_000
"""Damaged lines of one file that are reported one by one."""

_BLOCK = 1 << 20
_LOG = "logs.jsonl"
_PARAMETERS = "parameters.json"
_FILES = ".files_metadata.json"
_ROLLUP = b"MLDROLL\0"
_REPAIRING = re.compile(r"(.+)\.(\d+)\.repairing\Z")
_OURS = (*RECORDS.values(), _PARAMETERS, _FILES, DATA, META, CLOCK, "writers.jsonl", _LOG, ".log_sequence", ".lock")
_KINDS = (METRICS, TRACKS, EVENTS)
_FILE_ID = re.compile(r"[0-9a-f]{32}|\d{15,20}")


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong. `offset` is the byte in the file at `path`, None where the file as a whole is meant.

    `kind` is one of

        torn, nul              a write was cut off: the bytes behind the last whole line
        bad-line               a line in the middle that is no JSON, no point, or carries another index than its place asks for
        irregular              a series or log of a published client, whose races left it so
        interrupted            an earlier repair was killed
        record                 a small record is damaged             record-missing  … or not there
        newer                  a newer version of this package wrote it
        lost                   a run whose process ended without closing it
        stale-presence         the presence file of a process that has ended
        leftover               a temporary file whose writer is dead
        file-missing, file-size, file-checksum    a stored file is not what its record says
        link                   a symbolic link that leads out of the root, or lies where a file of ours has to be
        not-writable           a series that this user cannot append to
        locked, unreadable     could not be looked at

    and, of what is to be sent to a server, which `sync` tells and `ml-dash doctor` shows beside these,

        unsent                 rows or changes that the server has not, and that no process is about to send
        refused                … or that it will not take

    `run` is the run's folder, "" for what belongs to none.
    """

    kind: str
    path: str
    offset: int | None
    what: str
    remedy: str
    repairable: bool
    run: str = ""


def examine(path: str | os.PathLike[str], *, deep: bool = False) -> list[Finding]:
    """What is wrong at and below `path`: a root, a project's folder, or a run's. Sorted by path and offset; changes nothing.

    Every line of every series is read; the bytes of stored files only with `deep`. Raises `NotFound` where there is no folder.
    """
    place = os.path.abspath(os.fspath(path))
    if not os.path.isdir(place):
        raise NotFound(f"there is no folder {place!r}.")
    level = _level(place)
    root = place if level == 0 else os.path.dirname(place) if level == 1 else os.path.dirname(os.path.dirname(place))
    found = _strays(place, root, level)
    for run in _runs(place, level):
        try:
            found += _Examination(root, run, deep=deep).findings()
        except OSError as e:
            found.append(Finding("unreadable", run, None, str(e), "See to it that this user may read it.", False, run))
    return sorted(found, key=lambda one: (one.path, one.offset or 0))


def repair(finding: Finding) -> str:
    """Mend what `finding` is about, and say what was done; a finding that is mended already is looked at again and left alone.

    Raises `InvalidInput` where it cannot be repaired, `Unavailable` while a process has the run open and its lines would be
    rewritten, `OSError`.
    """
    mend = _REPAIRS.get(finding.kind)
    if mend is None or not finding.repairable:
        raise InvalidInput(f"{finding.path}: {finding.kind} cannot be repaired from here. {finding.remedy}")
    if not os.path.lexists(finding.path) and finding.kind != "record-missing":
        return "Nothing was left to do."
    return mend(finding)


# ---------------------------------------------------------------- which runs


def _level(place: str) -> int:
    """0 for a root, 1 for a project, 2 for a run: by where the records are, then by what a run's folder looks like."""
    if _has_record(place):
        return 2
    below = _folders(place)
    inner = [_has_record(folder) for folder in below]
    if any(_has_record(run) for folder in below for run in _folders(folder)):
        return 0
    if any(inner):
        return 1
    return 2 if _looks_like_run(place) else 1 if any(map(_looks_like_run, below)) else 0


def _runs(place: str, level: int) -> list[str]:
    places = [place]
    for _ in range(2 - level):
        places = [folder for above in places for folder in _folders(above)]
    return [run for run in places if _has_record(run) or _looks_like_run(run)]


def _folders(place: str) -> list[str]:
    """Folders in a folder, links and our cache left out."""
    with suppress(OSError), os.scandir(place) as entries:
        return sorted(e.path for e in entries if e.is_dir(follow_symlinks=False) and e.name != ".cache")
    return []


def _has_record(place: str) -> bool:
    return any(os.path.lexists(os.path.join(place, record)) for record in RECORDS.values())


def _looks_like_run(place: str) -> bool:
    """Whether it holds what a run holds; an empty folder is what a process left that died before it wrote anything."""
    kinds = (os.path.join(place, kind) for kind in (*_KINDS, LOGS))
    return os.path.isfile(os.path.join(place, _PARAMETERS)) or any(
        names and (folders or files) for kind in kinds for names, folders, files in os.walk(kind)
    )


def _strays(place: str, root: str, level: int) -> list[Finding]:
    """What lies beside the runs: links, temporary files, and runs whose deletion was killed."""
    found: list[Finding] = []
    for above in [place, *_folders(place)][: None if level == 0 else 2 - level]:
        with os.scandir(above) as entries:
            inside_it = sorted(entries, key=lambda e: e.name)
        for entry in inside_it:
            if entry.is_symlink():
                found += _link(root, entry.path, "")
            elif entry.name.startswith(TEMPORARY) and _age(entry.path) > LEFT_AFTER:
                found.append(_leftover(entry.path, ""))
    for buried in _folders(os.path.join(root, ".cache", "deleted")) if level == 0 else ():
        if re.fullmatch("[0-9a-f]{32}", os.path.basename(buried)) and (_has_record(buried) or _looks_like_run(buried)):
            found.append(_leftover(buried, "", "a run whose deletion was killed in the middle"))
    return found


def _leftover(path: str, run: str, what: str = "a temporary file whose writer is dead") -> Finding:
    return Finding("leftover", path, None, what, "`ml-dash doctor --repair` removes it.", True, run)


def _age(path: str) -> float:
    """Seconds since the last write; 0 for what is no longer there."""
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _link(root: str, path: str, run: str) -> list[Finding]:
    name = os.path.basename(path)
    try:
        inside(root, path, "link")
    except InvalidInput as e:
        text = str(e)
    else:
        if name not in _OURS:
            return []
        text = f"{path!r} is a symbolic link, which is never followed for writing"
    remedy = "Put what it points to in its place, or remove the link."
    return [Finding("link", path, None, text, remedy, repairable=False, run=run)]


# ---------------------------------------------------------------- one run


class _Examination:
    """One look at one run."""

    def __init__(self, root: str, run: str, *, deep: bool) -> None:
        self.root = root
        self.run = run
        self.deep = deep
        self.found: list[Finding] = []

    def findings(self) -> list[Finding]:
        """All of them, unsorted."""
        self._records()
        for kind, path in _series(self.run):
            if kind != LOGS:
                self._record(os.path.join(os.path.dirname(path), META))
            if os.path.isfile(path) and not os.path.islink(path):
                self._lines(kind, path)
        self._files()
        self._tree()
        return self.found

    def add(
        self, kind: str, path: str, what: str, remedy: str, *, offset: int | None = None, repairable: bool = False
    ) -> None:
        self.found.append(Finding(kind, path, offset, what, remedy, repairable, self.run))

    # ------------------------------------------------------------ records

    def _records(self) -> None:
        paths = [os.path.join(self.run, record) for record in RECORDS.values()]
        there = [path for path in paths if os.path.exists(path)]
        if not there:
            path = paths[_kind_of(self.run) == "session"]
            what = "the run has data but no record, so it is not in any list"
            self.add("record-missing", path, what, "`--repair` makes one from what else is there.", repairable=True)
        sound = [self._record(path) for path in [*there, os.path.join(self.run, _PARAMETERS)]]
        if there and all(sound):
            self._life()

    def _record(self, path: str) -> bool:
        """Whether the small record at `path` is sound, or not there."""
        try:
            read_record(path)
        except NewerFormat as e:
            self.add("newer", path, str(e), "Run `pip install -U ml-dash`.")
        except CorruptData as e:
            self._damaged(path, e)
        except OSError as e:
            self.add("unreadable", path, str(e), "See to it that this user may read it.")
        else:
            return True
        return False

    def _damaged(self, path: str, error: CorruptData) -> None:
        what = str(error).partition(". Run `ml-dash")[0]
        remedy = "`--repair` renames it to .damaged and makes it anew, as far as its content can be read or told from elsewhere."
        self.add("record", path, what, remedy, offset=0, repairable=True)

    def _life(self) -> None:
        """The run's status beside the processes that are there."""
        folder = _folder(self.run)
        try:
            run = folder.load()
        except CorruptData as e:
            self._damaged(e.path, e)
            return
        if run is None:
            return
        alive = [attempt for attempt in run.attempts if attempt.ended_at is None and folder.alive(attempt)]
        if run.status == "RUNNING" and not alive:
            last = run.attempts[-1] if run.attempts else None
            who = f"process {last.pid} on {last.host}, started {last.started_at}," if last else "its process"
            what = f"LOST: {who} ended without closing the run"
            path = os.path.join(self.run, RECORDS[run.kind])
            self.add(
                "lost", path, what, "Open the run again to go on, or let `--repair` mark it FAILED.", repairable=True
            )
        for path in _presence(self.run):
            attempt = _attempt(run, path)
            if not folder.alive(attempt) and (run.status != "RUNNING" or alive or attempt not in run.attempts):
                what = "the presence file of a process that has ended"
                self.add("stale-presence", path, what, "`--repair` removes it.", repairable=True)

    # ------------------------------------------------------------ lines

    def _lines(self, kind: str, path: str) -> None:
        foreign = _is_foreign(kind, path)
        try:
            scan = _Scan(kind, path, foreign=foreign)
        except LockTimeout as e:
            self.add("locked", path, str(e), "Try again when that process has ended.")
            return
        except OSError as e:
            self.add("unreadable", path, str(e), "See to it that this user may read it.")
            return
        if scan.end < scan.size:
            self._tail(path, scan)
        if scan.bad and not foreign:
            self._bad_lines(path, scan)
        elif scan.bad or scan.loose:
            self._irregular(path, scan)
        if not os.access(path, os.W_OK):
            self.add("not-writable", path, "this user may not append to it", "Change its owner or its mode.")

    def _tail(self, path: str, scan: _Scan) -> None:
        size = scan.size - scan.end
        if scan.only_nul:
            what = f"{size} NUL bytes at the end: the machine stopped before what was written there was on the disk"
            kind = "nul"
        else:
            kind, what = (
                "torn",
                f"{size} bytes at the end that are no whole line: a writer died in the middle of its write",
            )
        remedy = "The next append moves them to the file's .torn, and so does `--repair`."
        self.add(kind, path, what, remedy, offset=scan.end, repairable=True)

    def _bad_lines(self, path: str, scan: _Scan) -> None:
        remedy = (
            "`--repair` copies the file to .bak, then takes out the lines that are no points and numbers all that follow anew: "
            "indices behind the first damaged line move."
        )
        for bad in scan.bad[:MOST]:
            self.add("bad-line", path, bad.why, remedy, offset=bad.offset, repairable=True)
        if len(scan.bad) > MOST:
            what = f"… and {len(scan.bad) - MOST} more damaged lines"
            self.add("bad-line", path, what, remedy, offset=scan.bad[MOST].offset, repairable=True)

    def _irregular(self, path: str, scan: _Scan) -> None:
        parts = [f"{number} {what}" for what, number in scan.sums().items() if number]
        first = min([*scan.loose, *(bad.offset for bad in scan.bad)])
        what = f"a published client left it irregular: of {scan.lines} lines, {', '.join(parts)}"
        remedy = "`--repair` copies the file to .bak, then takes out the lines that are no points and numbers the rest by position."
        if scan.bad:
            until = "" if scan.kind == LOGS else " and not appended to"
            remedy = f"Until then it is read by position{until}. {remedy} Indices may move."
        self.add("irregular", path, what, remedy, offset=first, repairable=True)

    # ------------------------------------------------------------ files, leftovers, links

    def _files(self) -> None:
        files = _run_files(self.run)
        path = os.path.join(self.run, "files", _FILES)
        try:
            records = files.find()
        except CorruptData as e:
            self._damaged(path, e)
            return
        except InvalidInput:  # a link, which `_tree` tells of
            return
        except OSError as e:
            self.add("unreadable", path, str(e), "See to it that this user may read it.")
            return
        for record in records:
            self._file(files, record)

    def _file(self, files: RunFiles, record: FileRecord) -> None:
        where = os.path.join(self.run, "files", record.path.strip("/"), record.id, record.filename)
        name = f"file {record.filename!r} (id {record.id})"
        again = "Store it again under its name, or delete its record."
        try:
            _, stream = files.get(record.id)
        except FileMissing:
            self.add("file-missing", where, f"{name} has a record but no bytes", again)
            return
        except InvalidInput:
            return
        except OSError as e:
            self.add("unreadable", where, str(e), "See to it that this user may read it.")
            return
        with stream:
            where = str(stream.name)
            size = os.fstat(stream.fileno()).st_size
            if size != record.size_bytes:
                self.add("file-size", where, f"{name} has {size} bytes; {record.size_bytes} were stored", again)
            elif self.deep and record.checksum and (found := _sha256(stream)) != record.checksum:
                what = f"{name} has other content than was stored: sha256 {found}, not {record.checksum}"
                self.add("file-checksum", where, what, again)

    def _tree(self) -> None:
        for place, folders, names in os.walk(self.run):
            for name in sorted([*folders, *names]):
                path = os.path.join(place, name)
                if os.path.islink(path):
                    self.found += _link(self.root, path, self.run)
                elif name.startswith(TEMPORARY) and name in names and _is_left(path):
                    self.found.append(_leftover(path, self.run))
                elif _REPAIRING.match(name):
                    what = "an earlier repair of this file was killed in the middle"
                    remedy = "`--repair` puts the file back as it was, from its .bak, and begins anew."
                    self.add("interrupted", path, what, remedy, repairable=True)


def _series(run: str) -> Iterator[tuple[str, str]]:
    """(kind, path of the lines) of every series and the log, there or not."""
    yield LOGS, os.path.join(run, LOGS, _LOG)
    for kind in _KINDS:
        place = os.path.join(run, kind)
        if os.path.exists(os.path.join(place, DATA)):  # the events series without a name
            yield kind, os.path.join(place, DATA)
        for _, _, folder in _walked(place, kind):
            yield kind, os.path.join(folder, DATA)


def _walked(place: str, kind: str) -> list[tuple[str, str, str]]:
    import warnings

    with warnings.catch_warnings():  # of damaged metadata.json, which is a finding here
        warnings.simplefilter("ignore")
        try:
            return list(walk_series(place, kind, ""))
        except NewerFormat:
            return []


def _kind_of(run: str) -> RunKind:
    """What a run without a record is: its series tell."""
    if os.path.lexists(os.path.join(run, RECORDS["session"])):
        return "session"
    return (
        "session"
        if os.path.isdir(os.path.join(run, TRACKS)) and not os.path.isdir(os.path.join(run, METRICS))
        else "experiment"
    )


def _key(run: str, known: dict[str, Any] | None = None) -> RunKey:
    """The run's key, as its folders tell it, or its record (`known`, where it is damaged) where a folder's name is a hash."""
    doc = known or {}
    for record in RECORDS.values():
        with suppress(CorruptData, NewerFormat, OSError):
            doc = doc or read_record(os.path.join(run, record)) or {}
    names = []
    for place, fields in ((os.path.dirname(run), ("project", "workspace")), (run, ("name",))):
        segment = os.path.basename(place)
        told = next((str(doc[field]) for field in fields if doc.get(field)), segment)
        names.append(decode_segment(segment) or told)
    return RunKey("", *names)


def _folder(run: str) -> RunFolder:
    return RunFolder(run, _key(run))


def _run_files(run: str) -> RunFiles:
    folder = RunFolder(run, RunKey("", "", ""))
    return RunFiles(run, "", folder.lock, time.time)


def _presence(run: str) -> list[str]:
    place = os.path.join(run, "processes")
    with suppress(OSError), os.scandir(place) as entries:
        return sorted(e.path for e in entries if e.is_file(follow_symlinks=False) and not e.name.startswith(TEMPORARY))
    return []


def _attempt(run: Run | None, presence: str) -> Attempt:
    """The attempt that a presence file belongs to, or one of that id that is in no record."""
    name = os.path.basename(presence)
    attempt = Attempt(decode_segment(name) or name, "")
    return (
        next((one for one in run.attempts if one.id == attempt.id and one.ended_at is None), attempt)
        if run
        else attempt
    )


def _is_left(path: str) -> bool:
    """Whether the writer of a temporary file in a run is dead."""
    name = os.path.basename(path)
    if "@" in name:
        return _abandoned(path)
    return _age(path) > LEFT_AFTER


def _sha256(stream: Any) -> str:
    checksum = sha256()
    while block := stream.read(_BLOCK):
        checksum.update(block)
    return checksum.hexdigest()


# ---------------------------------------------------------------- lines


class _Bad(msgspec.Struct, gc=False):
    """A damaged line. `row` tells whether it is a point for all that: then it is kept, and numbered anew."""

    offset: int
    why: str
    row: bool


class _Order:
    """Which index the next line may carry.

    Behind a line whose index was wrong, the next one may go on from the place or from that index; behind a line that could
    not be read, which may have been several, from any index that is not past.
    """

    def __init__(self) -> None:
        self._next: tuple[int, ...] = (0,)
        self._any = False

    @property
    def expected(self) -> int:
        """What the next line should carry."""
        return self._next[0]

    def take(self, index: int) -> bool:
        """Whether a point with this index may come now."""
        fits = index in self._next or (self._any and index >= self._next[0])
        self._next = (index + 1,) if fits else (self._next[0] + 1, index + 1)
        self._any = False
        return fits

    def lose(self) -> None:
        """A line that is no point came."""
        self._any = True

    def go_on(self, index: int) -> None:
        """All lines up to this index, exclusive, came in order."""
        self._next = (index,)


class _Line(msgspec.Struct, gc=False):
    index: int
    data: dict[str, Any]


class _Entry(msgspec.Struct, gc=False):
    index: int = msgspec.field(name="sequenceNumber")


_DECODERS: dict[bool, msgspec.json.Decoder[Any]] = {
    False: msgspec.json.Decoder(_Line),
    True: msgspec.json.Decoder(_Entry),
}
_KEYS = {False: "index", True: "sequenceNumber"}


class _Scan:
    """Every line of a file, read once. `end` is the byte behind the last line that counts, `size` the file's; `bad` are the
    damaged lines below `end`, `loose` the offsets of those that are points, but not strict JSON (a bare NaN)."""

    def __init__(self, kind: str, path: str, *, foreign: bool, fd: int | None = None) -> None:
        """`fd` is a descriptor whose lock the caller holds; without one the file is opened and its size taken under its lock."""
        self.kind = kind
        self.foreign = foreign
        self.bad: list[_Bad] = []
        self.loose: list[int] = []
        self.lines = 0
        self._order = _Order()
        if fd is not None:
            self._read(fd, os.fstat(fd).st_size, path)
            return
        own = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            with _locked(own, LOCK_SH, path):
                size = os.fstat(own).st_size
            self._read(own, size, path)
        finally:
            os.close(own)

    def sums(self) -> dict[str, int]:
        """How many lines there are of each sort of damage."""
        unread = sum(not bad.row for bad in self.bad)
        return {
            "with a wrong index": len(self.bad) - unread,
            "that are no points": unread,
            "with a bare NaN or Infinity": len(self.loose),
        }

    def _read(self, fd: int, size: int, path: str) -> None:
        self.size = size
        self.end = _whole(fd, size)
        if not self.foreign:
            with suppress(CorruptData):
                self.end = min(self.end, last_line(fd, size, self.kind, path).end)
        self.only_nul = self.end < size and all(not part.strip(b"\0") for part in _blocks(fd, self.end, size))
        offset, rest = 0, b""
        for block in _blocks(fd, 0, self.end):
            data = rest + block
            stop = data.rfind(b"\n") + 1
            self._block(data[:stop], offset)
            offset, rest = offset + stop, data[stop:]

    def _block(self, lines: bytes, offset: int) -> None:
        if not lines:
            return
        number = lines.count(b"\n")
        self.lines += number
        if _begins(self.kind, lines, self._order.expected, number):
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                found = [one.index for one in _DECODERS[self.kind == LOGS].decode_lines(lines)]
                if found == list(range(self._order.expected, self._order.expected + number)):
                    self._order.go_on(found[-1] + 1)
                    return
        for line in lines.split(b"\n")[:-1]:
            self._line(line, offset)
            offset += len(line) + 1

    def _line(self, line: bytes, offset: int) -> None:
        point = _point(self.kind, line)
        if isinstance(point, str):
            self.bad.append(_Bad(offset, point, row=False))
            self._order.lose()
            return
        index, strict = point
        expected = self._order.expected
        if not self._order.take(index):
            self.bad.append(_Bad(offset, f"it carries index {index} where {expected} was expected", row=True))
        elif codec.index_of(self.kind, line[:64]) != index:
            self.bad.append(_Bad(offset, "it does not begin with its index", row=True))
        if not strict:
            self.loose.append(offset)


def _point(kind: str, line: bytes) -> tuple[int, bool] | str:
    """(index, whether it is strict JSON) of a line that is a point, else what is wrong with it."""
    strict = True
    try:
        doc = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        strict = False
        try:
            doc = codec.loads(line)
        except (ValueError, RecursionError) as e:
            return f"it is not JSON ({e})"
    index = doc.get(_KEYS[kind == LOGS]) if isinstance(doc, dict) else None
    if type(index) is not int or index < 0 or (kind != LOGS and not isinstance(doc.get("data"), dict)):
        return "it is JSON, but no point"
    return index, strict


def _begins(kind: str, lines: bytes, first: int, number: int) -> bool:
    """Whether the first and the last of `number` lines begin with the index that their place asks for."""
    last = lines.rfind(b"\n", 0, len(lines) - 1) + 1
    beginning = b'\n{"%b": ' % _KEYS[kind == LOGS].encode()
    return (
        lines.count(beginning) + lines.startswith(beginning[1:]) == number
        and codec.index_of(kind, lines[:64]) == first
        and codec.index_of(kind, lines[last : last + 64]) == first + number - 1
    )


def _is_foreign(kind: str, path: str) -> bool:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if kind == LOGS or not is_foreign(os.path.dirname(path)):
                return kind == LOGS and is_foreign_log(path)
        except NewerFormat:
            return False
    # Without a metadata.json that says so, the lines have to: theirs have a time each.
    with open(path, "rb") as f:
        return b'"createdAt"' in f.readline() or b'"createdAt"' in f.read()[-4096:]


def _blocks(fd: int, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        block = os.pread(fd, min(_BLOCK, stop - start), start)
        if not block:
            return
        yield block
        start += len(block)


def _whole(fd: int, size: int) -> int:
    """The byte behind the last newline below `size`."""
    while size > 0:
        start = max(0, size - _BLOCK)
        newline = os.pread(fd, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


@contextmanager
def _locked(fd: int, mode: int, path: str) -> Iterator[None]:
    """Hold the lock of an open file; on a file system without locks, nothing."""
    import fcntl

    try:
        locks.wait(fd, mode, path, PATIENCE)
    except LockTimeout:
        raise
    except OSError:
        yield
        return
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


# ---------------------------------------------------------------- repairs: lines


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)


def _kind_of_series(run: str, path: str) -> str:
    return os.path.relpath(path, run).split(os.sep)[0]


def _cut(finding: Finding) -> str:
    path, kind = finding.path, _kind_of_series(finding.run, finding.path)
    fd = _opened(path)
    try:
        with _locked(fd, LOCK_EX, path):
            scan = _Scan(kind, path, foreign=_is_foreign(kind, path), fd=fd)
            if scan.end == scan.size:
                return "Nothing was left to do."
            cut_tail(fd, scan.end, scan.size, path)
            os.fsync(fd)
            return f"{scan.size - scan.end} bytes moved to {path}.torn."
    finally:
        os.close(fd)


def _renumber(finding: Finding) -> str:
    path, kind = finding.path, _kind_of_series(finding.run, finding.path)
    _refuse_if_open(finding.run)
    fd = _opened(path)
    try:
        with _locked(fd, LOCK_EX, path):
            foreign = _is_foreign(kind, path)
            scan = _Scan(kind, path, foreign=foreign, fd=fd)
            if not scan.bad and not scan.loose:
                return "Nothing was left to do."
            if scan.end < scan.size:
                cut_tail(fd, scan.end, scan.size, path)
            backup, number = _backup(path)
            moved = _rewrite(fd, scan, path, number)
            _after_renumbering(path, kind, moved)
    finally:
        os.close(fd)
    _drop_rollups(os.path.dirname(os.path.dirname(finding.run)))
    if not scan.bad:
        return f"Written anew as strict JSON; no index moved. The file as it was: {backup}."
    out = sum(not bad.row for bad in scan.bad)
    return (
        f"{out} damaged lines taken out, the other {moved.total} numbered from 0 on; those behind byte "
        f"{moved.offset} have other indices than before where they differed. The file as it was: {backup}."
    )


def _refuse_if_open(run: str) -> None:
    folder = _folder(run)
    try:
        record = folder.load()
    except (CorruptData, NewerFormat):
        record = None
    for path in _presence(run):
        if folder.alive(_attempt(record, path)):
            who: dict[str, Any] = {}
            with suppress(CorruptData, NewerFormat):
                who = read_record(path) or {}
            raise Unavailable(
                f"{run} is open in process {who.get('pid', '?')} on {who.get('host', '?')}. End it, then run "
                "`ml-dash doctor --repair` again."
            )


def _backup(path: str) -> tuple[str, int]:
    """Copy a file beside itself, durably: the copy's path and number."""
    number = next(n for n in count(1) if not any(os.path.lexists(f"{path}.{n}.{end}") for end in ("bak", "repairing")))
    copy = f"{path}.{number}.bak"
    try:
        with open(path, "rb") as source, open(copy, "xb") as target:
            shutil.copyfileobj(source, target, _BLOCK)
            target.flush()
            os.fsync(target.fileno())
    except OSError:
        with suppress(OSError):
            os.unlink(copy)
        raise
    sync_folder(os.path.dirname(path))
    return copy, number


class _Moved(msgspec.Struct):
    """What became of the indices: line `old[i]` is now `new[i]`, and so on until `old[i + 1]`."""

    offset: int = 0
    total: int = 0
    old: list[int] = msgspec.field(default_factory=list)
    new: list[int] = msgspec.field(default_factory=list)
    ticks: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(new index, unix ms) for lines that carried their own time."""

    def at(self, index: int) -> int:
        """The new index of what had, or would have had, the index."""
        place = bisect_right(self.old, index) - 1
        if place < 0:
            return index
        moved = self.new[place] + index - self.old[place]
        return min(moved, self.new[place + 1] if place + 1 < len(self.new) else self.total)


def _rewrite(fd: int, scan: _Scan, path: str, number: int) -> _Moved:
    """Write the points anew with the indices of their places, into the same inode, so that whoever has it open goes on with it.

    The new content is whole beside the file before the first byte of the file is changed; while it lies there, the repair
    has not ended (`_resume`).
    """
    moved = _Moved(offset=min([*scan.loose, *(bad.offset for bad in scan.bad)]))
    ready = f"{path}.{number}.repairing"
    temporary = os.path.join(os.path.dirname(path), TEMPORARY + os.urandom(8).hex())
    out = os.open(temporary, CREATE, 0o666)
    try:
        for part in _renumbered(fd, scan, moved):
            write_all(out, part)
        os.fsync(out)
        os.rename(temporary, ready)
        sync_folder(os.path.dirname(path))
        source = os.open(ready, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _put_back(fd, source, os.fstat(source).st_size)
        finally:
            os.close(source)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    finally:
        os.close(out)
    os.unlink(ready)
    return moved


def _put_back(fd: int, source: int, size: int) -> None:
    """Make the first `size` bytes of `source` the content of `fd`, in place."""
    offset = 0
    for block in _blocks(source, 0, size):
        os.lseek(fd, offset, os.SEEK_SET)
        write_all(fd, block)
        offset += len(block)
    os.ftruncate(fd, size)
    os.fsync(fd)


def _renumbered(fd: int, scan: _Scan, moved: _Moved) -> Iterator[bytes]:
    order = _Order()
    offset, rest = 0, b""
    for block in _blocks(fd, 0, scan.end):
        data = rest + block
        stop = data.rfind(b"\n") + 1
        lines, rest = data[:stop], data[stop:]
        if offset + stop <= moved.offset and lines and not scan.foreign:
            number = lines.count(b"\n")
            moved.total += number
            order.go_on(moved.total)
            yield lines
        else:
            each = lines.split(b"\n")[:-1]
            yield b"".join(_renumbered_line(scan.kind, line, order, moved, anew=scan.foreign) for line in each)
        offset += stop


def _renumbered_line(kind: str, line: bytes, order: _Order, moved: _Moved, *, anew: bool) -> bytes:
    """The line with its new index, b"" for one that is no point. `anew`: in our own spelling, its time among the ticks."""
    point = _point(kind, line)
    if isinstance(point, str):
        order.lose()
        return b""
    index, strict = point
    expected = order.expected
    key = _KEYS[kind == LOGS]
    old = index if order.take(index) else expected
    new = moved.total
    if not moved.old or old - moved.old[-1] != new - moved.new[-1]:
        moved.old.append(old)
        moved.new.append(new)
    moved.total += 1
    if strict and not anew and codec.index_of(kind, line[:64]) is not None:
        return b'{"%b": %d%b\n' % (key.encode(), new, line[line.index(b",") :])
    fields = codec.loads(as_ours(line))
    del fields[key]
    if kind == LOGS:
        return codec.render(kind, new, [codec.encode_row(fields)])
    with suppress(ValueError, TypeError):
        ms = parse_iso(fields["createdAt"]) if "createdAt" in fields else None
        if ms is not None and (not moved.ticks or moved.ticks[-1][1] < ms):
            moved.ticks.append((new, ms))
    return codec.render(kind, new, [codec.encode_row(fields["data"])])


def _after_renumbering(path: str, kind: str, moved: _Moved) -> None:
    """What tells of a series by index goes with it: wall times, the marks of its writers, the counts in its record."""
    place = os.path.dirname(path)
    if kind == LOGS:
        write_atomically(os.path.join(place, ".log_sequence"), b"%d" % moved.total)
        return
    _move_lines(os.path.join(place, CLOCK), lambda doc: doc | {"index": moved.at(doc["index"])}, _ticks(moved))
    _move_lines(os.path.join(place, "writers.jsonl"), lambda doc: _moved_mark(doc, moved), [])
    with suppress(NewerFormat):
        info = load_meta(place, kind, decode_segment(os.path.basename(place)) or "")
        info.name = (read_record(os.path.join(place, META)) or {}).get("name") or _name(place, kind)
        info.count = moved.total
        save_meta(place, info, sync=True)


def _moved_mark(doc: dict[str, Any], moved: _Moved) -> dict[str, Any]:
    first, stop = moved.at(doc["first"]), moved.at(doc["first"] + doc["count"])
    return doc | {"first": first, "count": stop - first}


def _ticks(moved: _Moved) -> list[dict[str, Any]]:
    return [{"index": index, "time": ms} for index, ms in moved.ticks]


def _move_lines(path: str, change: Callable[[dict[str, Any]], dict[str, Any]], more: list[dict[str, Any]]) -> None:
    """Rewrite a small file of JSON lines, after a copy; lines that cannot be read stay out, `more` come first."""
    out = list(more)
    if os.path.exists(path) and not os.path.islink(path):
        _backup(path)
        with open(path, "rb") as f:
            for line in f:
                with suppress(ValueError, KeyError, TypeError, RecursionError):
                    out.append(change(json.loads(line)))
    if out:
        write_atomically(path, b"".join(json.dumps(doc).encode() + b"\n" for doc in out))


def _resume(finding: Finding) -> str:
    """A repair was killed: unless it had written all, put the file back as it was, keep what was appended since, begin anew."""
    match = _REPAIRING.match(finding.path)
    assert match is not None
    path, number = match[1], match[2]
    _refuse_if_open(finding.run)
    fd = _opened(path)
    try:
        with _locked(fd, LOCK_EX, path), open(finding.path, "rb") as ready:
            with open(f"{path}.{number}.bak", "rb") as backup:
                old, new = os.fstat(backup.fileno()).st_size, os.fstat(ready.fileno()).st_size
                written = _is_same(fd, ready.fileno(), 0, new)
                uncut = new < old and _is_same(fd, backup.fileno(), new, old)
                if not written or uncut:
                    _restore(fd, backup.fileno(), old)
            os.unlink(finding.path)
    finally:
        os.close(fd)
    return "The file is as it was before. " + _renumber(msgspec.structs.replace(finding, path=path))


def _is_same(fd: int, other: int, start: int, stop: int) -> bool:
    """Whether both files hold the same bytes from `start` to `stop`."""
    if os.fstat(fd).st_size < stop:
        return False
    pairs = zip(_blocks(fd, start, stop), _blocks(other, start, stop), strict=False)
    return all(mine == its for mine, its in pairs)


def _restore(fd: int, backup: int, size: int) -> None:
    offset = 0
    for block in _blocks(backup, 0, size):
        os.lseek(fd, offset, os.SEEK_SET)
        write_all(fd, block)
        offset += len(block)
    os.fsync(fd)


def _drop_rollups(root: str) -> None:
    """The summaries of series that were sampled: they cannot see that a file was rewritten in place."""
    folder = os.path.join(root, ".cache", "rollups")
    with suppress(OSError, InvalidInput):
        inside(root, folder, "folder")
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.endswith(".rollup") and os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as f:
                    ours = f.read(len(_ROLLUP)) == _ROLLUP
                if ours:
                    os.unlink(path)


# ---------------------------------------------------------------- repairs: records


def _mend_record(finding: Finding) -> str:
    path, run = finding.path, finding.run
    name = os.path.basename(path)
    if name in RECORDS.values():
        _refuse_if_open(run)
    with RunFolder(run, RunKey("", "", "")).lock():
        if os.path.lexists(path) and _is_sound(path, run):
            return "Nothing was left to do."
        known = _salvaged(path)
        if name == _FILES:
            document, told = _files_anew(run, known)
        elif name == _PARAMETERS:
            document, told = _parameters_anew(known)
        elif name == META:
            document, told = _meta_anew(os.path.dirname(path), _kind_of_series(run, path), known)
        else:
            document, told = _run_anew(path, run, known)
        aside = f" The damaged one: {set_aside(path)}." if os.path.lexists(path) else ""
        write_atomically(path, codec.dumps(document))
    return told + aside


def _is_sound(path: str, run: str) -> bool:
    try:
        if os.path.basename(path) == _FILES:
            _run_files(run).find()
        elif os.path.basename(path) == META:
            read_record(path)
        else:
            read_record(path)
            _folder(run).load()
    except CorruptData as e:
        return e.path != path
    except NewerFormat:
        return True
    return True


def _salvaged(path: str) -> dict[str, Any]:
    """What a damaged record holds up to the damage: the longest beginning that becomes an object once it is closed."""
    try:
        with open(path, "rb") as f:
            text = f.read().decode(errors="replace")
    except OSError:
        return {}
    for stop, closing in reversed(list(_cuts(text))):
        with suppress(ValueError, RecursionError):
            found = codec.loads((text[:stop] + closing).encode())
            if found:
                return found
    return {}


def _cuts(text: str) -> Iterator[tuple[int, str]]:
    """(offset, what closes the text there) for every place behind a whole value."""
    stack: list[str] = []
    quoted = escaped = False
    for at, letter in enumerate(text):
        if quoted:
            quoted, escaped = escaped or letter != '"', letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            stack.append("}" if letter == "{" else "]")
        elif letter in "}]":
            if not stack or stack.pop() != letter:
                return
            yield at + 1, "".join(reversed(stack))
        elif letter == ",":
            yield at, "".join(reversed(stack))


def _of(known: dict[str, Any], **kinds: type | tuple[type, ...]) -> dict[str, Any]:
    """Those of the values that are of the kind that they should be."""
    return {key: known[key] for key, kind in kinds.items() if isinstance(known.get(key), kind)}


def _parameters_anew(known: dict[str, Any]) -> tuple[dict[str, Any], str]:
    data = _of(known, data=dict).get("data", {})
    at = iso(int(time.time() * 1000))
    document = {"version": 1, "createdAt": at, **_of(known, version=int, createdAt=str), "data": data, "updatedAt": at}
    names = ", ".join(map(repr, list(data)[:10])) + (" …" if len(data) > 10 else "")
    told = f"{len(data)} parameters could be read and are kept ({names})" if data else "No parameter could be read"
    return document, f"{told}; whatever stood behind them is lost."


def _meta_anew(place: str, kind: str, known: dict[str, Any]) -> tuple[dict[str, Any], str]:
    path = os.path.join(place, DATA)
    scan = _Scan(kind, path, foreign=True) if os.path.exists(path) else None
    number = scan.lines - sum(not bad.row for bad in scan.bad) if scan else 0
    name = known.get("name") if isinstance(known.get("name"), str) else _name(place, kind)
    kept = _of(known, description=str, tags=list, metadata=dict, createdAt=str, updatedAt=str)
    created = kept.get("createdAt") or _first_time(path) or iso(int(os.stat(place).st_mtime * 1000))
    document: dict[str, Any] = {
        **({"trackId": f"local-track-{name}"} if kind == TRACKS else {"metricId": f"local-metric-{name}"}),
        "name": name,
        "description": None,
        "tags": [],
        "metadata": None,
        **kept,
        "totalDataPoints": number,
        "nextIndex": number,
        "createdAt": created,
    }
    if not _is_foreign(kind, path):
        document["format"] = FORMAT
    lost = [key for key in ("description", "tags", "metadata") if key not in kept]
    return document, f"Made anew for {name!r} with {number} points" + (
        f"; not known: {', '.join(lost)}." if lost else "."
    )


def _name(place: str, kind: str) -> str:
    """A series' name as its folders tell it."""
    names: list[str] = []
    while os.path.basename(place) != kind and len(names) < 64:
        segment = os.path.basename(place)
        names.insert(0, decode_segment(segment) or segment)
        place = os.path.dirname(place)
    return "/".join(names)


def _first_time(path: str) -> str | None:
    with suppress(OSError, ValueError, RecursionError), open(path, "rb") as f:
        created = codec.loads(f.readline(_BLOCK)).get("createdAt")
        return created if isinstance(created, str) else None
    return None


def _run_anew(path: str, run: str, known: dict[str, Any]) -> tuple[dict[str, Any], str]:
    session = os.path.basename(path) == RECORDS["session"]
    key = _key(run, known)
    kept = _of(
        known,
        description=str,
        tags=list,
        bindrs=list,
        folder=str,
        metadata=dict,
        created_at=str,
        updated_at=str,
        write_protected=bool,
        archived=bool,
        id=str,
        status=str,
    )
    times = [kept.get("created_at"), *_times(run)]
    attempts = []
    for one in known.get("attempts") if isinstance(known.get("attempts"), list) else ():  # type: ignore[union-attr]
        with suppress(msgspec.ValidationError):
            attempts.append(msgspec.to_builtins(msgspec.convert(one, Attempt)))
    document = {
        "name": key.name,
        "workspace" if session else "project": key.project,
        "description": None,
        "tags": [],
        "folder": None,
        "metadata": None,
        "created_at": min((at for at in times if at), default=iso(int(os.stat(run).st_mtime * 1000))),
        "write_protected": False,
        "id": new_id(),
        **kept,
        "attempts": attempts,
        "format": FORMAT,
    }
    fields = ("id", "status", "description", "tags", "folder", "metadata", "created_at")
    lost = [field for field in fields if field not in kept]
    if document["id"].startswith(("foreign-", "copy-")):
        document["id"] = new_id()
    return document, f"Made anew for run {key.name!r} of {key.project!r}" + (
        f"; not known, and so as for a new run that is closed: {', '.join(lost)}." if lost else "."
    )


def _times(run: str) -> list[str]:
    """Times at which the run was there already."""
    paths = [os.path.join(run, _PARAMETERS)]
    paths += [os.path.join(os.path.dirname(path), META) for kind, path in _series(run) if kind != LOGS]
    found = []
    for path in paths:
        with suppress(CorruptData, NewerFormat, OSError):
            found.append((read_record(path) or {}).get("createdAt"))
    return [at for at in found if isinstance(at, str)]


def _files_anew(run: str, known: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The records that could be read, and one for every file whose record could not."""
    folder = os.path.join(run, "files")
    kept = [one for one in known.get("files") or [] if isinstance(one, dict) and one.get("id") and one.get("filename")]
    ids = {str(one["id"]) for one in kept}
    found = [record for record in _stored(folder) if record["id"] not in ids]
    told = f"{len(kept)} records could be read and are kept; {len(found)} were made anew from the files that are there"
    return {"files": [*kept, *found]}, told + (", without description, tags and metadata." if found else ".")


def _stored(folder: str) -> Iterator[dict[str, Any]]:
    """A record for every file below ``files/<prefix>/<id>/<filename>``."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        parts = os.path.relpath(place, folder).split(os.sep)
        at = next((i for i, part in enumerate(parts) if _FILE_ID.fullmatch(part)), None)
        for name in sorted(names) if at is not None else ():
            path = os.path.join(place, name)
            if at is None or os.path.islink(path):
                continue
            with open(path, "rb") as f:
                checksum, status = _sha256(f), os.fstat(f.fileno())
            when = iso(int(status.st_mtime * 1000))
            yield {
                "id": parts[at],
                "path": "/" + "/".join(decode_segment(part) or part for part in parts[:at]),
                "filename": "/".join(decode_segment(part) or part for part in [*parts[at + 1 :], name]),
                "description": None,
                "tags": [],
                "sizeBytes": status.st_size,
                "checksum": checksum,
                "metadata": None,
                "uploadedAt": when,
                "updatedAt": when,
                "deletedAt": None,
            }


# ---------------------------------------------------------------- repairs: processes and leftovers


def _end_run(finding: Finding) -> str:
    """Mark a run FAILED whose processes are gone."""
    store = LocalStore(os.path.dirname(os.path.dirname(finding.run)))
    try:
        run = store.get_run(_key(finding.run))
        folder = _folder(finding.run)
        if run.status != "RUNNING" or any(folder.alive(one) for one in run.attempts if one.ended_at is None):
            return "Nothing was left to do."
        for attempt in [one for one in run.attempts if one.ended_at is None]:
            run = store.update_run(run.id, RunPatch(leave=attempt.id, status="FAILED"))
        if run.status == "RUNNING":
            run = store.update_run(run.id, RunPatch(status="FAILED"))
    finally:
        store.close()
    for path in _presence(finding.run):
        if not folder.alive(_attempt(None, path)):
            os.unlink(path)
    return "The run is FAILED now. Opening it again goes on where it ended."


def _drop_presence(finding: Finding) -> str:
    folder = _folder(finding.run)
    run = folder.load()
    attempt = _attempt(run, finding.path)
    if folder.alive(attempt):
        return "Nothing was left to do: its process is there."
    if run is not None and attempt in run.attempts:
        store = LocalStore(os.path.dirname(os.path.dirname(finding.run)))
        try:
            store.update_run(store.get_run(_key(finding.run)).id, RunPatch(leave=attempt.id, status="FAILED"))
        finally:
            store.close()
    with suppress(FileNotFoundError):
        os.unlink(finding.path)
    return "Removed."


def _drop_leftover(finding: Finding) -> str:
    path = finding.path
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.basename(path) == TEMPORARY + "moving":
        with RunFolder(finding.run, RunKey("", "", "")).lock():
            _run_files(finding.run)._settle()  # noqa: SLF001  what its next call would do first
    elif _is_left(path):
        os.unlink(path)
    else:
        return "Nothing was left to do: its writer is there."
    return "Removed."


_REPAIRS: dict[str, Callable[[Finding], str]] = {
    "torn": _cut,
    "nul": _cut,
    "bad-line": _renumber,
    "irregular": _renumber,
    "interrupted": _resume,
    "record": _mend_record,
    "record-missing": _mend_record,
    "lost": _end_run,
    "stale-presence": _drop_presence,
    "leftover": _drop_leftover,
}
