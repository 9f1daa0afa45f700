"""Going through all that a bucket and a database hold, in bounded memory: objects page by page, documents page by page, objects
read beside each other. What is looked for is `tier_recovery`'s and `tier_verify`'s to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from pymongo.collection import Collection

from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.hot_documents import Document
from ml_dash.store.tier_keys import first_of

THREADS = 8
IN_FLIGHT = 64 << 20
"""Bytes of objects that are read at one time; what they become in memory is a few times that."""
PAGE = 200
"""Documents of one query."""

T = TypeVar("T")
R = TypeVar("R")


class Object(NamedTuple):
    """An object as a listing tells it; `age` in seconds."""

    key: str
    size: int
    age: float


class ChunkObject(NamedTuple):
    """An object that by its key is the chunk of rows [first, stop) of a series."""

    run: str
    sid: bytes
    first: int
    stop: int
    key: str
    size: int


def side_by_side(items: Iterable[T], work: Callable[[T], R], weigh: Callable[[T], int]) -> Iterator[tuple[T, R]]:
    """Each item with what `work` makes of it, in their order, a few at a time: `weigh` tells how many bytes an item takes."""
    ahead: deque[tuple[T, int, Future[R]]] = deque()
    taken = 0
    with ThreadPoolExecutor(THREADS, thread_name_prefix="ml-dash walk") as pool:
        try:
            for item in items:
                size = weigh(item)
                while ahead and (taken + size > IN_FLIGHT or len(ahead) >= 2 * THREADS):
                    done, weight, future = ahead.popleft()
                    taken -= weight
                    yield done, future.result()
                ahead.append((item, size, pool.submit(work, item)))
                taken += size
            while ahead:
                done, _, future = ahead.popleft()
                yield done, future.result()
        finally:
            for _, _, future in ahead:
                future.cancel()


def folders(cold: Cold, prefix: str) -> list[str]:
    """The names directly below `prefix`, of objects and of what is like a folder, in order."""
    with cold.calling("list", prefix):
        found = cold.store.list_with_delimiter(prefix)
    paths = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
    names = {path.rstrip("/").removeprefix(prefix) for path in paths}
    return sorted(names - {"", prefix.rstrip("/")})  # some stores list a folder that has become empty, itself


def objects(cold: Cold, prefix: str, now: float) -> Iterator[Object]:
    """Every object below `prefix`, which ends in "/"; `now` in unix seconds."""
    with cold.calling("list", prefix):
        pages = iter(cold.store.list(prefix, chunk_size=1000))
    while True:
        with cold.calling("list", prefix):
            page = next(pages, None)
        if page is None:
            return
        for one in page:
            yield Object(one["path"], one["size"], now - one["last_modified"].timestamp())


def chunk_object(key: str, size: int) -> ChunkObject | None:
    """What a key under ``chunks/`` says; None where no archiver makes such a key."""
    match key.split("/"):
        case ["chunks", run, series, name] if name.endswith(".parquet"):
            first, _, rest = name.partition("-")
            stop = rest.partition("-")[0]
            try:
                return ChunkObject(run, bytes.fromhex(series), int(first), int(stop), key, size)
            except ValueError:
                return None
    return None


def documents(hot: Hot, collection: Collection[Document], fields: Sequence[str]) -> Iterator[Document]:
    """All documents, in the order of their ids. Page by page: what is done between may take longer than a cursor lives."""
    query: dict[str, Any] = {}
    while True:
        with hot.asking():
            page = list(collection.find(query, dict.fromkeys(fields, 1)).sort("_id", 1).limit(PAGE))
        yield from page
        if len(page) < PAGE:
            return
        query = {"_id": {"$gt": page[-1]["_id"]}}


def index_of(document: Document) -> int:
    """The first index of what a document is about."""
    return first_of(document["_id"])
