"""Objects against a real S3, with a network that fails as a test says: what is certain after each call, and how long it takes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from ml_dash import codec
from ml_dash.errors import Conflict, CorruptData, InvalidInput, MlDashError, NotFound, Unavailable
from ml_dash.model import METRICS
from ml_dash.store.chunk import encode, rollups
from ml_dash.store.cold import BULK, CONCURRENCY, Cold
from ml_dash.store.cold_client import BROKEN
from tests.server.cutting_proxy import Answer, CutRequest, CuttingProxy, Lose, Pass, Request, Slow, Stall
from tests.services import Place

KEY = "chunks/run/ab/0.parquet"
DATA = bytes(range(256)) * 40
LATE = 20.0
"""Seconds of grace over a bound, for a loaded machine."""


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


@pytest.fixture
def place(s3_place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    s3_place.set(monkeypatch)
    return s3_place


@pytest.fixture
def cold(place: Place) -> Iterator[Cold]:
    cold = Cold(place.url)
    yield cold
    cold.close()


@pytest.fixture
def proxy(place: Place) -> Iterator[CuttingProxy]:
    with CuttingProxy(place.endpoint) as proxy:
        yield proxy


@pytest.fixture
def far(place: Place, proxy: CuttingProxy) -> Iterator[Cold]:
    """The same objects, behind the proxy; calls are over after 2 s, and none fails because others did."""
    cold = Cold(place.url, endpoint=proxy.url, timeout=2.0, pause=0.0)
    yield cold
    cold.close()


# ---------------------------------------------------------------- what is stored


def test_a_chunk_is_stored_once_and_reads_back(cold: Cold, place: Place) -> None:
    """The same chunk again is no error and changes nothing."""
    cold.put_chunk(KEY, DATA, digest(DATA))
    before = place.store().head(KEY)
    cold.put_chunk(KEY, DATA, digest(DATA))
    assert place.store().head(KEY)["last_modified"] == before["last_modified"]
    assert bytes(place.store().get(KEY).bytes()) == DATA == cold.verify(KEY, digest(DATA)) == cold.get(KEY)


def test_other_bytes_at_a_chunks_key_are_a_conflict_and_stay(cold: Cold, place: Place) -> None:
    place.store().put(KEY, b"other")
    with pytest.raises(Conflict, match="other bytes"):
        cold.put_chunk(KEY, DATA, digest(DATA))
    assert cold.get(KEY) == b"other"


def test_verify_tells_a_missing_object_from_a_damaged_one(cold: Cold, place: Place) -> None:
    assert cold.verify(KEY, digest(DATA)) is None
    place.store().put(KEY, DATA[:-1] + b"?")
    with pytest.raises(CorruptData, match="hash") as caught:
        cold.verify(KEY, digest(DATA))
    assert caught.value.path == f"{place.url}/{KEY}"


def test_verify_asks_the_store_and_not_the_memory(cold: Cold, place: Place) -> None:
    """What was read before does not hide damage."""
    cold.put_chunk(KEY, DATA, digest(DATA))
    cold.fetch(KEY, [(0, len(DATA))])
    place.store().put(KEY, b"damaged")
    with pytest.raises(CorruptData):
        cold.verify(KEY, digest(DATA))


def test_put_overwrites_and_what_was_kept_of_the_old_is_forgotten(cold: Cold) -> None:
    cold.put("runs/a.json", b"old")
    assert cold.fetch("runs/a.json", [(0, 3)]) == [b"old"]
    cold.put("runs/a.json", b"new")
    assert cold.fetch("runs/a.json", [(0, 3)]) == [b"new"]


def test_large_objects_go_in_and_out_whole(cold: Cold) -> None:
    data = bytes(range(251)) * (3 * BULK // 251)
    cold.put_chunk(KEY, data, digest(data))
    assert cold.get(KEY) == data
    cold.put(KEY, data[::-1])
    assert cold.fetch(KEY, [(5, 2 * BULK)]) == [data[::-1][5 : 5 + 2 * BULK]]


def test_keys_below_a_prefix_with_their_sizes(cold: Cold, place: Place) -> None:
    """A prefix is a folder: "chunks/a/" does not name what is in "chunks/ab/"."""
    for key, size in {"chunks/a/1": 1, "chunks/a/2": 2, "chunks/ab/3": 3, "runs/a.json": 4}.items():
        place.store().put(key, b"x" * size)
    assert sorted(cold.keys("chunks/a/")) == [("chunks/a/1", 1), ("chunks/a/2", 2)]
    assert len(list(cold.keys())) == 4
    assert list(cold.keys("nothing/")) == []


def test_delete_takes_keys_that_are_not_there(cold: Cold, place: Place) -> None:
    place.store().put("a/1", b"1")
    cold.delete(["a/0", "a/1", "a/2"])
    cold.delete([])
    assert list(cold.keys()) == []


def test_delete_prefix_deletes_more_than_a_page_and_nothing_else(cold: Cold, place: Place) -> None:
    store = place.store()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: store.put(f"chunks/a/{i}", b"x"), range(1_050)))
    store.put("chunks/b/1", b"x")
    assert cold.delete_prefix("chunks/a/") == 1_050
    assert [key for key, _ in cold.keys("")] == ["chunks/b/1"]
    assert cold.delete_prefix("chunks/a/") == 0


# ---------------------------------------------------------------- ranges


def test_ranges_come_in_the_order_asked_for(cold: Cold) -> None:
    """Overlapping, repeated and empty ones, too."""
    cold.put(KEY, DATA)
    ranges = [(5000, 10), (0, 10), (0, 10), (7, 0), (5, 5000), (8, 2), (len(DATA) - 1, 1)]
    assert cold.fetch(KEY, ranges) == [DATA[at : at + length] for at, length in ranges]
    big = DATA * 40
    cold.put("big", big)
    ranges = [(at, 100) for at in (300_000, 0, 100_000, 100_050, 200_000, 199_950)]
    assert cold.fetch("big", ranges) == [big[at : at + length] for at, length in ranges]
    assert cold.fetch(KEY, []) == []


@pytest.mark.parametrize("start", [len(DATA) - 5, len(DATA), len(DATA) + 100])
def test_a_range_beyond_the_end_is_damage(cold: Cold, start: int) -> None:
    """An object that is shorter than its manifest says must not read as fewer bytes."""
    cold.put(KEY, DATA)
    with pytest.raises(CorruptData, match="chunks/run/ab"):
        cold.fetch(KEY, [(0, 10), (start, 20)])


def test_a_missing_object_is_not_found(cold: Cold) -> None:
    for call in (lambda: cold.get(KEY), lambda: cold.fetch(KEY, [(0, 1)]), lambda: cold.fetch_many([(KEY, (0, 1))])):
        with pytest.raises(NotFound, match="no such object"):
            call()


def test_many_objects_at_once_in_the_order_asked_for(cold: Cold, place: Place) -> None:
    for i in range(50):
        place.store().put(f"o/{i}", f"{i:04d}{i + 1000:04d}".encode())
    wanted = [(f"o/{i}", at) for at in ((4, 4), (0, 4)) for i in range(50)]
    assert cold.fetch_many(wanted) == [f"{i + add:04d}".encode() for add in (1000, 0) for i in range(50)]


def test_one_that_is_missing_among_many_is_told(cold: Cold, place: Place) -> None:
    place.store().put("o/0", b"0")
    with pytest.raises(NotFound, match="o/1"):
        cold.fetch_many([("o/0", (0, 1)), ("o/1", (0, 1))])


def test_calls_run_at_once_but_not_all_of_them(cold: Cold) -> None:
    """`CONCURRENCY` bounds them."""
    now, most, mutex, full = 0, 0, threading.Lock(), threading.Event()

    def call() -> None:
        nonlocal now, most
        with mutex:
            now += 1
            most = max(most, now)
            if now == CONCURRENCY:
                full.set()
        assert full.wait(60)
        with mutex:
            now -= 1

    cold.each([call] * (2 * CONCURRENCY))
    assert most == CONCURRENCY


def test_what_was_fetched_is_not_asked_for_again(far: Cold, proxy: CuttingProxy) -> None:
    far.put(KEY, DATA)
    before = len(proxy.requests)
    far.fetch(KEY, [(0, 10), (20, 10)])
    assert far.fetch(KEY, [(20, 10), (0, 10)]) == [DATA[20:30], DATA[:10]]
    assert len(proxy.requests) == before + 1
    far.fetch(KEY, [(0, 11)])
    assert len(proxy.requests) == before + 2


def test_memory_stays_within_its_bound(place: Place) -> None:
    """However much is read, and the latest stays."""
    cold = Cold(place.url, memory=50_000)
    cold.put(KEY, DATA)
    for start in range(0, len(DATA) - 1000, 100):
        cold.fetch(KEY, [(start, 1000)])
        assert cold.cache.size <= 50_000
    hits = cold.cache.hits
    cold.fetch(KEY, [(start, 1000)])
    assert cold.cache.hits == hits + 1
    cold.close()
    assert cold.cache.size == 0


# ---------------------------------------------------------------- chunks

ROWS = [b'{"value": %d.5, "epoch": %d}' % (i, i // 10) for i in range(20_000)]


def test_a_chunk_opens_once_and_reads_what_it_needs(far: Cold, proxy: CuttingProxy) -> None:
    """Its footer is not fetched again, nor are columns that were read before."""
    made = encode(METRICS, 100, ROWS, [(100, 5)], {"run": "r"})
    far.put_chunk(KEY, made.data, digest(made.data))
    chunk = far.open_chunk(KEY, len(made.data))
    assert chunk.about == {"run": "r"}
    assert chunk.lines(150, 152) == codec.render(METRICS, 150, ROWS[50:52])
    before = len(proxy.requests)
    assert far.open_chunk(KEY, len(made.data)).lines(150, 152) == codec.render(METRICS, 150, ROWS[50:52])
    assert len(proxy.requests) == before


def test_a_chunk_that_is_gone_is_not_found(cold: Cold) -> None:
    """Also one that was open before: what is deleted is forgotten. Whoever asked looks at the manifest again."""
    made = encode(METRICS, 0, ROWS, [(0, 5)], {})
    cold.put_chunk(KEY, made.data, digest(made.data))
    cold.open_chunk(KEY, len(made.data))
    cold.delete([KEY])
    with pytest.raises(NotFound):
        cold.open_chunk(KEY, len(made.data))


def test_a_chunk_that_goes_while_it_is_open_is_damage(cold: Cold, place: Place) -> None:
    """Not "not found", which says that there is no such run; the next to ask for the chunk is told that its object is gone."""
    made = encode(METRICS, 0, [b'{"text": "%s"}' % os.urandom(20).hex().encode() for _ in range(20_000)], [(0, 5)], {})
    cold.put_chunk(KEY, made.data, digest(made.data))
    chunk = cold.open_chunk(KEY, len(made.data))
    place.store().delete(KEY)
    with pytest.raises(CorruptData, match="missing") as caught:
        chunk.lines(0, 10)
    assert caught.value.path == f"{cold.url}/{KEY}"
    with pytest.raises(NotFound):
        cold.open_chunk(KEY, len(made.data))


def _read_all(cold: Cold, size: int) -> None:
    chunk = cold.open_chunk(KEY, size)
    chunk.lines(0, len(ROWS))
    chunk.ticks(0, len(ROWS))
    rollups(cold.fetch(KEY, [chunk.rollup])[0], 0, len(ROWS), ["value", "epoch"], f"{cold.url}/{KEY}")


@pytest.mark.parametrize("at", [-5, -100, 0.3, 0.6])
def test_damage_to_a_chunk_is_told_when_its_place_is_read(cold: Cold, at: float) -> None:
    """A single bit, anywhere that is read; never other rows."""
    made = encode(METRICS, 0, ROWS, [(0, 5)], {})
    place = int(at * len(made.data)) if isinstance(at, float) else at
    data = bytearray(made.data)
    data[place] ^= 16
    cold.put(KEY, bytes(data))
    with pytest.raises(CorruptData) as caught:
        _read_all(cold, len(data))
    assert caught.value.path == f"{cold.url}/{KEY}"
    with pytest.raises(CorruptData):
        cold.verify(KEY, digest(made.data))


# ---------------------------------------------------------------- a network that fails

CALLS: dict[str, Callable[[Cold], object]] = {
    "get": lambda cold: cold.get(KEY),
    "fetch": lambda cold: cold.fetch(KEY, [(0, 5)]),
    "put": lambda cold: cold.put("other", b"x"),
    "put_chunk": lambda cold: cold.put_chunk("other", b"x", digest(b"x")),
    "keys": lambda cold: list(cold.keys("chunks/")),
    "delete": lambda cold: cold.delete(["other"]),
    "many": lambda cold: cold.fetch_many([(KEY, (0, 1)), ("o", (0, 1))]),
}
FAULTS: dict[str, Pass] = {
    "500": Answer(500, b"<Error><Code>InternalError</Code></Error>"),
    "503": Answer(503, b"<Error><Code>SlowDown</Code></Error>"),
    "cut before": CutRequest(10),
    "cut in the answer": Lose(after=60),
    "reset": Lose(reset=True),
    "stall": Stall(),
    "no HTTP": Answer(raw=b"\0\1\2 hello\r\n\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_an_outage_is_unavailable_within_the_time(place: Place, proxy: CuttingProxy, call: str, fault: str) -> None:
    """Never another error, never a hang; and as soon as it is over, the same call works."""
    for key in (KEY, "o"):
        place.store().put(key, DATA)
    cold = Cold(place.url, endpoint=proxy.url, timeout=1.0, pause=0.0)
    proxy.otherwise = FAULTS[fault]
    began = time.monotonic()
    with pytest.raises(Unavailable, match="s3://") as caught:
        CALLS[call](cold)
    assert time.monotonic() - began < 1.0 + LATE
    assert caught.value.retry_after
    proxy.heal()
    CALLS[call](cold)
    cold.close()


@pytest.mark.parametrize("call", CALLS)
def test_one_request_that_fails_is_not_noticed(place: Place, proxy: CuttingProxy, call: str) -> None:
    """It is sent again."""
    cold = Cold(place.url, endpoint=proxy.url, memory=0)
    for key in (KEY, "o"):
        place.store().put(key, DATA)
    for act in (Answer(500), Lose(), Answer(503), Lose(reset=True), Lose(after=200, reset=True), CutRequest(5)):
        proxy.plan(act)
        CALLS[call](cold)
        assert not proxy.left
    cold.close()


def test_nobody_at_the_port_is_unavailable(far: Cold, proxy: CuttingProxy) -> None:
    proxy.refuse()
    with pytest.raises(Unavailable, match="cannot be reached"):
        far.get(KEY)


def test_a_chunk_whose_put_had_its_effect_unheard_is_stored(far: Cold, proxy: CuttingProxy) -> None:
    """The retry finds the object there, reads it, and is content."""
    proxy.plan(Lose())
    far.put_chunk(KEY, DATA, digest(DATA))
    assert not proxy.left
    proxy.plan(Lose(), Lose(reset=True))
    far.put_chunk(KEY, DATA, digest(DATA))
    assert far.get(KEY) == DATA


def test_an_answer_that_ends_early_is_never_taken_for_the_whole(far: Cold, proxy: CuttingProxy) -> None:
    data = DATA * 20
    far.put(KEY, data)
    proxy.plan(Lose(after=5_000), Lose(after=100_000))
    assert far.get(KEY) == data
    proxy.plan(Lose(after=5_000))
    assert far.fetch(KEY, [(0, len(data))]) == [data]
    assert not proxy.left


def test_a_slow_answer_that_keeps_coming_is_awaited(far: Cold, proxy: CuttingProxy) -> None:
    """A large object takes its time; silence is what counts."""
    data = bytes(BULK + 100_000)
    far.put(KEY, data)
    proxy.plan(Slow(0.05, 16_384))
    assert far.get(KEY) == data
    assert not proxy.left


def test_after_failures_calls_fail_at_once_and_one_finds_out_when_it_is_over(place: Place, proxy: CuttingProxy) -> None:
    """Readers do not queue up behind a store that is down."""
    cold = Cold(place.url, endpoint=proxy.url, timeout=1.0, pause=0.5)
    cold.put(KEY, DATA)
    proxy.otherwise = Answer(503)
    for _ in range(BROKEN):
        with pytest.raises(Unavailable):
            cold.get(KEY)
    sent = len(proxy.requests)
    with pytest.raises(Unavailable, match="503") as caught:
        cold.get(KEY)
    assert caught.value.retry_after
    assert 0 < caught.value.retry_after <= 0.5
    assert len(proxy.requests) == sent
    proxy.heal()
    time.sleep(0.6)
    assert cold.get(KEY) == DATA == cold.get(KEY)
    cold.close()


def test_not_found_is_an_answer_and_no_failure(far: Cold) -> None:
    """However many, the store is not taken for broken."""
    slow = Cold(far.url, pause=60.0)
    for _ in range(2 * BROKEN):
        with pytest.raises(NotFound):
            slow.get("nothing")
    slow.put(KEY, DATA)
    assert slow.get(KEY) == DATA
    slow.close()


def test_every_call_is_told(place: Place, proxy: CuttingProxy) -> None:
    """Its name, how long it took, whether it worked; "no such object" is an answer."""
    told: list[tuple[str, bool]] = []
    cold = Cold(
        place.url,
        endpoint=proxy.url,
        timeout=1.0,
        on_call=lambda name, s, worked: told.append((name, worked and s >= 0)),
    )
    cold.put(KEY, DATA)
    with pytest.raises(NotFound):
        cold.get("nothing")
    proxy.otherwise = Answer(500)
    with pytest.raises(Unavailable):
        cold.fetch(KEY, [(0, 1)])
    assert told == [("put", True), ("get", True), ("fetch", False)]
    cold.close()


# ---------------------------------------------------------------- check


def test_check_finds_nothing_wrong_and_leaves_nothing_behind(cold: Cold) -> None:
    assert cold.check() == ""
    assert list(cold.keys()) == []


def test_check_tells_of_a_wrong_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    cold = Cold(place.url)
    assert "secret key" in (text := cold.check())
    assert "AWS_SECRET_ACCESS_KEY" in text
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "does not know the access key" in Cold(place.url).check()


def test_check_tells_of_a_bucket_that_is_not_there(place: Place) -> None:
    assert "no such bucket" in Cold("s3://nothing-of-this-name/prefix").check()
    with pytest.raises(Unavailable, match="no such bucket"):
        Cold("s3://nothing-of-this-name/prefix").get(KEY)


def test_check_tells_of_a_wrong_endpoint(place: Place, proxy: CuttingProxy) -> None:
    """Nobody there; something else there; TLS where there is none."""
    proxy.refuse()
    assert "cannot be reached" in Cold(place.url, endpoint=proxy.url, timeout=5.0).check()
    proxy.listen()
    assert "cannot be reached" in Cold(place.url, endpoint=proxy.url.replace("http:", "https:"), timeout=5.0).check()
    proxy.otherwise = Answer(200, b"<html>Welcome</html>", headers={"Content-Type": "text/html"})
    assert "not an object store" in Cold(place.url, endpoint=proxy.url, timeout=5.0).check()


def test_check_tells_of_clocks_that_are_apart(place: Place, far: Cold, proxy: CuttingProxy) -> None:
    """By how much, before S3 refuses; and when it refuses."""
    assert "-120 s from this machine's" in Cold(place.url, clock=lambda: time.time() + 120.4).check().replace(
        "-121", "-120"
    )
    proxy.otherwise = Answer(403, b"<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>")
    assert "Set the clock" in far.check()


@pytest.mark.parametrize("method", ["PUT", "GET", "POST"])
def test_check_tells_of_a_missing_right(far: Cold, proxy: CuttingProxy, method: str) -> None:
    """To write, to read or list, to delete."""
    proxy.only = lambda request: request.method == method
    proxy.otherwise = Answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
    assert "s3:DeleteObject" in far.check()


def test_check_tells_of_a_store_that_lets_objects_be_overwritten(far: Cold, proxy: CuttingProxy) -> None:
    """If-None-Match is what keeps two archivers apart."""
    far.put("anything", b"x")
    puts: list[Request] = []

    def second_put(request: Request) -> bool:
        puts.extend([request] if request.method == "PUT" else [])
        return request.method == "PUT" and len(puts) > 1

    proxy.only = second_put
    proxy.otherwise = Answer(200, headers={"ETag": '"abc"'})
    assert "If-None-Match" in far.check()


def test_check_tells_of_objects_that_stay(far: Cold, proxy: CuttingProxy) -> None:
    """Under a retention rule, say, which keeps what it says that it deleted."""
    far.put("kept", b"x")
    said = b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Deleted><Key>kept</Key></Deleted></DeleteResult>'
    proxy.only = lambda request: request.method == "POST"
    proxy.otherwise = Answer(200, said)
    assert "after it was deleted" in far.check()


# ---------------------------------------------------------------- other stores, wrong calls


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_folder_is_a_store_as_well(kind: str, tmp_path: Path) -> None:
    cold = Cold(f"file://{tmp_path}/cold" if kind == "file" else "memory:///")
    assert cold.check() == ""
    cold.put_chunk(KEY, DATA, digest(DATA))
    cold.put_chunk(KEY, DATA, digest(DATA))
    with pytest.raises(Conflict):
        cold.put_chunk(KEY, b"other", digest(b"other"))
    assert cold.fetch(KEY, [(3, 6), (0, 2)]) == [DATA[3:9], DATA[:2]]
    for ranges in ([(len(DATA) - 2, 4)], [(len(DATA) + 1, 1)], [(0, 1), (len(DATA) + 9, 1)]):
        with pytest.raises(CorruptData):
            cold.fetch(KEY, ranges)
    assert list(cold.keys("chunks/")) == [(KEY, len(DATA))]
    assert cold.delete_prefix("chunks/") == 1
    cold.delete([KEY])
    with pytest.raises(NotFound):
        cold.get(KEY)
    cold.close()


@pytest.mark.parametrize(
    "url", ["bucket", "s3://", "s3:///prefix", "http://host/bucket", "ftp://a/b", "file://", "az://container"]
)
def test_a_url_that_names_no_store_is_refused_with_the_forms_that_do(url: str) -> None:
    with pytest.raises(InvalidInput, match="s3:"):
        Cold(url)


def test_an_endpoint_has_to_be_a_url(place: Place) -> None:
    with pytest.raises(InvalidInput, match="endpoint: expected a URL"):
        Cold(place.url, endpoint="localhost:9000")


def test_a_key_that_no_store_can_hold_is_refused(cold: Cold) -> None:
    with pytest.raises(InvalidInput, match="such a key"):
        cold.get("a/../b")


def test_any_thread_may_use_it(cold: Cold) -> None:
    """Eight at once write, read and delete objects of their own and one that all share."""
    cold.put("shared", DATA)

    def work(i: int) -> None:
        for n in range(5):
            key, data = f"t/{i}/{n}", DATA[i * 10 :]
            cold.put_chunk(key, data, digest(data))
            assert cold.fetch_many([(key, (0, 100)), ("shared", (n, 50))]) == [data[:100], DATA[n : n + 50]]
            cold.delete([key])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert [key for key, _ in cold.keys("")] == ["shared"]


def test_errors_of_the_store_are_ours(far: Cold, proxy: CuttingProxy) -> None:
    """Whatever status comes, with whatever body."""
    for status in (301, 307, 400, 401, 403, 404, 405, 409, 411, 413, 416, 429, 501, 504):
        for body in (b"", b"<Error><Code>Odd</Code></Error>", b"<html>no</html>"):
            proxy.otherwise = Answer(status, body)
            for call in ("get", "put", "keys"):
                with pytest.raises(MlDashError):
                    CALLS[call](far)
