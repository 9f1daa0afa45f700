"""TieredFiles: the contract's files over a real MongoDB and a real S3, and what outages, deaths and other servers may not break."""

from __future__ import annotations

import io
import multiprocessing
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from ml_dash.errors import CorruptData, FileMissing, InvalidInput, NotFound, Unavailable
from ml_dash.model import FilePatch, FilePut, FileRecord, RunPatch
from ml_dash.store.base import Store
from ml_dash.store.cold import Cold
from ml_dash.store.hot import Hot
from ml_dash.store.memory import MemoryStore
from ml_dash.testing import FileContract, contents, in_threads, same
from tests.server.cutting_proxy import Answer, CutRequest, CuttingProxy, Pass
from tests.server.zeros import zeros
from tests.services import Place, TcpProxy
from tests.tiered import file_children
from tests.tiered.runs_and_files import RunsAndFiles

KB, MB = 1 << 10, 1 << 20
SPAWN = multiprocessing.get_context("spawn")


class _Services:
    """A database and a place of a test's own."""

    @pytest.fixture(autouse=True)
    def services(self, fresh_database: Callable[[], str], s3_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uri, self.place, self.runs = fresh_database(), s3_place, MemoryStore()
        self.place.set(monkeypatch)

    def made(self, uri: str | None = None, endpoint: str | None = None, **options: Any) -> RunsAndFiles:
        """One server's store. Pieces are of 64 KB, so that small files have many."""
        hot = Hot(uri or self.uri, timeout=options.pop("timeout", 15.0))
        cold = Cold(self.place.url, endpoint=endpoint, timeout=options.pop("cold_timeout", 10.0))
        return RunsAndFiles(self.runs, hot, cold, **{"piece": 64 * KB, **options})

    def objects(self) -> list[str]:
        """The keys of all objects, by other means."""
        return [one["path"] for page in self.place.store().list() for one in page]


class TestContract(_Services, FileContract):
    """The contract's files."""

    def open(self, tmp_path: Path) -> Store:
        return self.made()

    def reopen(self, tmp_path: Path) -> Store | None:
        return self.made()


@pytest.fixture
def noise() -> bytes:
    """A bit more than ten pieces."""
    return random.Random(1).randbytes(10 * 64 * KB + 100)


def named(content: bytes, name: str = "f", file: str = "put-1") -> FilePut:
    """A put that may go on where it broke."""
    return FilePut(name, id=file, checksum=sha256(content).hexdigest())


class Source(io.BytesIO):
    """Bytes that count how many of them were read, and fail at `fail_at`."""

    def __init__(self, content: bytes, fail_at: int | None = None) -> None:
        super().__init__(content)
        self.fail_at = fail_at
        self.count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if self.fail_at is not None and self.tell() + (size or 0) > self.fail_at:
            raise ConnectionResetError("the client went away")
        block = super().read(min(size or 0, 7_919))
        self.count += len(block)
        return block


class TestBytes(_Services):
    """How bytes get there and back."""

    @pytest.fixture
    def store(self) -> Iterator[RunsAndFiles]:
        store = self.made()
        yield store
        store.close()

    @pytest.fixture
    def run(self, store: RunsAndFiles) -> str:
        return store.put_run(FileContract().key("run"), RunPatch()).id

    def test_memory_is_bounded(self, run: str) -> None:
        """A file of 400 MB goes in and comes back with less than 120 MB of memory more."""
        store = self.made(piece=8 * MB)
        size = 400 * MB
        store.put_file(run, zeros(20 * MB), FilePut("warm"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        record = store.put_file(run, zeros(size), FilePut("zeros"))
        _, stream = store.get_file(run, record.id)
        with stream:
            assert sum(len(block) for block in iter(lambda: stream.read(MB), b"")) == size
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120 * KB
        store.close()

    def test_any_range_is_read(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """Wherever a reader seeks, what comes are the bytes there."""
        record = store.put_file(run, io.BytesIO(noise), FilePut("f"))
        rng = random.Random(2)
        _, stream = store.get_file(run, record.id)
        with stream:
            assert stream.seekable()
            for _ in range(60):
                first, size = rng.randrange(len(noise) + 10), rng.choice([1, 1000, 100_000])
                assert stream.seek(first) == first
                assert stream.read(size) == noise[first : first + size]
            assert stream.seek(-5, io.SEEK_END) == len(noise) - 5
            assert stream.read() == noise[-5:]

    def test_bytes_that_were_changed_are_told(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """Whoever reads all of a damaged file gets `CorruptData` in place of its end; one that is cut short, sooner."""
        record = store.put_file(run, io.BytesIO(noise), FilePut("f"))
        key = sorted(self.objects())[3]
        data = bytearray(self.place.store().get(key).bytes())
        data[5] ^= 1
        for damaged in (bytes(data), bytes(data[:-1])):
            self.place.store().put(key, damaged)
            _, stream = store.get_file(run, record.id)
            with stream, pytest.raises(CorruptData):
                sum(len(block) for block in iter(lambda: stream.read(10_000), b""))  # noqa: B023  used at once

    def test_an_object_that_is_gone_is_told(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """A live file without its bytes is damaged; one that was deleted in the middle of a read is missing."""
        record = store.put_file(run, io.BytesIO(noise), FilePut("f"))
        store.cold.delete_prefix("files/")
        deleted = store.put_file(run, io.BytesIO(noise), FilePut("g"))
        streams = [store.get_file(run, file.id)[1] for file in (record, deleted)]
        store.update_file(run, deleted.id, FilePatch(deleted=True))
        for stream, error in zip(streams, (CorruptData, FileMissing), strict=True):
            with stream, pytest.raises(error):
                stream.read()

    def test_values_beyond_64_bits_are_kept(self, store: RunsAndFiles, run: str) -> None:
        """Metadata keep what BSON has no room for."""
        metadata = {"huge": 1 << 80, "none": None, "nan": [float("nan")], "a.b": {"$set": "NaN"}}
        record = store.put_file(run, io.BytesIO(b"x"), FilePut("f", metadata=metadata))
        assert same(store.find_files(run), [record])
        assert same(record.metadata, metadata)

    def test_more_than_a_document_holds_is_refused(self, store: RunsAndFiles, run: str) -> None:
        """What is said of a file has a limit, and the error says so; it is not an outage that one waits for."""
        record = store.put_file(run, io.BytesIO(b"x"), FilePut("f"))
        with pytest.raises(InvalidInput, match="metadata"):
            store.update_file(run, record.id, FilePatch(metadata={"x": "y" * (5 * MB)}))
        assert same(store.find_files(run), [record])

    def test_a_checksum_is_held_to(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """Bytes that are not those which were announced are stored nowhere."""
        for put in (named(b"other"), FilePut("f", checksum="0" * 64)):
            with pytest.raises(InvalidInput, match="sha256"):
                store.put_file(run, io.BytesIO(noise), put)
        assert store.find_files(run) == []
        assert self.objects() == []


class TestGoingOn(_Services):
    """Uploads that break."""

    @pytest.fixture
    def store(self) -> Iterator[RunsAndFiles]:
        store = self.made()
        yield store
        store.close()

    @pytest.fixture
    def run(self, store: RunsAndFiles) -> str:
        return store.put_run(FileContract().key("run"), RunPatch()).id

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_a_put_that_broke_goes_on(self, store: RunsAndFiles, run: str, noise: bytes, *, elsewhere: bool) -> None:
        """No byte is read twice, however often it breaks, also where another server goes on. Nothing is seen before the end."""
        other = self.made() if elsewhere else store
        read = 0
        for i, fail_at in enumerate([50_000, 120_000, 120_001, 400_000, len(noise)]):
            source = Source(noise, fail_at)
            with pytest.raises(ConnectionResetError):
                (store, other)[i % 2].put_file(run, source, named(noise))
            read += source.count
            assert store.find_files(run) == []
        source = Source(noise)
        record = store.put_file(run, source, named(noise))
        assert read + source.count == len(noise)
        assert (record.size_bytes, record.checksum) == (len(noise), sha256(noise).hexdigest())
        assert contents(other, run, record) == noise
        assert store.hot.db["uploads"].count_documents({}) == 0
        if elsewhere:
            other.close()

    def test_a_put_that_is_stored_is_not_read_again(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """Nor does its retry bring anything back."""
        record = store.put_file(run, io.BytesIO(noise), named(noise))
        source = Source(noise)
        assert same(store.put_file(run, source, named(noise)), record)
        store.update_file(run, record.id, FilePatch(deleted=True))
        assert store.put_file(run, source, named(noise)).deleted_at is not None
        assert source.count == 0
        assert self.objects() == []

    def test_other_content_begins_anew(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """What was kept of one content never becomes part of another, whether that is announced or not."""
        other = noise[::-1]
        with pytest.raises(ConnectionResetError):
            store.put_file(run, Source(noise, 300_000), named(noise))
        source = Source(other)
        record = store.put_file(run, source, named(other))
        assert source.count == len(other)
        assert contents(store, run, record) == other
        with pytest.raises(ConnectionResetError):
            store.put_file(run, Source(noise, 300_000), named(noise, "g", "put-2"))
        with pytest.raises(InvalidInput, match="sha256"):
            store.put_file(run, Source(other), named(noise, "g", "put-2"))
        assert contents(store, run, store.put_file(run, Source(noise), named(noise, "g", "put-2"))) == noise

    def test_a_piece_that_was_lost_is_sent_again(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """Damage to what was kept costs a beginning, not a file."""
        other = self.made()  # which has to read it back
        with pytest.raises(ConnectionResetError):
            store.put_file(run, Source(noise, 300_000), named(noise))
        self.place.store().delete(self.objects()[1])
        with pytest.raises(Unavailable, match="damaged"):
            other.put_file(run, Source(noise), named(noise))
        assert contents(store, run, other.put_file(run, Source(noise), named(noise))) == noise
        other.close()

    def test_two_that_send_one_file(self, store: RunsAndFiles, run: str, noise: bytes) -> None:
        """Of two writers of one upload the one that falls behind is asked to come again; the file is whole, once."""
        other = self.made()
        slow = Source(noise)
        done: list[FileRecord] = []

        def meanwhile(size: int | None = -1) -> bytes:
            if slow.tell() > 200_000 and not done:
                done.append(other.put_file(run, Source(noise), named(noise)))
            return Source.read(slow, size)

        slow.read = meanwhile  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="somebody else"):
            store.put_file(run, slow, named(noise))
        assert same(store.put_file(run, Source(noise), named(noise)), done[0])
        assert contents(store, run, done[0]) == noise
        other.close()


class TestNames(_Services):
    """One live file of a name, whoever puts and deletes."""

    def test_processes_put_one_name(self) -> None:
        """Two servers put into one run at once: one file of the shared name is left, all of the others, in the order of puts."""
        store = self.made()
        run = store.put_run(FileContract().key("run"), RunPatch()).id
        arguments = (self.uri, self.place.url, self.place.env, run)
        others = [SPAWN.Process(target=file_children.put_many, args=(*arguments, i, 12)) for i in range(2)]
        for process in others:
            process.start()
        for process in others:
            process.join()
            assert process.exitcode == 0
        files = store.find_files(run)
        assert sorted(f.filename for f in files) == sorted(["same", *(f"{p}-{i}" for p in range(2) for i in range(12))])
        for number in range(2):
            own = [f.filename for f in files if f.filename.startswith(f"{number}-")]
            assert own == [f"{number}-{i}" for i in range(12)]
        assert contents(store, run, next(f for f in files if f.filename == "same")).endswith(b"-11")
        store.close()

    def test_a_name_always_has_a_file(self) -> None:
        """While many replace one file, every reader finds exactly one of that name, whole."""
        store = self.made()
        run = store.put_run(FileContract().key("run"), RunPatch()).id
        store.put_file(run, io.BytesIO(b"first"), FilePut("same"))

        def look() -> Callable[[], None]:
            def check() -> None:
                assert [f.filename for f in store.find_files(run)] == ["same"]

            return check

        def put(thread: int) -> None:
            for i in range(3):
                store.put_file(run, io.BytesIO(b"%d-%d" % (thread, i)), FilePut("same"))

        in_threads(put, beside=look)
        store.close()

    def test_what_was_replaced_never_comes_back(self) -> None:
        """Also where the server died before it had marked the old file, and the new one is deleted."""
        store = self.made(linger=0.0)
        run = store.put_run(FileContract().key("run"), RunPatch()).id
        old = store.put_file(run, io.BytesIO(b"old"), FilePut("f", id="old"))
        put = FilePut("f", id="new")
        child = SPAWN.Process(
            target=file_children.put_and_die,
            args=(self.uri, self.place.url, self.place.env, run, "_tidy", put, b"new"),
        )
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert [f.id for f in store.find_files(run)] == ["new"]
        with pytest.raises(FileMissing):
            store.get_file(run, old.id)
        assert store.put_file(run, io.BytesIO(b"old"), FilePut("f", id="old")).deleted_at is not None
        store.update_file(run, "new", FilePatch(deleted=True))
        assert store.find_files(run) == []
        store.collect(0.0)
        assert self.objects() == []
        store.close()


class TestFaults(_Services):
    """What is broken while files are put."""

    @pytest.fixture
    def run(self) -> str:
        return self.runs.put_run(FileContract().key("run"), RunPatch()).id

    @pytest.mark.parametrize("act", [CutRequest(30_000), Answer(500), Answer(503)])
    def test_s3_fails_for_a_moment(self, run: str, noise: bytes, act: Pass) -> None:
        """A connection that is cut in the middle of a piece, and an error, are tried again."""
        with CuttingProxy(self.place.endpoint) as proxy:
            proxy.only = lambda request: request.method == "PUT"
            store = self.made(endpoint=proxy.url)
            proxy.plan(Pass(), act, Pass(), act, act)
            record = store.put_file(run, io.BytesIO(noise), FilePut("f"))
            assert proxy.left == 0
            assert contents(store, run, record) == noise
            store.close()

    def test_s3_is_away(self, run: str, noise: bytes) -> None:
        """`Unavailable` within a bounded time, the file that is there stays, and the put works once S3 is back."""
        with CuttingProxy(self.place.endpoint) as proxy:
            store = self.made(endpoint=proxy.url, cold_timeout=4.0)
            old = store.put_file(run, io.BytesIO(b"old"), FilePut("f"))
            proxy.refuse()
            began = time.monotonic()
            with pytest.raises(Unavailable) as told:
                store.put_file(run, io.BytesIO(noise), FilePut("f"))
            retry_after = told.value.retry_after
            assert retry_after is not None
            with pytest.raises(Unavailable):
                contents(store, run, old)
            assert time.monotonic() - began < 60
            proxy.listen()
            assert same(store.find_files(run), [old])
            time.sleep(retry_after)
            assert contents(store, run, store.put_file(run, io.BytesIO(noise), FilePut("f"))) == noise
            store.close()

    def test_mongo_is_away(self, run: str, noise: bytes) -> None:
        """`Unavailable` within a bounded time for every method; a named put goes on when it is back."""
        host, _, rest = self.uri.removeprefix("mongodb://").partition("/")
        name, port = host.split(":")
        with TcpProxy(name, int(port)) as proxy:
            uri = f"mongodb://{name}:{proxy.port}/{rest.partition('?')[0]}?directConnection=true"
            store = self.made(uri, timeout=2.0)
            old = store.put_file(run, io.BytesIO(b"old"), FilePut("f"))
            source = Source(noise)

            def breaks(size: int | None = -1) -> bytes:
                if source.tell() > 300_000:
                    proxy.refuse()
                return Source.read(source, size)

            source.read = breaks  # type: ignore[method-assign]
            calls: list[Callable[[], object]] = [
                lambda: store.put_file(run, source, named(noise)),
                lambda: store.get_file(run, old.id),
                lambda: store.find_files(run),
                lambda: store.update_file(run, old.id, FilePatch(description="x")),
            ]
            for call in calls:
                with pytest.raises(Unavailable) as told:
                    call()
                assert told.value.retry_after is not None
            proxy.heal()
            again = Source(noise)
            assert contents(store, run, store.put_file(run, again, named(noise))) == noise
            assert again.count < len(noise) - 150_000
            store.close()

    @pytest.mark.parametrize("step", ["_look_at", "_enter", "_still_there"])
    @pytest.mark.parametrize("resumable", [False, True])
    def test_killed_between_object_and_record(self, run: str, noise: bytes, step: str, *, resumable: bool) -> None:
        """Until the record is there nothing is, but objects that are swept; the retry stores the file, once."""
        put = named(noise) if resumable else FilePut("f", id="put-1")
        store = self.made()
        child = SPAWN.Process(
            target=file_children.put_and_die, args=(self.uri, self.place.url, self.place.env, run, step, put, noise)
        )
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert [f.id for f in store.find_files(run)] == (["put-1"] if step == "_still_there" else [])
        assert len(self.objects()) == 11 + (step == "_still_there")  # with the record's own
        record = store.put_file(run, io.BytesIO(noise), put)
        assert same(store.find_files(run), [record])
        assert contents(store, run, record) == noise
        store.collect(0.0)
        assert len(self.objects()) == 12
        assert contents(store, run, record) == noise
        store.close()

    def test_a_sweep_takes_only_what_nothing_names(self, run: str, noise: bytes) -> None:
        """Objects of dead uploads go once they are old; those of files and of uploads under way stay."""
        store = self.made()
        record = store.put_file(run, io.BytesIO(noise), FilePut("f"))
        with pytest.raises(ConnectionResetError):
            store.put_file(run, Source(noise, 300_000), named(noise, "g", "put-2"))
        stray = f"files/{run}/{'0' * 32}/{'1' * 32}/000000-22222222"
        self.place.store().put(stray, b"x")
        self.place.store().put(f"files/{run}/foreign", b"x")
        before = set(self.objects())
        assert store.collect(3600.0) == 0
        assert set(self.objects()) == before
        assert store.collect(0.0) > 1
        left = set(self.objects())
        assert len(left) == 13
        assert stray not in left
        assert contents(store, run, record) == noise
        assert contents(store, run, store.put_file(run, Source(noise), named(noise, "g", "put-2"))) == noise
        store.close()

    def test_a_source_that_fails_leaves_no_object(self, run: str, noise: bytes) -> None:
        """Of a put without an identity nobody goes on: its objects go at once."""
        store = self.made()
        with pytest.raises(ConnectionResetError):
            store.put_file(run, Source(noise, 300_000), FilePut("f"))
        assert self.objects() == []
        store.close()

    @pytest.mark.parametrize("step", ["read", "_look_at", "_enter", "_still_there"])
    @pytest.mark.parametrize("resumable", [False, True])
    def test_a_put_that_races_the_deletion_of_its_run(
        self, run: str, noise: bytes, step: str, *, resumable: bool
    ) -> None:
        """What comes after the run was deleted is removed again, wherever the deletion fell."""
        store = self.made()
        source = Source(noise)
        owner: Any = source if step == "read" else store.files
        method = getattr(owner, step)

        def deletes(*arguments: Any) -> Any:
            if source.tell() > 300_000 and run in self.runs._runs:
                store.delete_run(run)
            return method(*arguments)

        setattr(owner, step, deletes)
        with pytest.raises(NotFound):
            store.put_file(run, source, named(noise) if resumable else FilePut("f"))
        assert self.objects() == []
        assert store.hot.files.count_documents({}) == store.hot.db["uploads"].count_documents({}) == 0
        store.close()

    def test_files_of_a_run_that_is_gone_are_swept(self, run: str, noise: bytes) -> None:
        """Also where their server died before it looked whether the run is still there."""
        store = self.made()
        store.put_file(run, io.BytesIO(noise), FilePut("f"))
        MemoryStore.delete_run(store, run)
        assert store.collect(3600.0) == 12
        assert self.objects() == []
        assert store.hot.files.count_documents({}) == 0
        store.close()

    def test_deletion_frees_both(self, run: str, noise: bytes) -> None:
        """A deleted file's objects go at once, a deleted run's with all records; a replaced file's after a while."""
        now = [time.time()]
        store = self.made(linger=60.0, clock=lambda: now[0])
        first = store.put_file(run, io.BytesIO(noise), FilePut("f"))
        _, stream = store.get_file(run, first.id)
        new = store.put_file(run, io.BytesIO(b"new"), FilePut("f"))
        with stream:
            assert stream.read() == noise
        now[0] += 61
        store.put_file(run, io.BytesIO(b"g"), FilePut("g"))
        assert len(self.objects()) == 4
        store.update_file(run, new.id, FilePatch(deleted=True))
        assert len(self.objects()) == 2
        store.delete_run(run)
        assert self.objects() == []
        assert store.hot.files.count_documents({}) == 0
        store.close()


def test_streams_are_binary(noise: bytes) -> None:
    """What the tests read from is what stores take."""
    assert cast("BinaryIO", Source(noise)).read(10) == noise[:10]
