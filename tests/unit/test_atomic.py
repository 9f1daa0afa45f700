from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from ml_dash.errors import InvalidInput
from ml_dash.store.atomic import inside, sync_folder, write_atomically


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("data", [b"", b"\0", b"x" * 3_000_000])
def test_the_data_is_the_content(tmp_path, data, sync):
    """Whatever was there before, the file's content is then the data, and no other file is left."""
    path = tmp_path / "record.json"
    write_atomically(str(path), b"old", sync=sync)
    write_atomically(str(path), data, sync=sync)
    assert path.read_bytes() == data
    assert names_in(tmp_path) == ["record.json"]


def test_a_relative_path_is_one_too(tmp_path, monkeypatch):
    """A path without a folder is in the current one."""
    monkeypatch.chdir(tmp_path)
    write_atomically("record.json", b"here")
    sync_folder("")
    assert (tmp_path / "record.json").read_bytes() == b"here"


def test_the_umask_decides_who_may_read(tmp_path):
    """The file gets the permissions that any new file of the user gets, not a temporary file's 0600."""
    path = tmp_path / "record.json"
    old = os.umask(0o027)
    try:
        write_atomically(str(path), b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_replaced_not_followed(tmp_path):
    """Where a symbolic link lies, the file takes its place; what the link pointed to stays as it was."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"theirs")
    link.symlink_to(target)
    write_atomically(str(link), b"ours")
    assert not link.is_symlink()
    assert (link.read_bytes(), target.read_bytes()) == (b"ours", b"theirs")


def test_whoever_opened_the_old_file_still_has_it(tmp_path):
    """A reader of the old content is not disturbed: the new one is another inode."""
    path = tmp_path / "record.json"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_atomically(str(path), b"new, and longer")
        assert reader.read() == b"old"


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_content_alone(tmp_path, monkeypatch, step, fault):
    """A full disk or Ctrl-C at any step: the old content stays and no temporary file does."""
    path = tmp_path / "record.json"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(type(fault)) as raised:
            write_atomically(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["record.json"]
    if isinstance(raised.value, OSError) and step != "rename":
        assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
        assert "nothing of it is stored" in str(raised.value)


def test_short_writes_are_continued(tmp_path, monkeypatch):
    """A system that takes a few bytes a call gets the rest in further calls."""
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        write_atomically(str(tmp_path / "f"), b"0123456789")
    assert (tmp_path / "f").read_bytes() == b"0123456789"


def test_a_missing_folder_is_an_error(tmp_path):
    """No folder is made on the way; the error is the system's own."""
    with pytest.raises(FileNotFoundError):
        write_atomically(str(tmp_path / "no" / "record.json"), b"x")
    assert names_in(tmp_path) == []


# ---------------------------------------------------------------- inside


@pytest.mark.parametrize("path", ["", "a", "a/b/c", "a/../b", "there", "there/new", "loop/x"])
def test_what_is_below_the_root_may_pass(tmp_path, path):
    """The root itself, what is in it, what is not yet there, and links that stay in it or lead nowhere."""
    (tmp_path / "real").mkdir()
    (tmp_path / "there").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    inside(str(tmp_path), os.path.join(tmp_path, path), "file")


def test_the_root_may_be_reached_by_a_link(tmp_path):
    """A link on the way to the root is the user's own business."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    inside(str(tmp_path / "link"), str(tmp_path / "link" / "a"), "file")
    inside(str(tmp_path / "link"), str(tmp_path / "real" / "a"), "file")
    inside("/", str(tmp_path), "file")


@pytest.mark.parametrize("path", ["out", "out/new/deep", "hop/x", "dangling", "file"])
def test_a_link_that_leads_outside_is_named(tmp_path, path):
    """Also over several links and to what does not exist; the text names the first link that leaves and what to do."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(b"")
    (root / "out").symlink_to(outside)
    (root / "hop").symlink_to("out")
    (root / "dangling").symlink_to(outside / "nothing")
    (root / "file").symlink_to(outside / "file")
    link = os.path.join(root, path.split("/", maxsplit=1)[0])
    with pytest.raises(
        InvalidInput, match=r"^folder '.*' leads outside '.*': .* is a symbolic link to .*\. Put a real"
    ):
        inside(str(root), os.path.join(root, path), "folder")
    with pytest.raises(InvalidInput) as raised:
        inside(str(root), os.path.join(root, path), "folder")
    assert f"{link!r} is a symbolic link" in str(raised.value)


@pytest.mark.parametrize("path", ["..", "../root-too", "/etc/passwd", "a/../../b"])
def test_a_path_that_is_elsewhere_is_refused(tmp_path, path):
    """Without any link: a path outside, one whose name merely begins like the root's included."""
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(InvalidInput, match="lies outside"):
        inside(str(root), os.path.join(root, path), "file")
