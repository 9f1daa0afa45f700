"""`ml-dash server recover`: manifest, heads, records of runs and of files from the bucket alone, and what it says of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from ml_dash.errors import Conflict, CorruptData, NotFound
from ml_dash.model import METRICS, Batch, FilePatch, RunKey, RunPatch, RunQuery, SeriesKey
from ml_dash.store.tier_keys import record_key, series_id
from tests.tiered.shop import KINDS, Shop, row, seen


def test_all_that_is_archived_comes_back_from_the_bucket_alone(shop: Shop) -> None:
    """Runs with parameters, tags, what was said of series, every series byte for byte with its times, files."""
    before = shop.seen(shop.store)["long"]
    shop.lose_database()
    done = shop.recover()
    assert (done[shop.long.id].record, done[shop.long.id].label) == ("made", "space:project/long")
    assert (done[shop.long.id].series, done[shop.long.id].chunks) == (5, 7)
    assert (done[shop.long.id].points, done[shop.long.id].files) == (140, 2)
    assert shop.seen(shop.store) == {"long": before}
    assert not any(one.troubles for one in done.values())
    assert shop.verify() == []


def test_what_was_in_mongodb_alone_is_lost_and_only_that(shop: Shop) -> None:
    """Rows that were in no chunk, and the run that had no other; the command says so."""
    shop.write(shop.series(), 7)
    shop.lose_database()
    said = shop.command("recover").stdout
    assert "1 run in the bucket: 1 recovered" in said
    assert "What was in MongoDB alone is not in the bucket: rows that were in no chunk yet" in said
    assert shop.store.read(shop.series(), 0, None).total == 60
    with pytest.raises(NotFound):
        shop.store.get_run(shop.short.id)


def test_recovering_twice_changes_nothing(shop: Shop) -> None:
    shop.lose_database()
    shop.recover()
    before = shop.documents()
    again = shop.recover()
    assert not again[shop.long.id].changed
    assert again[shop.long.id].troubles == []
    assert shop.documents() == before


def test_recovering_a_whole_database_changes_nothing(shop: Shop) -> None:
    """Hot rows, marks, counts and revisions included."""
    shop.write(shop.series(), 15)
    before = shop.documents()
    done = shop.recover()
    assert [one.changed for one in done.values()] == [False]
    assert shop.documents() == before


def test_a_dry_run_tells_the_same_and_changes_nothing(shop: Shop) -> None:
    shop.lose_database()
    told = shop.recover(dry_run=True)
    assert sum(map(len, shop.documents().values())) == 0
    assert told == shop.recover()


@pytest.mark.parametrize("lost", ["one entry", "all entries", "last entry", "heads", "heads and entries"])
def test_what_is_lost_alone_is_put_back(shop: Shop, lost: str) -> None:
    """As it was, while hot rows are there that go on where the chunks end."""
    for kind, name in KINDS:
        shop.write(shop.series(kind, name), 7)
    before, told = shop.seen(shop.store), shop.documents()
    hot = shop.store.hot
    if lost == "one entry":
        hot.manifest.delete_one({"key": shop.chunks(shop.series())[1]})
    elif lost == "last entry":
        hot.manifest.delete_one({"key": shop.chunks(shop.series())[2]})
    if "entries" in lost:
        hot.manifest.delete_many({})
    if "heads" in lost:
        hot.heads.delete_many({"run": shop.long.id})
    done = shop.recover()[shop.long.id]
    assert done.changed
    assert done.troubles == []
    assert shop.seen(shop.store) == before
    after = shop.documents()
    for one in (*told["runs"], *after["runs"]):
        one.update(epoch=0, stale=False, rev=0)  # what was derived is not believed any more, and the record kept anew
    assert after == told
    assert shop.verify() == []


def test_a_recovered_series_goes_on_at_its_index(shop: Shop) -> None:
    """Its writer is known: a retry of archived rows is none, the next rows follow, a gap is one, and it is archived again."""
    shop.lose_database()
    shop.recover()
    for kind, name in KINDS:
        series = shop.series(kind, name)
        count = shop.counts[series]
        [answer] = shop.store.append([Batch(series, [row(kind, at) for at in range(10, count)], "w", 10)])
        assert (answer.first, answer.total) == (None, count)
        with pytest.raises(Conflict):
            shop.store.append([Batch(series, [row(kind, 70)], "w", 70)])
        shop.write(series, 30)
    shop.archive()
    for kind, name in KINDS:
        series = shop.series(kind, name)
        page = shop.store.read(series, 15, 20)
        assert (page.count, page.total) == (20, shop.counts[series])
        assert shop.head(series)["sealed"] == shop.counts[series]
    assert shop.verify() == []


def test_a_client_that_has_its_log_fills_up_what_was_lost(shop: Shop) -> None:
    """It is told from where on."""
    shop.write(shop.series(), 12)
    shop.lose_database()
    shop.recover()
    rows = [row(METRICS, at) for at in range(80)]
    with pytest.raises(Conflict) as told:
        shop.store.append([Batch(shop.series(), rows[72:], "w", 72)])
    at = told.value.expected
    assert at == 60
    [answer] = shop.store.append([Batch(shop.series(), rows[at:], "w", at)])
    assert (answer.first, answer.total) == (60, 80)


def test_deleted_runs_and_files_do_not_come_back(shop: Shop) -> None:
    replaced = shop.put_file("", "gone.txt", b"replaced")
    gone = shop.put_file("", "gone.txt", b"gone")
    shop.store.update_file(shop.long.id, gone, FilePatch(deleted=True))
    other = shop.store.put_run(RunKey("space", "project", "other"), RunPatch())
    shop.write(SeriesKey(other.id, METRICS, "loss"), 25)
    shop.archive()
    assert len(shop.listed("runs/")) == 2
    shop.store.delete_run(other.id)
    assert not any(one.changed for one in shop.recover().values())
    shop.lose_database()
    assert list(shop.recover()) == [shop.long.id]
    assert not {replaced, gone} & {file.id for file in shop.store.find_files(shop.long.id)}


def test_a_run_that_is_deleted_but_not_freed_stays_deleted(shop: Shop) -> None:
    """Its tombstone is there, and so are its objects."""
    shop.store._runs.bury(shop.long.id)
    assert shop.recover()[shop.long.id].record == "buried"
    assert shop.recover()[shop.long.id].record == "deleted"
    with pytest.raises(NotFound):
        shop.store.read(shop.series(), 0, None)
    shop.store.tend()
    assert shop.listed("chunks/") == []


@pytest.mark.parametrize("half", ["record", "heads"])
def test_a_deletion_of_which_a_copy_has_one_half_counts(shop: Shop, half: str) -> None:
    """Collections are copied one after the other: the run's record may say that it lives, its heads that it does not, and the other
    way round. Nobody can write to it, and a server frees it."""
    if half == "record":
        change = {"state": "deleted", "freed": True}
        shop.store.hot.runs.update_one({"_id": shop.long.id}, {"$set": change, "$unset": {"ns": "", "kept": ""}})
        assert {one.state for one in shop.verify() if one.where.endswith(shop.long.id)} <= {"unfreed"}
    else:
        shop.store.hot.delete_heads(shop.long.id)
    assert shop.recover()[shop.long.id].record == "buried"
    with pytest.raises(NotFound):
        shop.store.append([Batch(shop.series(), [row(METRICS, 60)], "w", 60)])
    with pytest.raises(NotFound):
        shop.store.get_run(shop.long.id)
    shop.store.tend()
    assert shop.listed("chunks/") == shop.listed("files/") == shop.listed("runs/") == []
    assert shop.verify() == []


@pytest.mark.parametrize("how", ["flipped", "cut", "missing"])
def test_a_lost_chunk_is_a_hole_and_the_series_goes_on(shop: Shop, how: str) -> None:
    """It is named; the rows of the others are at their indices, the writer is known, and what comes later is put in the hole."""
    key = shop.chunks(shop.series())[1]
    whole = bytes(shop.objects.get(key).bytes())
    before = shop.store.read(shop.series(), 0, None)
    shop.lose_database()
    shop.damage(key, how)
    done = shop.recover()[shop.long.id]
    assert (done.points, done.series) == (120, 5)
    assert any("rows 20 to 40" in one for one in done.troubles)
    assert any(key in one for one in done.troubles) == (how != "missing")
    lines = before.lines.splitlines(keepends=True)
    assert shop.store.read(shop.series(), 0, 20).lines == b"".join(lines[:20])
    assert shop.store.read(shop.series(), 40, None).lines == b"".join(lines[40:])
    with pytest.raises(CorruptData, match="no chunk holds index 20"):
        shop.store.read(shop.series(), 15, 10)
    shop.write(shop.series(), 5)
    assert [one.where for one in shop.damaged()] == [f"metrics 'loss' of run {shop.long.id}"]
    shop.objects.put(key, whole)
    assert shop.recover()[shop.long.id].troubles == []
    assert shop.store.read(shop.series(), 0, 60).lines == before.lines
    assert shop.verify() == []


def test_a_lost_chunk_leaves_its_entry(shop: Shop) -> None:
    """Over a database that is whole: what knows of the chunk stays, and the rest is put back."""
    first, key, last = shop.chunks(shop.series())
    entries = shop.entries(shop.series())
    shop.damage(key, "missing")
    shop.store.hot.manifest.delete_one({"key": last})
    shop.store.hot.manifest.delete_one({"key": first})
    assert any("rows 20 to 40" in one for one in shop.recover()[shop.long.id].troubles)
    assert shop.entries(shop.series()) == entries


def test_a_run_without_a_record_in_the_bucket_is_made_from_its_chunks(shop: Shop) -> None:
    """Its name and its rows; not its parameters. The next chunk keeps a record again."""
    shop.lose_database()
    shop.objects.delete(record_key(shop.long.id))
    assert shop.recover()[shop.long.id].record == "made from chunks"
    run = shop.store.get_run(shop.long.id)
    assert (run.key, run.params) == (shop.long.key, {})
    assert shop.store.read(shop.series(), 0, None).total == 60
    shop.store.tend()
    assert shop.listed("runs/")
    assert shop.verify() == []


def test_a_run_with_files_alone_comes_back(shop: Shop) -> None:
    """A file keeps the run's record, as a chunk does."""
    run = shop.short
    shop.long, kept = run, shop.long
    file = shop.put_file("p", "only.txt", b"only")
    shop.long = kept
    shop.lose_database()
    shop.recover()
    assert shop.store.get_run(run.id).params == {"lr": 0.2}
    record, source = shop.store.get_file(run.id, file)
    with source:
        assert (record.filename, source.read()) == ("only.txt", b"only")


def test_a_name_that_was_taken_meanwhile_is_not_taken_over(shop: Shop) -> None:
    """The run that was made since stays, the one in the bucket is left out and can be recovered once it is renamed or deleted."""
    before = shop.seen(shop.store)["long"]
    shop.lose_database()
    new = shop.store.put_run(shop.long.key, RunPatch())
    [trouble] = shop.recover()[shop.long.id].troubles
    assert new.id in trouble
    assert [run.id for run in shop.store.find_runs(RunQuery())] == [new.id]
    shop.store.delete_run(new.id)
    assert shop.recover()[shop.long.id].troubles == []
    assert shop.seen(shop.store) == {"long": before}


def restored(shop: Shop, documents: dict[str, list[Any]]) -> None:
    """The database as it was when the documents were copied."""
    shop.lose_database()
    with shop.store.hot.asking():
        for name, some in documents.items():
            if some:
                shop.store.hot.db[name].insert_many(some)
    shop.calm()


def test_a_database_of_yesterday_is_brought_up_to_the_bucket(shop: Shop) -> None:
    """Rows that were hot then and are in chunks since; parameters and files since; hot rows that were in both."""
    shop.write(shop.series(), 15)
    copy = shop.documents()
    shop.write(shop.series(), 25)
    shop.archive()
    shop.store.update_run(shop.long.id, RunPatch(params={"later": 1}))
    file = shop.put_file("", "later.txt", b"later")
    shop.store.keep_record(shop.long.id)
    before = seen(
        shop.store, next(run for run in shop.store.find_runs(RunQuery(series=True)) if run.id == shop.long.id)
    )
    restored(shop, copy)
    done = shop.recover()[shop.long.id]
    assert (done.record, done.points, done.files, done.troubles) == ("brought up", 40, 1, [])
    assert shop.seen(shop.store)["long"] == before
    assert file in before["files"]
    assert shop.store.hot.buckets.count_documents({"_id": {"$gte": series_id(shop.series())}}) <= 1
    shop.write(shop.series(), 3)
    assert shop.verify() == []


def test_rows_that_went_another_way_since_are_kept_and_told_of(shop: Shop) -> None:
    """A server ran over yesterday's database before it was recovered: its rows stay where readers see them."""
    copy = shop.documents()
    shop.write(shop.series(), 25)
    shop.archive()
    restored(shop, copy)
    others = [row(METRICS, 1000 + at) for at in range(5)]
    shop.store.append([Batch(shop.series(), others, "w", 60)])
    shop.calm()
    page = shop.store.read(shop.series(), 0, None)
    [trouble] = shop.recover()[shop.long.id].troubles
    assert "rows from 60 on" in trouble
    after = shop.store.read(shop.series(), 0, None)
    assert (after.total, after.lines) == (65, page.lines)


def test_a_run_that_is_being_written_is_left_to_its_servers(shop: Shop) -> None:
    """What moves its head would be at odds with them."""
    shop.store.hot.heads.update_one(
        {"_id": series_id(shop.series())},
        {"$set": {"sealed": 40, "marks": shop.entries(shop.series())[1]["marks"], "chunks": 2}},
    )
    shop.write(SeriesKey(shop.long.id, METRICS, "other"), 1)
    assert any("Stop the servers" in one for one in shop.recover()[shop.long.id].troubles)
    assert shop.head(shop.series())["sealed"] == 40
    shop.calm()
    assert shop.recover()[shop.long.id].troubles == []
    assert shop.head(shop.series())["sealed"] == 60


def test_objects_that_are_none_of_ours_are_told_of(shop: Shop) -> None:
    shop.objects.put(f"chunks/{shop.long.id}/readme.txt", b"hello")
    shop.objects.put("files/unknown/x/y/0", b"hello")
    shop.objects.put("runs/broken.json", b"{")
    shop.lose_database()
    done = shop.recover()
    assert "readme.txt" in done[shop.long.id].troubles[0]
    assert "nothing tells of" in done["unknown"].troubles[0]
    assert "damaged" in done["broken"].troubles[0]
    assert done[shop.long.id].points == 140


def test_many_chunks_come_back(shop: Shop) -> None:
    """More than one page of the manifest, and of the bucket's listing."""
    for _ in range(25):
        shop.write(shop.series(), 20)
        shop.archive()
    assert len(shop.chunks(shop.series())) == 28
    assert shop.verify() == []
    before = shop.seen(shop.store)["long"]
    shop.lose_database()
    assert shop.recover()[shop.long.id].points == 140 + 500
    assert shop.seen(shop.store)["long"] == before
    assert shop.verify() == []


def test_the_command(shop: Shop) -> None:
    """A line a run; exit code 1 where something was left out."""
    shop.lose_database()
    told = shop.command("recover", "--dry-run")
    assert told.returncode == 0
    assert "would recover space:project/long: record made, 140 points of 5 series, 7 entries, 2 files" in told.stdout
    done = shop.command("recover")
    assert (done.returncode, done.stderr) == (0, "")
    assert "recovered space:project/long: record made, 140 points of 5 series, 7 entries, 2 files" in done.stdout
    shop.damage(shop.chunks(shop.series())[1], "missing")
    shop.store.hot.manifest.delete_many({})
    said = shop.asked("recover", code=1)
    assert said["dry_run"] is False
    assert said["runs"][0]["chunks"] == 6
    assert "rows 20 to 40" in said["runs"][0]["troubles"][0]
