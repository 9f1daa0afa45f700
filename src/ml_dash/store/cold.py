"""The cold tier's objects, in S3 or its like: bytes by key, whole or by ranges, and what is certain after each call.

Objects under ``chunks/`` never change once they are there, so pieces of them are kept in memory. No MongoDB, no manifest and
no Parquet beyond `open_chunk` come in here. Imports obstore: import this module where a store is opened.

**Time.** No call hangs. One that moves `BULK` bytes at most ends within `timeout`, its retries included; a larger one within
`LONGER` times that, and its reading sooner where nothing comes for a while. After `BROKEN` failures in a row calls fail at
once, but for one every `pause` seconds that finds out whether the store is back: threads that serve readers do not pile up.
"""

from __future__ import annotations

import secrets
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from obstore import exceptions
from obstore.store import S3Store

from ml_dash.errors import Conflict, CorruptData, MlDashError, NotFound, Unavailable
from ml_dash.store.chunk import Chunk
from ml_dash.store.cold_cache import ColdCache
from ml_dash.store.cold_client import RETRYING, Breaker, connect
from ml_dash.store.cold_errors import in_words, passing

if TYPE_CHECKING:
    from obstore import ObjectMeta

Range = tuple[int, int]
"""(offset, length) of bytes of an object."""
_PARSED = 3
"""Memory that an open chunk takes, over the bytes that were read to open it."""
_OPENED = (-1, -1)
"""Stands in the memory for a chunk that is open."""
T = TypeVar("T")

TIMEOUT = 10.0
BULK = 1 << 20
MEMORY = 256 << 20
CONCURRENCY = 32
_GAP = 64 << 10
"""Bytes between two ranges of an object that are sooner fetched along than asked for apart."""
_PAGE = 1000
"""Keys of one request that lists or deletes."""
_SKEW = 60.0
"""Seconds between two clocks that `check` tells of."""


class Cold:
    """The objects below `url`: ``s3://bucket/prefix``, or ``gs://``, ``az://``, ``file:///folder``.

    `endpoint` is that of an S3 which is not Amazon's, as ``http://127.0.0.1:9000``. `timeout` (s) bounds each call, as the
    module's text tells. `memory` bounds, in bytes, what is kept of objects. `clock` gives unix seconds. `on_call` is told of
    every call: its name, its seconds, whether it worked. Nothing is sent before the first call. Any thread may use it; a child
    after a fork needs its own.
    """

    def __init__(
        self,
        url: str,
        *,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        memory: int = MEMORY,
        pause: float = 1.0,
        clock: Callable[[], float] = time.time,
        on_call: Callable[[str, float, bool], None] = lambda _name, _seconds, _worked: None,
    ) -> None:
        self.url = url.rstrip("/")
        self.cache = ColdCache(memory)
        self._clock = clock
        self._on_call = on_call
        self._retrying = timeout * RETRYING
        self._breaker = Breaker(pause)
        self.store, self.writes, self.reads = connect(url, endpoint, timeout)
        """For what is small; for large objects (a request that stalls while it is sent is found out late); for large answers
        (found out early where nothing comes)."""
        self._pool: ThreadPoolExecutor | None = None
        self._mutex = threading.Lock()

    def close(self) -> None:
        """Let threads and memory go."""
        with self._mutex:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        self.cache.clear()

    @contextmanager
    def calling(self, name: str, key: str = "") -> Iterator[None]:
        """Around any call of obstore on this store: errors become ours, outages are noticed, `on_call` hears of it."""
        self._breaker.check()
        began, worked = time.monotonic(), False
        try:
            with in_words(self.url, key):
                yield
            worked = True
        except Unavailable as e:
            if passing(e):
                self._breaker.failed(e)
            raise
        except MlDashError:
            worked = True  # it has answered
            raise
        finally:
            if worked:
                self._breaker.worked()
            self._on_call(name, time.monotonic() - began, worked)

    def _ask(self, name: str, key: str, call: Callable[[], T]) -> T:
        """What `call` gives, which may be made more than once: obstore gives up at a connection that breaks after it has sent
        what is not idempotent by HTTP's own rules, and where an answer's body breaks off."""
        with self.calling(name, key):
            until = time.monotonic() + self._retrying
            while True:
                try:
                    return call()
                except exceptions.GenericError as e:
                    if "HttpError {" not in str(e) or time.monotonic() >= until:
                        raise
                time.sleep(self._retrying / 20)

    # ------------------------------------------------------------ writing

    def put_chunk(self, key: str, data: bytes, digest: str) -> None:
        """Store `data`, whose SHA-256 is `digest` (hex), unless it is there already. Raises `Conflict` where other bytes are."""
        store = self.writes if len(data) > BULK else self.store
        try:
            self._ask("put", key, lambda: store.put(key, data, mode="create", use_multipart=False))
        except Conflict:
            if sha256(self.get(key)).hexdigest() != digest:
                raise Conflict(f"{self.url}/{key}: there are other bytes at this key already.") from None

    def verify(self, key: str, digest: str) -> bytes | None:
        """The object, read back from the store, not from memory; None where there is none. Raises `CorruptData` where it is not
        what has the SHA-256 `digest` (hex)."""
        try:
            data = self.get(key)
        except NotFound:
            return None
        found = sha256(data).hexdigest()
        if found != digest:
            raise CorruptData(
                f"{self.url}/{key}", 0, f"the object has the hash {found}, not the {digest} of what was written,"
            )
        return data

    def put(self, key: str, data: bytes) -> None:
        """Store `data`, over whatever is there."""
        store = self.writes if len(data) > BULK else self.store
        self._ask("put", key, lambda: store.put(key, data, mode="overwrite", use_multipart=False))
        self.cache.forget([key])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the objects that are there."""
        left = iter(keys)
        while some := list(islice(left, _PAGE)):
            self.cache.forget(some)
            if isinstance(self.store, S3Store):
                self._ask("delete", some[0], partial(self.store.delete, some))
            else:  # these fail at the first that is not there
                for key in some:
                    with suppress(NotFound):
                        self._ask("delete", key, partial(self.store.delete, key))

    def delete_prefix(self, prefix: str) -> int:
        """Delete all objects below `prefix`, which ends in "/"; how many there were."""
        count, left = 0, self.keys(prefix)
        while some := [key for key, _ in islice(left, _PAGE)]:
            self.delete(some)
            count += len(some)
        return count

    # ------------------------------------------------------------ reading

    def get(self, key: str) -> bytes:
        """The whole object. Raises `NotFound`."""
        return self._ask("get", key, lambda: bytes(self.reads.get(key).bytes()))

    def fetch(self, key: str, ranges: Sequence[Range]) -> list[bytes]:
        """The bytes of the object in each range; what is in memory is not asked for again. Raises `NotFound`, and `CorruptData`
        where the object ends before."""
        found: dict[Range, bytes] = {}
        for at, length in set(ranges):
            data = self.cache.get((key, at, length)) if length > 0 else b""
            if data is not None:
                found[at, length] = data
        wanted = sorted(set(ranges).difference(found))
        if wanted:
            found.update(zip(wanted, self._fetch(key, wanted), strict=True))
        return [found[one] for one in ranges]

    def _fetch(self, key: str, wanted: Sequence[Range]) -> list[bytes]:
        """Ranges in order of their offsets; neighbours in one request. (obstore, left to join them, panics at a short object.)"""
        starts: list[int] = []
        stops: list[int] = []
        for at, length in wanted:
            if stops and at - stops[-1] <= _GAP:
                stops[-1] = max(stops[-1], at + length)
            else:
                starts.append(at)
                stops.append(at + length)
        store = self.reads if sum(stops) - sum(starts) > BULK else self.store
        parts = self._ask("fetch", key, lambda: store.get_ranges(key, starts=starts, ends=stops, coalesce=0))
        for start, stop, part in zip(starts, stops, parts, strict=True):
            if len(part) != stop - start:
                raise CorruptData(f"{self.url}/{key}", start + len(part), "the object ends too early,")
        pieces = []
        for at, length in wanted:
            i = bisect_right(starts, at) - 1
            # A copy, since a view would keep alive all that was fetched along.
            piece = bytes(memoryview(parts[i])[at - starts[i] : at - starts[i] + length])
            self.cache.put((key, at, length), piece, length)
            pieces.append(piece)
        return pieces

    def fetch_many(self, wanted: Sequence[tuple[str, Range]]) -> list[bytes]:
        """As `fetch`, of many objects, `CONCURRENCY` at once."""
        ranges: dict[str, list[Range]] = {}
        for key, one in wanted:
            ranges.setdefault(key, []).append(one)
        found = self.each([partial(self.fetch, key, some) for key, some in ranges.items()])
        pieces = {key: iter(some) for key, some in zip(ranges, found, strict=True)}
        return [next(pieces[key]) for key, _ in wanted]

    def each(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What each call gives, `CONCURRENCY` of them at once. Raises what the first that fails raises."""
        if len(calls) < 2:
            return [call() for call in calls]
        futures = [self._workers().submit(call) for call in calls]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _workers(self) -> ThreadPoolExecutor:
        with self._mutex:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="ml-dash cold")
            return self._pool

    def open_chunk(self, key: str, size: int) -> Chunk:
        """The chunk, which takes `size` bytes. Raises `NotFound` where its object is missing: the manifest may know of another.
        A chunk that is open raises `CorruptData` then, as it does for bytes that are not what was written."""
        found: Chunk | None = self.cache.get((key, *_OPENED))
        if found is not None:
            return found
        taken, opened, origin = 0, False, f"{self.url}/{key}"

        def fetch(ranges: Sequence[Range]) -> list[bytes]:
            nonlocal taken
            try:
                got = self.fetch(key, ranges)
            except NotFound as e:
                self.cache.forget([key])
                if opened:
                    raise CorruptData(origin, ranges[0][0], "the object is missing, asked for") from e
                raise
            taken += sum(map(len, got))
            return got

        try:
            found = Chunk(fetch, size, origin)
        except CorruptData:
            self.cache.forget([key])  # it may be mended
            raise
        opened = True
        self.cache.put((key, *_OPENED), found, taken * _PARSED)
        return found

    def keys(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """(key, size) of every object below `prefix`, which is "" or ends in "/"."""
        pages = self._pages(prefix) if isinstance(self.store, S3Store) else self._stream(prefix)
        for page in pages:
            yield from ((one["path"], one["size"]) for one in page)

    def _pages(self, prefix: str) -> Iterator[Sequence[ObjectMeta]]:
        """Each page asked for by itself, behind the last key of the one before, so that one that breaks off is asked for again."""
        last: str | None = None

        def ask(offset: str | None) -> Sequence[ObjectMeta]:
            return next(self.store.list(prefix, offset=offset, chunk_size=_PAGE), ())

        while True:
            page = self._ask("list", prefix, partial(ask, last))
            yield page
            if len(page) < _PAGE:
                return
            last = page[-1]["path"]

    def _stream(self, prefix: str) -> Iterator[Sequence[ObjectMeta]]:
        """Where keys have no order, or a listing cannot begin in the middle."""
        with self.calling("list", prefix):
            pages = iter(self.store.list(prefix, chunk_size=_PAGE))
        while True:
            with self.calling("list", prefix):
                page = next(pages, None)
            if page is None:
                return
            yield page

    # ------------------------------------------------------------ is all well?

    def check(self) -> str:
        """An empty text where this store can do all that is needed, else what is wrong and what to do."""
        key, data = f"check/{secrets.token_hex(8)}", b"ml-dash"
        try:
            next(self.keys("check/"), None)
            self.put_chunk(key, data, sha256(data).hexdigest())
            wrong = self._check_create(key) or self._check_clock(key)
            if self.get(key) != data:
                wrong = f"{self.url}: an object reads back as something else than was written. Do not use this store."
            self.delete([key])
            if not wrong and self._there(key):
                wrong = f"{self.url}: an object is there after it was deleted. Allow s3:DeleteObject, and switch retention off."
        except MlDashError as e:
            return str(e)
        return wrong

    def _check_create(self, key: str) -> str:
        """Whether a second object is kept out where one is; without that, two archivers could be at odds."""
        try:
            with self.calling("put", key):
                self.store.put(key, b"other", mode="create", use_multipart=False)
        except Conflict:
            return ""
        return f"{self.url}: it does not honour If-None-Match: *. Use a store, or a version of it, that does."

    def _check_clock(self, key: str) -> str:
        with self.calling("head", key):
            there = self.store.head(key)["last_modified"].timestamp()
        apart = there - self._clock()
        if abs(apart) <= _SKEW:
            return ""
        return f"{self.url}: its clock is {apart:+.0f} s from this machine's. Set both by NTP; S3 refuses requests at 15 minutes."

    def _there(self, key: str) -> bool:
        try:
            self.get(key)
        except NotFound:
            return False
        return True
