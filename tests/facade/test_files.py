"""Files through both front doors, over a folder: what is answered, what is on disk, what every wrong call says."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dreamlake import Session
from ml_dash import Experiment, FileMissing, InvalidInput, InvalidType, RunClosed
from ml_dash.errors import CorruptData
from ml_dash.files import ChecksumMismatch, PathNotFound, PathUnusable

KEYS = [
    "id",
    "experimentId",
    "path",
    "filename",
    "description",
    "tags",
    "contentType",
    "sizeBytes",
    "checksum",
    "metadata",
    "uploadedAt",
    "updatedAt",
    "deletedAt",
]
CONTENT = b"weights " * 1000


@pytest.fixture
def experiment(tmp_path: Path):
    with Experiment("run", "project", local_path=tmp_path / "root").run as opened:
        yield opened


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the current one."""
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def stored(experiment: Any, record: dict[str, Any]) -> Path:
    """Where the bytes of a file lie, by the layout that docs/formats promises."""
    return Path(experiment.path, "files", record["path"].strip("/"), record["id"], record["filename"])


def kept(experiment: Any) -> list[str]:
    return [record["filename"] for record in experiment.files().list()]


# ---------------------------------------------------------------- save


def test_save_answers_with_the_record_and_keeps_the_bytes(experiment, model):
    record = experiment.file(
        file_path=str(model), prefix="/models", description="best", tags=["a", "b"], metadata={"epoch": 3}
    ).save()
    assert list(record) == KEYS
    assert record | {"id": 0, "uploadedAt": 0, "updatedAt": 0} == {
        "id": 0,
        "experimentId": experiment.id,
        "path": "/models",
        "filename": "model.pt",
        "description": "best",
        "tags": ["a", "b"],
        "contentType": record["contentType"],
        "sizeBytes": len(CONTENT),
        "checksum": hashlib.sha256(CONTENT).hexdigest(),
        "metadata": {"epoch": 3},
        "uploadedAt": 0,
        "updatedAt": 0,
        "deletedAt": None,
    }
    assert stored(experiment, record).read_bytes() == CONTENT
    assert json.loads(Path(experiment.path, "files/.files_metadata.json").read_text())["files"][0]["id"] == record["id"]


def test_defaults_of_a_file(experiment, model):
    record = experiment.file(model).save()
    assert (record["path"], record["tags"], record["description"], record["metadata"]) == ("/", [], None, None)


def test_the_path_may_come_first_or_by_name_and_files_is_file(experiment, model):
    """The newer name and the older one do the same."""
    for saved in (experiment.file(model), experiment.files(file_path=model), experiment.files(str(model))):
        assert saved.save()["filename"] == "model.pt"
    assert kept(experiment) == ["model.pt"], "the same prefix and name replace what was there"
    with pytest.raises(TypeError, match="got file_path twice"):
        experiment.file(model, file_path=model)


def test_ids_never_collide(experiment, model):
    assert len({experiment.file(model, prefix=f"/{i}").save()["id"] for i in range(50)}) == 50


def test_an_empty_file(experiment, tmp_path, out):
    (tmp_path / "empty").touch()
    record = experiment.file(tmp_path / "empty").save()
    assert record["sizeBytes"] == 0
    assert Path(experiment.file(file_id=record["id"]).download()).read_bytes() == b""


def test_bindrs_are_kept_in_the_metadata(experiment, model):
    """The published client takes them and drops them."""
    record = experiment.file(model, bindrs=["x"], metadata={"epoch": 1}).save()
    assert record["metadata"] == {"epoch": 1, "bindrs": ["x"]}
    assert experiment.file(file_id=record["id"], bindrs=["y"]).update()["metadata"] == {"epoch": 1, "bindrs": ["y"]}
    assert experiment.file(model, bindrs=[]).save()["metadata"] is None


def test_metadata_is_kept_as_it_reads_back(experiment, model):
    given = {"loss": np.float32(0.5), "worst": float("inf"), "text": "NaN", "day": date(2026, 1, 31)}
    record = experiment.file(model, metadata=given).save()
    assert record["metadata"] == {"loss": 0.5, "worst": float("inf"), "text": "NaN", "day": "2026-01-31"}
    assert experiment.file().list() == [record]


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"file_pth": "a"}, InvalidType, r"file\(\) has no argument 'file_pth'; it takes file_path, prefix, desc"),
        ({"file_path": 3}, InvalidType, "file_path: expected a path as str or pathlib.Path; got 3 of type int"),
        ({"file_path": "a\0b"}, InvalidInput, "holds a NUL character"),
        ({"prefix": "../up"}, InvalidInput, r"prefix '../up' has the segment '..'"),
        ({"prefix": 3}, InvalidInput, "prefix 3 is of type int"),
        ({"description": 3}, InvalidType, "description: expected a string; got 3 of type int"),
        ({"tags": "best"}, InvalidType, "tags: expected a list of strings"),
        ({"tags": ["a", 3]}, InvalidType, "tags: expected a list of strings"),
        ({"tags": 3}, InvalidType, "tags: expected a list of strings"),
        ({"bindrs": "b"}, InvalidType, "bindrs: expected a list of strings"),
        ({"metadata": [1]}, InvalidType, "metadata: expected a mapping"),
        ({"metadata": {"f": print}}, InvalidType, "metadata: field 'f': a value of type builtins.builtin_function"),
        ({"file_id": 3}, InvalidType, "file_id: expected a string; got 3"),
        ({"dest_path": b"x"}, InvalidType, "dest_path: expected a path"),
    ],
)
def test_a_wrong_argument_is_named(experiment, wrong, error, text):
    with pytest.raises(error, match=text):
        experiment.file(**wrong)


def test_a_path_that_is_not_there(experiment, tmp_path):
    """A `ValueError`, as in the published clients, and what Python itself would raise."""
    for error in (ValueError, FileNotFoundError, PathNotFound):
        with pytest.raises(error, match="File not found: file_path .*nothing.pt"):
            experiment.file(tmp_path / "nothing.pt").save()
    with pytest.raises(ValueError, match=r"use os\.path\.expanduser"):
        experiment.file("~/nothing.pt").save()


def test_what_is_no_file(experiment, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, text in ((tmp_path, "is a folder"), (tmp_path / "pipe", "is not a regular file")):
        with pytest.raises(InvalidInput, match=text):
            experiment.file(path).save()
    with pytest.raises(InvalidInput, match=r'file_path is missing. Write for example: file\("model.pt"\).save'):
        experiment.file().save()
    assert kept(experiment) == []


def test_a_file_that_may_not_be_read(experiment, model):
    model.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        for error in (ValueError, OSError, PathUnusable):
            with pytest.raises(error, match="cannot be read: Permission denied"):
                experiment.file(model).save()
    finally:
        if root:
            os.seteuid(0)


def test_a_name_that_no_file_may_have(experiment, tmp_path):
    (tmp_path / "a\nb").touch()
    with pytest.raises(InvalidInput, match="file_path 'a\\\\nb' holds the control character"):
        experiment.file(tmp_path / "a\nb").save()
    with pytest.raises(InvalidInput, match="file_name '../x' has the segment"):
        experiment.file().save_json({}, "../x")


# ---------------------------------------------------------------- list


@pytest.fixture
def many(experiment, model):
    for prefix, tags in (("/", ["a"]), ("/models", ["b"]), ("models/deep/", ["a", "b"]), ("/models2", [])):
        experiment.file(model, prefix=prefix, tags=tags).save()
    return experiment


@pytest.mark.parametrize(
    ("about", "prefixes"),
    [
        ({}, ["/", "/models", "models/deep/", "/models2"]),
        ({"prefix": "/"}, ["/", "/models", "models/deep/", "/models2"]),
        ({"prefix": None}, ["/", "/models", "models/deep/", "/models2"]),
        ({"prefix": "/models"}, ["/models", "models/deep/"]),
        ({"prefix": "models/"}, ["/models", "models/deep/"]),
        ({"prefix": "/models/deep"}, ["models/deep/"]),
        ({"prefix": "/mod"}, []),
        ({"tags": ["a"]}, ["/", "models/deep/"]),
        ({"tags": ["a", "b"]}, ["/", "/models", "models/deep/"]),
        ({"tags": []}, ["/", "/models", "models/deep/", "/models2"]),
        ({"prefix": "/models", "tags": ["a"]}, ["models/deep/"]),
    ],
)
def test_list_keeps_a_prefix_and_any_of_the_tags(many, about, prefixes):
    found = many.file(**about).list()
    assert [record["path"] for record in found] == prefixes
    assert all(list(record) == KEYS for record in found)


# ---------------------------------------------------------------- download


def test_download_into_the_current_folder(experiment, model, out):
    record = experiment.file(model).save()
    assert experiment.file(file_id=record["id"]).download() == "model.pt"
    assert (out / "model.pt").read_bytes() == CONTENT
    assert os.listdir(out) == ["model.pt"]


def test_download_to_a_path_or_into_a_folder(experiment, model, out):
    record = experiment.file(model).save()
    (out / "there").mkdir()
    (out / "old.pt").write_bytes(b"old")
    for dest, path in (("a.pt", "a.pt"), (out / "there", str(out / "there/model.pt")), ("old.pt", "old.pt")):
        assert experiment.file(file_id=record["id"], dest_path=dest).download() == path
        assert Path(path).read_bytes() == CONTENT
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(os.stat("a.pt").st_mode) == 0o666 & ~mask


def test_a_name_with_folders_downloads_under_its_last_part(experiment, out):
    record = experiment.file().save_json([1], "a/b/c.json")
    assert experiment.file(file_id=record["id"]).download() == "c.json"


def test_damaged_bytes_never_get_the_name(experiment, model, out):
    """Neither the copy nor a temporary file is left, and what was there stays."""
    record = experiment.file(model).save()
    with stored(experiment, record).open("r+b") as f:
        f.write(b"W")
    (out / "model.pt").write_bytes(b"old")
    for error in (ValueError, CorruptData, ChecksumMismatch):
        with pytest.raises(error, match=f"Checksum verification failed: file '{record['id']}'.*nothing was downloaded"):
            experiment.file(file_id=record["id"]).download()
    assert os.listdir(out) == ["model.pt"]
    assert (out / "model.pt").read_bytes() == b"old"


def test_a_destination_that_cannot_be(experiment, model, out):
    """Nothing but a regular file is ever replaced: not a pipe, not a device."""
    record = experiment.file(model).save()
    os.mkfifo(out / "pipe")
    with pytest.raises(PathNotFound, match=r"there is no folder 'no/such'. Make it first: os.makedirs\('no/such'\)"):
        experiment.file(file_id=record["id"], dest_path="no/such/model.pt").download()
    with pytest.raises(InvalidInput, match="dest_path: 'pipe' is there and is not a regular file"):
        experiment.file(file_id=record["id"], dest_path="pipe").download()
    assert os.listdir(out) == ["pipe"]


def test_a_link_at_the_destination_is_replaced_not_followed(experiment, model, out, tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (out / "model.pt").symlink_to(tmp_path / "precious")
    record = experiment.file(model).save()
    experiment.file(file_id=record["id"]).download()
    assert (out / "model.pt").read_bytes() == CONTENT
    assert (tmp_path / "precious").read_bytes() == b"precious"


DOWNLOADER = """
import sys
from ml_dash import load
root, file_id, dest = sys.argv[1:]
print("ready", flush=True)
while True:
    load("run", "project", local_path=root).file(file_id=file_id, dest_path=dest).download()
"""


def test_a_killed_download_never_has_the_final_name(experiment, tmp_path, out):
    (tmp_path / "big.bin").write_bytes(os.urandom(1 << 20) * 24)
    record = experiment.file(tmp_path / "big.bin").save()
    whole = 0
    for trial in range(10):
        dest = out / f"{trial}.bin"
        command = [sys.executable, "-c", DOWNLOADER, str(tmp_path / "root"), record["id"], str(dest)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.02 * trial)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if dest.exists():
            whole += 1
            assert hashlib.sha256(dest.read_bytes()).hexdigest() == record["checksum"]
    leftovers = [name for name in os.listdir(out) if not name.endswith(".bin")]
    assert all(name.startswith(".ml-dash-") for name in leftovers)
    assert whole + len(leftovers) > 0


# ---------------------------------------------------------------- delete, update, errors


def test_delete_and_update(experiment, model):
    record = experiment.file(model, tags=["old"], metadata={"a": 1}).save()
    changed = experiment.file(file_id=record["id"], description="new", tags=["new"]).update()
    assert changed | {"updatedAt": 0} == record | {"description": "new", "tags": ["new"], "updatedAt": 0}
    gone = experiment.file(file_id=record["id"]).delete()
    assert list(gone) == ["id", "deletedAt"]
    assert gone["id"] == record["id"]
    assert gone["deletedAt"].endswith("Z")
    assert kept(experiment) == []
    assert not stored(experiment, record).exists()


@pytest.mark.parametrize("errand", ["download", "delete", "update"])
def test_an_id_is_needed_and_must_be_known(experiment, errand, out):
    with pytest.raises(ValueError, match="file_id is missing. Write for example: file"):
        getattr(experiment.file(), errand)()
    for error in (FileNotFoundError, LookupError, FileMissing):
        with pytest.raises(error, match="no file with the id 'unknown'"):
            getattr(experiment.file(file_id="unknown"), errand)()
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    "write",
    [
        lambda run, record: run.file(__file__).save(),
        lambda run, record: run.file("/nowhere").save(),
        lambda run, record: run.file().save_json({}, "a.json"),
        lambda run, record: run.file().save_pkl({}, "a.pkl"),
        lambda run, record: run.file().save_torch({}, "a.pt"),
        lambda run, record: run.file().save_fig(None, "a.png"),
        lambda run, record: run.file().save_image(None, "a.png"),
        lambda run, record: run.file(file_id=record["id"]).update(),
        lambda run, record: run.file(file_id=record["id"]).delete(),
    ],
)
def test_a_closed_run_can_be_read_but_not_written(experiment, model, out, write):
    """That it is closed is said before what else may be wrong."""
    record = experiment.file(model).save()
    experiment.run.complete()
    with pytest.raises(RunClosed, match=r"experiment 'run' .* is not open"):
        write(experiment, record)
    assert experiment.file().list() == [record]
    assert Path(experiment.file(file_id=record["id"]).download()).read_bytes() == CONTENT


def test_before_opening_there_are_no_files(tmp_path):
    with pytest.raises(RuntimeError, match="is not open"):
        Experiment("run", "project", local_path=tmp_path).file()


# ---------------------------------------------------------------- made here


@dataclass
class Config:
    lr: float
    layers: list[int]


def strict(text: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ({"lr": 0.001, "nested": {"a": [1, None, True]}}, {"lr": 0.001, "nested": {"a": [1, None, True]}}),
        ([1, 2.5, "x"], [1, 2.5, "x"]),
        ("text", "text"),
        (None, None),
        (float("nan"), "NaN"),
        ([float("inf"), -float("inf"), "NaN"], ["Infinity", "-Infinity", "NaN"]),
        (2**70, 2**70),
        (
            {"a": np.float32(0.5), "b": np.arange(3), "c": np.zeros((2, 2))},
            {"a": 0.5, "b": [0, 1, 2], "c": [[0, 0], [0, 0]]},
        ),
        (np.arange(20_000), list(range(20_000))),
        ({f"k{i}": i for i in range(20_000)}, {f"k{i}": i for i in range(20_000)}),
        ({0: "cat", True: "yes", None: "no", 1.5: "x"}, {"0": "cat", "true": "yes", "null": "no", "1.5": "x"}),
        ({np.int64(7): "seven", date(2026, 1, 31): "day"}, {"7": "seven", "2026-01-31": "day"}),
        (Config(0.1, [1, 2]), {"lr": 0.1, "layers": [1, 2]}),
        ((Decimal("0.5"), Path("a/b"), date(2026, 1, 31)), [0.5, "a/b", "2026-01-31"]),
    ],
)
def test_json_is_strict_and_takes_what_people_have(experiment, content, read):
    record = experiment.file(prefix="/c").save_json(content, "config.json")
    assert (record["filename"], record["contentType"], record["path"]) == ("config.json", "application/json", "/c")
    assert strict(stored(experiment, record).read_bytes()) == read


def test_json_is_indented_as_the_published_client_writes_it(experiment):
    record = experiment.file().save_json({"a": [1]}, "a.json")
    assert stored(experiment, record).read_text() == json.dumps({"a": [1]}, indent=2) + "\n"


def cycle() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (
            {"a": [0, {"b": object()}]},
            InvalidType,
            r"'x.json': field 'content.a\[1\].b': a value of type builtins.object",
        ),
        ({1, 2}, InvalidType, "field 'content': a value of type builtins.set cannot be stored"),
        ({(1, 2): 3}, InvalidType, r"field 'content': keys must be strings or numbers; got \(1, 2\) of type tuple"),
        ({1: "a", "1": "b"}, InvalidInput, "two keys are both '1' in JSON"),
        ({"a": "\ud800"}, InvalidInput, "holds a lone surrogate"),
        (cycle(), InvalidInput, "nested deeper than 64 levels"),
    ],
)
def test_json_that_cannot_be_says_where(experiment, content, error, text):
    with pytest.raises(error, match=text):
        experiment.file().save_json(content, "x.json")
    assert kept(experiment) == []


def test_pickles_come_back(experiment):
    record = experiment.file(prefix="/p", tags=["t"]).save_pkl({"a": Config(0.1, [])}, "config.pkl")
    assert (record["filename"], record["path"], record["tags"]) == ("config.pkl", "/p", ["t"])
    assert pickle.loads(stored(experiment, record).read_bytes()) == {"a": Config(0.1, [])}
    for wrong in (lambda: 0, (i for i in "x")):
        with pytest.raises(TypeError, match="'a.pkl' cannot be pickled: .*Save what it is made of"):
            experiment.file().save_pkl(wrong, "a.pkl")
    assert kept(experiment) == ["config.pkl"]


def test_torch_models_come_back(experiment):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    record = experiment.file(prefix="/models").save_torch(layer.state_dict(), "model.pt")
    assert (record["filename"], record["path"]) == ("model.pt", "/models")
    state = torch.load(stored(experiment, record), weights_only=True)
    assert torch.equal(state["weight"], layer.weight)
    with pytest.raises(InvalidType, match="'m.pt' cannot be pickled"):
        experiment.file().save_torch({"f": lambda: 0}, "m.pt")
    image = torch.rand(4, 5, 3, requires_grad=True)
    with Image.open(stored(experiment, experiment.file().save_image(image, "a.png"))) as read:
        assert read.size == (5, 4)


@pytest.fixture
def figure():
    figure = plt.figure(figsize=(1, 1))
    figure.add_subplot().plot([1, 2])
    yield figure
    plt.close(figure)


@pytest.mark.parametrize(
    ("name", "kind", "start"),
    [
        ("a.png", "image/png", b"\x89PNG"),
        ("deep/a.SVG", "image/svg+xml", b"<?xml"),
        ("a.pdf", "application/pdf", b"%PDF"),
    ],
)
def test_figures_in_the_format_of_their_suffix(experiment, figure, name, kind, start):
    record = experiment.file(description="d").save_fig(figure, name, dpi=50, bbox_inches="tight")
    assert (record["filename"], record["contentType"], record["description"]) == (name, kind, "d")
    assert stored(experiment, record).read_bytes().startswith(start)


def test_what_is_no_figure_or_no_format(experiment, figure):
    for wrong, text in (([1], "got list. Pass what plt.figure"), (figure.axes[0], r"got Axes. Pass its .figure")):
        with pytest.raises(InvalidType, match=text):
            experiment.file().save_fig(wrong, "a.png")
    with pytest.raises(InvalidInput, match="file_name 'a.xyz': Format 'xyz' is not supported"):
        experiment.file().save_fig(figure, "a.xyz")
    with pytest.raises(InvalidInput, match=r"file_name 'a' has no suffix .* Write for example 'a.png'"):
        experiment.file().save_fig(figure, "a")
    assert kept(experiment) == []
    assert experiment.file().save_fig(Figure(), "a", format="png")["sizeBytes"] > 0


RED = np.zeros((4, 6, 3), dtype=np.uint8) + np.array([255, 0, 0], dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "mode", "pixel"),
    [
        (RED, "RGB", (255, 0, 0)),
        (RED[:, :, 0], "L", 255),
        (RED[:, :, :1], "L", 255),
        (np.dstack([RED, RED[:, :, :1]]), "RGBA", (255, 0, 0, 255)),
        (RED / 255, "RGB", (255, 0, 0)),
        (np.full((4, 6), 0.5, dtype=np.float32), "L", 128),
        (np.full((4, 6), 1, dtype=np.float16), "L", 255),
        (RED[::-1, ::-1], "RGB", (255, 0, 0)),
        (Image.fromarray(RED), "RGB", (255, 0, 0)),
    ],
)
def test_pictures_keep_every_value(experiment, image, mode, pixel):
    record = experiment.file(prefix="/img").save_image(image, "a.png")
    assert (record["filename"], record["contentType"], record["path"]) == ("a.png", "image/png", "/img")
    with Image.open(stored(experiment, record)) as read:
        assert (read.mode, read.size, read.getpixel((0, 0))) == (mode, (6, 4), pixel)


@pytest.mark.parametrize(
    ("image", "name", "text"),
    [
        (RED.transpose(2, 0, 1), "a.png", r"shape \(3, 4, 6\) and type uint8. Its channels come first: use transpose"),
        (np.zeros((4, 6, 2), dtype=np.uint8), "a.png", "expected an array of height × width"),
        (np.zeros(4, dtype=np.uint8), "a.png", "expected an array of height × width"),
        (np.zeros((0, 6), dtype=np.uint8), "a.png", "expected an array of height × width"),
        (RED.astype(int), "a.png", r"Expected uint8, or floats from 0 to 1; got ndarray .* type int64. Use .astype"),
        (RED > 0, "a.png", "Expected uint8"),
        (RED.astype(float), "a.png", "got floats from 0 to 255. Scale them"),
        (np.full((4, 6), -0.5), "a.png", "got floats from -0.5 to -0.5"),
        (np.full((4, 6), np.nan), "a.png", "got floats from nan to nan"),
        ("picture", "a.png", "expected an array of height × width"),
        (RED, "a", "has no suffix that tells the format"),
        (RED, "a.xyz", "Pillow writes no format 'xyz'. Use .png"),
        (np.dstack([RED, RED[:, :, :1]]), "a.jpg", "cannot write mode RGBA as JPEG. Use .png"),
    ],
)
def test_what_is_no_picture(experiment, image, name, text):
    with pytest.raises(InvalidInput, match=text):
        experiment.file().save_image(image, name)
    assert kept(experiment) == []


@pytest.mark.parametrize(
    ("library", "save", "text"),
    [
        (
            "PIL",
            lambda run: run.file().save_image(RED, "a.png"),
            r"save_image\(\) needs Pillow: pip install 'ml-dash\[images\]'",
        ),
        (
            "matplotlib",
            lambda run: run.file().save_fig(0, "a.png"),
            r"save_fig\(\) needs matplotlib: .*'ml-dash\[images\]'",
        ),
        ("torch", lambda run: run.file().save_torch(0, "a.pt"), r"save_torch\(\) needs PyTorch: pip install torch"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(experiment, monkeypatch, library, save, text):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=text):
        save(experiment)


def test_what_is_made_here_leaves_no_temporary_file(experiment, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    experiment.file().save_pkl([1], "a.pkl")
    with pytest.raises(TypeError):
        experiment.file().save_json(object(), "a.json")
    assert os.listdir(scratch) == []


# ---------------------------------------------------------------- size

STREAMS = """
import resource, sys
from ml_dash import Experiment
root, path, dest = sys.argv[1:]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Experiment("run", "project", local_path=root).run as experiment:
    warm = experiment.file(__file__ if "__file__" in globals() else sys.executable).save()
    experiment.file(file_id=warm["id"], dest_path=dest).download()
    before = peak()
    record = experiment.file(path).save()
    experiment.file(file_id=record["id"], dest_path=dest).download()
    print(record["sizeBytes"], (peak() - before) * 1024)
"""


def test_memory_does_not_grow_with_a_file(tmp_path):
    """A hole of 256 MB, up and down, in less than 16 MB more than a small file takes."""
    size = 256 << 20
    with (tmp_path / "big").open("wb") as f:
        f.truncate(size)
    command = [sys.executable, "-c", STREAMS, str(tmp_path / "root"), str(tmp_path / "big"), str(tmp_path / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    stored_size, grown = map(int, done.stdout.split())
    assert stored_size == size == (tmp_path / "copy").stat().st_size
    assert grown < 16 << 20


# ---------------------------------------------------------------- dreamlake


def test_a_session_has_the_same_files_under_its_own_names(tmp_path, model, out):
    with Session("run", "workspace", local_path=tmp_path / "root") as session:
        files = session.files()
        record = files.upload(model, path="/models", description="best", tags=["a"], metadata={"epoch": 1})
        assert list(record) == KEYS
        assert (record["path"], record["description"], record["tags"]) == ("/models", "best", ["a"])
        assert record["experimentId"] == session.id
        other = session.file(file_path=str(model)).save()
        assert files.list() == session.file().list() == [record, other]
        assert files.list(path="/models") == files.list(tags=["a"]) == [record]
        assert files.list(path="/models", tags=["b"]) == []
        assert files.download(record["id"]) == "model.pt"
        assert files.download(record["id"], dest_path=out / "b.pt") == str(out / "b.pt")
        changed = files.update(record["id"], tags=["b"], description="d", metadata={"epoch": 2})
        assert (changed["tags"], changed["description"], changed["metadata"]) == (["b"], "d", {"epoch": 2})
        assert files.delete(record["id"])["id"] == record["id"]
        assert files.list() == [other]
    with pytest.raises(RunClosed, match=r"session.open\(\)"):
        files.upload(model)
    with pytest.raises(RunClosed):
        files.delete(other["id"])
