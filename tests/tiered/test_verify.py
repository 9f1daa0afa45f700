"""`ml-dash server verify`: a clean store is clean, each damage is named, what nothing names is listed; and readers of a damaged chunk."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from ml_dash.errors import CorruptData
from ml_dash.model import LOGS, METRICS, FilePatch, RunPatch, RunQuery
from ml_dash.store import commit
from ml_dash.store.tier_keys import place, record_key, series_id
from ml_dash.store.tiered_files import LINGER
from tests.tiered.shop import KINDS, Shop, command
from tests.tiered.tiers import Tiers


def test_a_clean_store_is_clean(shop: Shop) -> None:
    """Hot rows, files, a deleted file and a deleted run included; all that there is was looked at; nothing is changed."""
    for kind, name in KINDS:
        shop.write(shop.series(kind, name), 7)
    gone = shop.put_file("", "gone.txt", b"gone")
    shop.store.update_file(shop.long.id, gone, FilePatch(deleted=True))
    shop.put_file("a/b", "ü.bin", b"another in its place")
    shop.store.delete_run(shop.short.id)
    before = shop.documents()
    said = shop.asked("verify", "--deep")
    assert said.pop("bytes") > 3 << 20
    assert said == {"ok": True, "series": 5, "chunks": 7, "rows": 140, "files": 3, "freed": 0, "findings": []}
    assert shop.documents() == before


@pytest.mark.parametrize("how", ["flipped", "cut", "missing", "empty"])
def test_a_damaged_chunk_is_named_and_the_rest_can_be_read(shop: Shop, how: str) -> None:
    """By `verify`, alone of all chunks; by `read` as CorruptData, as long as rows of it are asked for."""
    key = shop.chunks(shop.series())[1]
    lines = shop.store.read(shop.series(), 0, None).lines.splitlines(keepends=True)
    shop.write(shop.series(), 5)
    shop.damage(key, how)
    [found] = shop.verify()
    assert (found.state, found.where) == ("damaged", key)
    assert "Restore this object" in found.message
    shop.close()
    shop.store = shop.open()
    with pytest.raises(CorruptData, match=key):
        shop.store.read(shop.series(), 15, 10)
    with pytest.raises(CorruptData, match=key):
        shop.store.read(shop.series(), 0, None)
    assert shop.store.read(shop.series(), 0, 20).lines == b"".join(lines[:20])
    page = shop.store.read(shop.series(), 40, None)
    assert (page.count, page.total) == (25, 65)
    assert page.lines.startswith(b"".join(lines[40:]))
    shop.write(shop.series(), 3)
    assert {run.key.name for run in shop.store.find_runs(RunQuery(series=True))} == {"long", "short"}


def test_a_byte_flipped_anywhere_is_found(shop: Shop) -> None:
    key = shop.chunks(shop.series())[0]
    whole = bytes(shop.objects.get(key).bytes())
    for at in (0, 4, *(len(whole) * part // 8 for part in range(1, 8)), -40, -6, -1):
        data = bytearray(whole)
        data[at] ^= 0x40
        shop.objects.put(key, bytes(data))
        assert [one.where for one in shop.damaged()] == [key], at
    shop.objects.put(key, whole)
    assert shop.damaged() == []


def test_a_chunk_that_was_made_of_other_rows_is_found(shop: Shop) -> None:
    """An entry that tells of another series' object, whole as that is."""
    first, other = shop.entries(shop.series())[0], shop.entries(shop.series(LOGS, ""))[0]
    change = {name: other[name] for name in ("key", "size", "hash")}
    shop.store.hot.manifest.update_one({"_id": first["_id"]}, {"$set": change})
    [found] = shop.damaged()
    assert found.where == other["key"]
    assert "the manifest's entry has another _id" in found.message


WRONG = {
    "marks": b"[]",
    "last": b"{}",
    "rollup": [4, 10],
    "first_ms": 1,
    "last_ms": 1,
    "at": 1,
    "r3": {"0" * 16: b""},
    "r4": {"0" * 16: b""},
    "more": True,
    "run": "other",
}


def test_an_entry_that_tells_otherwise_than_its_chunk_is_found(shop: Shop) -> None:
    """Whatever it is; and what the line says is to be done mends it."""
    entry = shop.entries(shop.series())[1]
    shop.calm()
    for name, value in WRONG.items():
        shop.store.hot.manifest.update_one({"_id": entry["_id"]}, {"$set": {name: value}})
        [found] = shop.damaged()
        assert found.where == entry["key"]
        assert f"another {name}. Delete the entry" in found.message
        shop.store.hot.manifest.delete_one({"_id": entry["_id"]})
        assert shop.recover()[shop.long.id].troubles == []
        assert shop.entries(shop.series())[1] == entry
    assert shop.verify() == []


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_hole_in_the_manifest_is_found(shop: Shop, which: int) -> None:
    """Where rows of the first, one in the middle or the last chunk are asked for, it is CorruptData; lists of runs go on."""
    shop.store.hot.manifest.delete_one({"key": shop.chunks(shop.series())[which]})
    found = shop.damaged()
    assert {one.where for one in found} == {f"metrics 'loss' of run {shop.long.id}"}
    assert any(f"rows {which * 20} to {which * 20 + 20} are in no chunk" in one.message for one in found)
    with pytest.raises(CorruptData, match="server recover"):
        shop.store.read(shop.series(), which * 20, 5)
    assert shop.store.read(shop.series(), (which + 1) % 3 * 20, 20).count == 20
    shop.store.hot.note_change(shop.long.id)
    [info] = [info for info in shop.store.describe(shop.long.id) if (info.kind, info.name) == (METRICS, "loss")]
    assert (info.count, info.last is None) == (60, which == 2)


def test_a_head_that_is_at_odds_with_its_chunks_is_found(shop: Shop) -> None:
    whole = shop.head(shop.series())
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"marks": b"[]"}, "marks"),
        ({"ms": 1}, "last_ms"),
        ({"chunks": 7}, "counts 7 chunks"),
        ({"sealed": 50}, "twice"),
        ({"sealed": 80}, "rows 60 to 80"),
    ]
    for change, told in wrong:
        shop.store.hot.heads.replace_one({"_id": whole["_id"]}, whole | change)
        found = shop.damaged()
        assert {one.where for one in found} == {f"metrics 'loss' of run {shop.long.id}"}
        assert any(told in one.message for one in found)


def test_rows_that_are_in_neither_tier_are_found(shop: Shop) -> None:
    for _ in range(3):
        shop.write(shop.series(), 5)
    shop.store.hot.buckets.delete_one({"_id": place(series_id(shop.series()), 65)})
    [found] = shop.verify()
    assert (found.state, "rows 65 to 70 are in neither tier" in found.message) == ("damaged", True)


def test_parts_of_a_large_bucket(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are lost are found, and those that no bucket names."""
    monkeypatch.setattr(commit, "DOCUMENT", 100)
    shop.write(shop.series(), 15)
    assert shop.verify() == []
    overflow = shop.store.hot.overflow
    [*_, part] = overflow.find()
    overflow.delete_one({"_id": part["_id"]})
    [found] = shop.verify()
    assert (found.state, "1 of the bucket of rows 60 to 75" in found.message) == ("damaged", True)
    overflow.insert_one(part)
    overflow.insert_one({**part, "_id": os.urandom(16)})
    assert shop.verify() == []  # its server may be about to insert the bucket
    later = time.time() + 4000
    [found] = shop.verify(clock=lambda: later)
    assert (found.state, found.where.partition(" ")[0]) == ("orphan", "overflow")
    shop.verify(clock=lambda: later, free=True)
    assert shop.verify(clock=lambda: later) == []
    assert shop.store.read(shop.series(), 60, 15).count == 15


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("how", ["cut", "missing"])
def test_a_lost_object_of_a_file_is_found(shop: Shop, how: str) -> None:
    file, _ = shop.store.find_files(shop.long.id)
    piece = next(key for key in shop.listed("files/") if not key.endswith("record.json"))
    shop.damage(piece, how)
    [found] = shop.verify()
    assert (found.state, file.id in found.where, piece in found.message) == ("damaged", True, True)


def test_a_damaged_object_of_a_file_is_found_by_reading_it(shop: Shop) -> None:
    """What takes as long as the files are large is asked for."""
    piece = next(key for key in shop.listed("files/") if not key.endswith("record.json"))
    shop.damage(piece, "flipped")
    assert shop.verify() == []
    [found] = shop.verify(deep=True)
    assert (found.state, "SHA-256" in found.message) == ("damaged", True)


@pytest.mark.parametrize("how", ["cut", "missing"])
def test_what_recover_would_need_is_told_of(shop: Shop, how: str) -> None:
    """A file's record in the bucket, and a run's: nothing is damaged yet."""
    record = next(key for key in shop.listed("files/") if key.endswith("record.json"))
    shop.damage(record, how)
    shop.damage(record_key(shop.long.id), "missing")
    in_file, of_run = shop.verify()
    assert (in_file.state, record in in_file.message) == ("unkept", True)
    assert (of_run.state, of_run.where) == ("unkept", record_key(shop.long.id))


# ---------------------------------------------------------------- what nothing names


def test_stray_objects_are_listed_and_freed_when_they_are_old(shop: Shop) -> None:
    """Below `sealed`, of no key of ours, of an unknown run, of an upload that was given up. Nothing that is in use goes with them."""
    before = shop.seen(shop.store)
    sid = series_id(shop.series()).hex()
    strays = {
        f"chunks/{shop.long.id}/{sid}/{0:016d}-{20:016d}-{'0' * 16}.parquet",
        f"chunks/{shop.long.id}/{sid}/notes.txt",
        f"chunks/unknown/{sid}/{0:016d}-{20:016d}-{'0' * 16}.parquet",
        f"files/{shop.long.id}/{'0' * 32}/upload/0-x",
        "runs/unknown.json",
    }
    for key in strays:
        shop.objects.put(key, b"stray")
    later = time.time() + 4000
    found = shop.verify(clock=lambda: later)
    assert {one.state for one in found} == {"orphan"}
    assert {one.where for one in found} == {key.removesuffix("0-x") for key in strays}
    assert {key for key in shop.listed() if key in strays} == strays
    said = shop.asked("verify", "--free")
    assert (said["ok"], said["freed"]) == (True, 0)  # they are young
    shop.verify(clock=lambda: later, free=True)
    left = {key for key in shop.listed() if key in strays}
    assert strays - left == {
        f"chunks/{shop.long.id}/{sid}/{0:016d}-{20:016d}-{'0' * 16}.parquet",
        f"files/{shop.long.id}/{'0' * 32}/upload/0-x",
    }
    assert shop.seen(shop.store) == before


def test_what_a_server_is_in_the_middle_of_is_no_finding(shop: Shop) -> None:
    """A chunk that is put and not entered, an upload that goes on; they are told of once nobody can be about to name them."""
    sid = series_id(shop.series()).hex()
    chunk = f"chunks/{shop.long.id}/{sid}/{60:016d}-{80:016d}-{'0' * 16}.parquet"
    upload = f"files/{shop.long.id}/{'0' * 32}/upload/"
    for key in (chunk, upload + "0-x"):
        shop.objects.put(key, b"young")
    assert shop.verify() == []
    soon = time.time() + 100
    assert {one.where for one in shop.verify(clock=lambda: soon)} == {chunk, upload}
    shop.verify(clock=lambda: soon + 4000, free=True)
    assert chunk in shop.listed()  # an archiver may adopt it
    assert upload + "0-x" not in shop.listed()


def test_what_deleted_runs_have_left_is_told_of(shop: Shop) -> None:
    shop.store._runs.bury(shop.long.id)
    shop.store.hot.delete_heads(shop.long.id)
    assert ("unfreed", f"run {shop.long.id}") in {(one.state, one.where) for one in shop.verify()}
    shop.store.tend()
    assert shop.verify() == []


def test_a_replaced_file_is_no_finding_before_and_after_it_is_freed(shop: Shop) -> None:
    shop.put_file("a/b", "ü.bin", b"another")
    assert shop.verify(deep=True) == []
    shop.store._files._linger = -LINGER
    shop.store.tend()
    assert shop.verify(deep=True) == []


def test_a_store_that_is_written_to_is_clean(shop: Shop) -> None:
    """Rows come in and are archived between the looks."""
    for at in range(6):
        shop.write(shop.series(), 15)
        if at % 2:
            shop.archive()
        shop.store.update_run(shop.long.id, RunPatch(params={"at": at}))
        assert shop.verify() == []


def test_deleting_while_it_is_looked_at_is_no_damage(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The objects go between the entry and the look at its object."""
    from ml_dash.store.cold import Cold

    get, deleted = Cold.get, list[str]()

    def delete_first(cold: Cold, key: str) -> bytes:
        if not deleted:
            deleted.append(key)
            shop.store.delete_run(shop.long.id)
        return get(cold, key)

    monkeypatch.setattr(Cold, "get", delete_first)
    assert shop.verify() == []
    assert deleted


# ---------------------------------------------------------------- the command


def test_the_command(shop: Shop) -> None:
    """Exit code 0 for a clean store; 1, and a line that names it, for damage."""
    clean = shop.command("verify")
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.startswith("6 series, 7 chunks of 140 rows, 2 files; 3.")
    assert clean.stdout.endswith(": all is well.\n")
    key = shop.chunks(shop.series())[1]
    shop.damage(key, "flipped")
    done = shop.command("verify")
    assert done.returncode == 1
    assert f"damaged {key}: " in done.stdout
    assert "1 damaged" in done.stdout
    said = shop.asked("verify", code=1)
    assert said["ok"] is False
    assert [(one["state"], one["where"]) for one in said["findings"]] == [("damaged", key)]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--mongo", "http://localhost:27017"], 2, "mongo: expected mongodb://"),
        (["--mongo", "mongodb://127.0.0.1:1/x?timeoutMS=300"], 1, "MongoDB does not answer"),
        (["--s3", "bucket/prefix"], 2, "s3: expected s3://"),
        (["--s3", "s3://no-such-bucket/x"], 1, "no such bucket"),
        (["--s3-endpoint", "http://127.0.0.1:1"], 1, "cannot be reached"),
        (["--mongo", ""], 2, "give --mongo URI and --s3 URL"),
    ],
)
def test_what_cannot_be_reached_is_one_line(tiers: Tiers, words: list[str], code: int, told: str) -> None:
    done = command(tiers, "verify" if code == 1 else "recover", *words)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert told in done.stderr
    assert done.stdout == ""


def test_a_wrong_prefix_is_damage_everywhere(shop: Shop) -> None:
    """Whoever named another bucket sees that at once."""
    done = shop.command("verify", "--s3", f"{shop.tiers.place.url}/other")
    assert done.returncode == 1
    assert done.stdout.count("the object is gone") == 7
