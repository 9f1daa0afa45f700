"""``ml-dash sync``: what lies in folders gets to a server, once, whatever kind of folder it is; and what doctor says of the rest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import dreamlake
import ml_dash
from dreamlake import Session
from ml_dash import Experiment
from ml_dash.server.app import create_app
from ml_dash.store.local import LocalStore
from ml_dash.sync import Sender, tasks
from tests.cli.conftest import Command, Start, runner
from tests.server.cutting_proxy import Answer, CuttingProxy
from tests.server.live import live
from tests.server.processes import ServerProcess

FIXTURES = Path(__file__).parents[1] / "fixtures/published"
WAIT = 60.0


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's spools lie."""
    place = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    monkeypatch.setenv("ML_DASH_CLOSE_SECONDS", "0.2")
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return tmp_path / "served"


@pytest.fixture
def url(served: Path) -> Iterator[str]:
    store = LocalStore(served)
    with live(create_app(store)) as address:
        yield address
    store.close()


@pytest.fixture
def proxy(url: str) -> Iterator[CuttingProxy]:
    with CuttingProxy(url) as between:
        yield between


@pytest.fixture
def run(tmp_path: Path) -> Command:
    """The command, without a folder that the environment names."""
    return Command(tmp_path / ".ml-dash")


def rows(served: Path, name: str, series: str = "loss", group: str = "p", kind: str = "metrics") -> list[Any]:
    """The rows of a series at the server, gapless."""
    lines = [
        json.loads(line) for line in (served / group / name / kind / series / "data.jsonl").read_text().splitlines()
    ]
    assert [line["index"] for line in lines] == list(range(len(lines)))
    return [line["data"] for line in lines]


def keep(name: str, points: int, **place: Any) -> str:
    """A run with so many points, a file and a parameter; its folder."""
    with quiet(), Experiment(name, "p", **place).run as experiment:
        experiment.metrics("loss").append_batch([{"value": i} for i in range(points)])
        experiment.params.set(lr=0.1)
        experiment.file().save_json({"a": 1}, "a.json")
        if "remote" in place:
            wait_for(lambda: experiment._storage._failures)  # type: ignore[union-attr]
    assert experiment.path is not None
    return experiment.path


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings are not what is looked at here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def wait_for(there: Callable[[], Any]) -> None:
    give_up = time.monotonic() + WAIT
    while not there():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.01)


# ---------------------------------------------------------------- spools


def test_all_spools_of_this_machine_are_sent(
    run: Command, proxy: CuttingProxy, served: Path, state: Path, capfd: Any
) -> None:
    """Each to its server, a line a run; what is sent is taken away, and there is nothing to do any more."""
    proxy.refuse()
    for name in ("one", "two"):
        keep(name, 1000, remote=proxy.url)
    proxy.listen()
    out = run.out("sync")
    for name in ("one", "two"):
        assert f"sent p/{name} to {proxy.url}/runs/p/{name}: 1,000 points, 1 file, 3 changes\n" in out
        assert rows(served, name) == [{"value": i} for i in range(1000)]
    assert run.out("sync") == "Nothing waits to be sent.\n"
    assert not [path for path in state.glob("ml-dash/spool/*/p/*") if path.is_dir()]


def test_a_run_that_another_sync_has_sent_is_done(proxy: CuttingProxy, served: Path, capfd: Any) -> None:
    """It was there when both began."""
    proxy.refuse()
    keep("one", 10, remote=proxy.url)
    proxy.listen()
    found = tasks([])
    first, second = Sender(), Sender()
    assert [(report.points, report.taken_away) for report in map(first.send, found)] == [(10, True)]
    assert [(report.points, report.is_done, report.why) for report in map(second.send, found)] == [(0, True, "")]
    first.close()
    second.close()
    assert len(rows(served, "one")) == 10


def test_a_server_that_stays_away_is_told(run: Command, proxy: CuttingProxy, served: Path, capfd: Any) -> None:
    """The second run does not wait for it again. Nothing is lost, and --json says the same."""
    proxy.refuse()
    paths = [keep(name, 10, remote=proxy.url) for name in ("one", "two")]
    out = run("sync", "--patience", 0.3, code=1).stdout
    assert re.findall(r"not sent p/(\w+) to .*cannot be reached.* 10 points and 4 changes are left", out) == [
        "one",
        "two",
    ]
    document = json.loads(run("sync", "--patience", 0, "--json", code=1).stdout)
    assert [one["path"] for one in document["runs"]] == paths
    assert [one["left"] for one in document["runs"]] == [{"points": 10, "changes": 4}] * 2
    proxy.listen()
    document = json.loads(run("sync", "--json").stdout)
    assert [(one["sent"], one["error"], one["taken_away"]) for one in document["runs"]] == [
        ({"points": 10, "files": 1, "changes": 3}, None, True)
    ] * 2
    assert len(rows(served, "one")) == 10


def test_a_server_that_comes_back_is_waited_for(run: Command, proxy: CuttingProxy, served: Path, capfd: Any) -> None:
    proxy.refuse()
    path = keep("one", 10, remote=proxy.url)
    proxy.listen()
    proxy.plan(Answer(503), Answer(500), Answer(429, headers={"Retry-After": "0"}))
    assert "sent p/one" in run.out("sync", path)
    assert len(rows(served, "one")) == 10


def test_a_spool_of_another_token_is_not_sent_unasked(
    run: Command, tmp_path: Path, served: Path, state: Path, capfd: Any
) -> None:
    """It may be another namespace's; who names it means it."""
    with ServerProcess(served) as server:
        token = run.out("token", "create", "--scope", "write", "--store", served).split()[0]
        server.kill()
        path = keep("one", 10, remote=server.url, api_key="mld_" + "a" * 40)
        server.restart()
        out = run("sync", "--api-key", token, code=1).stdout
        assert "it was kept for a token, and that is not the one that is given" in out
        assert token not in out
        assert not (served / "p").exists()
        assert "401" in run("sync", path, code=1).stdout or "token" in run("sync", path, code=1).stdout
        assert "sent p/one" in run("sync", path, "--api-key", token).stdout
        assert len(rows(served, "one")) == 10
    assert not [path for path in state.glob("ml-dash/spool/*/p/*") if path.is_dir()]


def test_doctor_tells_what_waits(run: Command, proxy: CuttingProxy, state: Path, capfd: Any) -> None:
    """Which run, how much, for which server, why, and the command; there need not be a folder of runs."""
    proxy.refuse()
    path = keep("one", 10, remote=proxy.url)
    out = run("doctor", code=1).stdout
    assert f"unsent: {path}" in out
    assert f"10 points and 4 changes are not at {proxy.url}; nothing was sent yet: {proxy.url} cannot be reached" in out
    command = re.search(r"remedy: Run: ml-dash (sync .*)", out)
    assert command
    proxy.listen()
    assert "sent p/one" in run.out(*command[1].split())
    assert run.out("doctor") == "Nothing is wrong in the spools of this machine.\n"


def test_doctor_tells_of_a_folder_that_is_sent_behind(
    run: Command, proxy: CuttingProxy, tmp_path: Path, capfd: Any
) -> None:
    """Hybrid mode: beside what is damaged, as JSON too."""
    proxy.refuse()
    path = keep("one", 10, remote=proxy.url, local_path=tmp_path / ".ml-dash")
    [finding] = json.loads(run("doctor", "--json", code=1).stdout)["findings"]
    assert (finding["kind"], finding["path"], finding["repairable"]) == ("unsent", path, False)
    assert finding["remedy"] == f"Run: ml-dash sync {path} --remote {proxy.url}"
    proxy.listen()
    run("sync", path)
    assert json.loads(run("doctor", "--json").stdout)["findings"] == []


# ---------------------------------------------------------------- folders


def test_a_folder_that_never_heard_of_a_server(run: Command, url: str, served: Path, tmp_path: Path) -> None:
    """All of it, a project of it, or one run; as often as one likes; and what was written since."""
    place = tmp_path / ".ml-dash"
    for name in ("one", "two"):
        keep(name, 10, local_path=place)
    with Session("three", "q", local_path=place) as session:
        session.track("pose").append(x=1.0)
    assert "sent p/one" in run.out("sync", place / "p/one", "--remote", url)
    assert sorted(os.listdir(served / "p")) == [".lock", "one"]
    out = run.out("sync", place / "p", "--remote", url)
    assert f"sent p/one to {url}/runs/p/one: nothing to send\n" in out
    assert f"sent p/two to {url}/runs/p/two: 10 points, 1 file, 3 changes\n" in out
    assert run.out("sync", place, "--remote", url).count("nothing to send") == 2
    assert rows(served, "three", "pose", "q", "tracks") == [{"x": 1.0}]
    with Experiment("one", "p", local_path=place).run as experiment:
        experiment.metrics("loss").append(value=10)
    assert "sent p/one to" in (out := run.out("sync", place))
    assert "p/one: 1 point, 2 changes\n" in out
    assert rows(served, "one") == [{"value": i} for i in range(11)]
    assert len(json.loads((served / "p/one/experiment.json").read_text())["attempts"]) == 2
    assert (place / "p/one").is_dir()


@pytest.mark.parametrize("client", ["ml-dash-0.5.2", "dreamlake-0.2.1"])
def test_folders_of_published_clients(run: Command, url: str, served: Path, tmp_path: Path, client: str) -> None:
    """Rows, times, NaN, files, parameters and log, as the folder itself tells them; what is damaged is named and stops nothing else."""
    shutil.copytree(FIXTURES / client, tmp_path / "old")
    load, kind = (ml_dash.load, "metrics") if client.startswith("ml") else (dreamlake.load, "tracks")
    with quiet():
        out = run("sync", tmp_path / "old", "--remote", url, code=1)
    sent = re.findall(r"^sent published/(\w+)", out.stdout, re.MULTILINE)
    assert sorted(sent) == ["killed", "raced", "torn", "whole"]
    assert re.findall(r"^not sent published/(\w+) .*parameters.json: not a JSON record", out.stdout, re.MULTILINE) == [
        "refused"
    ]
    assert "refused:" not in out.stdout
    for name in sent:
        with quiet():
            here, there = load(name, "published", local_path=tmp_path / "old"), load(name, "published", remote=url)
            assert repr(told(here, kind)) == repr(told(there, kind))
    with quiet():
        again = run("sync", tmp_path / "old", "--remote", url, code=1).stdout
    assert again.count("nothing to send") == 4


def told(run: Any, kind: str) -> Any:
    """What a run holds, times of points to the tenth of a second."""
    handle = run.metrics if kind == "metrics" else run.track
    names = sorted(one["name"] for one in handle().list_all())
    points = {
        name: [(point["index"], point["data"]) for point in handle(name).read(limit=None)["data"]] for name in names
    }
    began = {name: handle(name).read(limit=1)["data"][0]["createdAt"][:19] for name in names if points[name]}
    files = [(file["path"], file["filename"], file["checksum"]) for file in run.file().list()]
    logs = [
        {key: value for key, value in entry.items() if key != "sequenceNumber"} for entry in run.logs.read(limit=None)
    ]
    return points, began, run.params.get(), files, logs, run.description, run.tags


def test_a_run_that_is_being_written(run: Command, url: str, served: Path, tmp_path: Path) -> None:
    """What is there is sent, and the command ends; the rest comes with the next."""
    experiment = Experiment("live", "p", local_path=tmp_path / ".ml-dash")
    experiment.run.start()
    experiment.metrics("loss").append_batch([{"value": i} for i in range(100)])
    run.out("sync", tmp_path / ".ml-dash", "--remote", url)
    assert len(rows(served, "live")) == 100
    assert json.loads((served / "p/live/experiment.json").read_text())["status"] == "RUNNING"
    experiment.metrics("loss").append(value=100)
    experiment.run.complete()
    run.out("sync", tmp_path / ".ml-dash")
    assert rows(served, "live") == [{"value": i} for i in range(101)]
    assert json.loads((served / "p/live/experiment.json").read_text())["status"] == "COMPLETED"


def test_several_at_once_beside_the_writer(start: Start, served: Path, tmp_path: Path, state: Path) -> None:
    """The real command, three times, while a process appends: every point once, in order."""
    place = tmp_path / ".ml-dash"
    with ServerProcess(served) as server:
        experiment = Experiment("live", "p", local_path=place, remote=server.url)
        experiment.run.start()
        commands: list[subprocess.Popen[str]] = []
        for step in range(30_000):
            experiment.metrics("loss").append(value=step)
            if step % 5_000 == 0:
                commands.append(start("sync", place, root=place, XDG_STATE_HOME=str(state)))
        experiment.run.complete()
        for command in commands:
            out, err = command.communicate(timeout=WAIT)
            assert (command.returncode, err) == (0, ""), out + err
        last = start("sync", place, root=place, XDG_STATE_HOME=str(state))
        assert "nothing to send" in last.communicate(timeout=WAIT)[0] or last.returncode == 0
        assert rows(served, "live") == [{"value": i} for i in range(30_000)]


def test_a_copy_that_went_its_own_way(run: Command, url: str, served: Path, tmp_path: Path) -> None:
    """Is not mixed with its original: it is sent under a name of its own, whole, and again without doubling."""
    original, copy = tmp_path / "a", tmp_path / "b"
    keep("one", 10, local_path=original)
    run.out("sync", original, "--remote", url)
    shutil.copytree(original, copy)
    for place, value in ((original, "x"), (copy, "y")):
        with Experiment("one", "p", local_path=place).run as experiment:
            experiment.metrics("loss").append(value=value)
    run.out("sync", original)
    out = run("sync", copy, code=1).stdout
    assert "went its own way" in out
    assert "--as NAME" in out
    for what in ("1 point", "nothing to send"):
        out = run.out("sync", copy / "p/one", "--as", "other")
        assert f"sent p/other to {url}/runs/p/other: " in out
        assert what in out
    assert rows(served, "one") == [{"value": i} for i in [*range(10), "x"]]
    assert rows(served, "other") == [{"value": i} for i in [*range(10), "y"]]


def test_a_run_that_was_deleted_at_the_server_is_sent_again(
    run: Command, url: str, served: Path, tmp_path: Path
) -> None:
    keep("one", 10, local_path=tmp_path / ".ml-dash")
    run.out("sync", tmp_path / ".ml-dash", "--remote", url)
    run.out("rm", "one", "--remote", url, "--yes")
    assert "10 points, 1 file" in run.out("sync", tmp_path / ".ml-dash")
    assert len(rows(served, "one")) == 10


@pytest.mark.parametrize(
    "damage", [b'{"index": 2, "data": {"value": 2}]', b'{"index": 7, "data": {"value": 2}}'], ids=["no JSON", "index"]
)
def test_a_damaged_series_does_not_hold_up_the_others(
    run: Command, url: str, served: Path, tmp_path: Path, damage: bytes
) -> None:
    """It is named, and sent once it is repaired; the server never has another row in the place of the one that was written."""
    with Experiment("one", "p", local_path=tmp_path / ".ml-dash").run as experiment:
        for name in ("good", "bad"):
            experiment.metrics(name).append_batch([{"value": i} for i in range(5)])
    path = tmp_path / ".ml-dash/p/one/metrics/bad/data.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'{"index": 2, "data": {"value": 2}}', damage))
    for _ in range(2):
        out = run("sync", tmp_path / ".ml-dash", "--remote", url, code=1).stdout
        assert f"{path}: row 2 is damaged" in out
        assert "doctor --repair" in out
        assert "refused" not in out
        assert len(rows(served, "one", "good")) == 5
    path.write_bytes(whole)
    run.out("sync", tmp_path / ".ml-dash")
    assert rows(served, "one", "bad") == [{"value": i} for i in range(5)]


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["sync", "nowhere"], 3, "there is no folder 'nowhere'"),
        (["sync", "."], 3, "there are no runs in '.'"),
        (["sync", "kept"], 2, "does not say which server it is for. Give --remote URL, or set ML_DASH_URL"),
        (["sync", "kept", "--remote", "localhost"], 2, "remote: 'localhost' is no address"),
        (["sync", "--as", "x"], 2, "--as names one run; here are 0"),
        (["sync", "kept", "--remote", "http://h", "--as", "a/b"], 2, "--as 'a/b'"),
        (["list", "--dir", "kept", "--remote", "http://h"], 2, "--dir and --remote"),
    ],
)
def test_wrong_usage(run: Command, tmp_path: Path, words: list[str], code: int, error: str) -> None:
    keep("one", 1, local_path=tmp_path / "kept")
    assert error in run.error(*words, code=code)


def test_a_token_for_two_servers_is_refused(run: Command, proxy: CuttingProxy, capfd: Any) -> None:
    """It is shown to none of them."""
    proxy.refuse()
    keep("one", 1, remote=proxy.url)
    keep("two", 1, remote="http://127.0.0.1:9")
    assert "--api-key: a token is for one server" in run.error("sync", "--api-key", "SECRET", code=2)


# ---------------------------------------------------------------- the other commands over a server


@pytest.fixture
def filled(url: str) -> str:
    for name, lr in (("low", 0.001), ("high", 0.1)):
        with Experiment(name, "p", remote=url, local_path="local").run as experiment:
            experiment.params.set(lr=lr)
            experiment.metrics("train/loss").append_batch([{"value": lr * i, "step": i} for i in range(50)])
            experiment.log("hello")
    return url


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--filter", "params.lr < 0.01"],
        ["show", "low"],
        ["plot", "low", "train/loss"],
        ["tail", "p/low", "-n", "3"],
        ["export", "low", "--format", "jsonl"],
        ["export", "low", "--format", "csv"],
        ["compare", "low", "high"],
    ],
    ids=" ".join,
)
def test_commands_tell_of_a_server_what_they_tell_of_a_folder(run: Command, filled: str, words: list[str]) -> None:
    """--remote in place of --dir, or ML_DASH_URL where neither is given."""

    def plain(text: str) -> str:
        text = re.sub(r"(?m)^(path|id|started|took) .*$", "", text)
        return re.sub(r"\d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT?[\d:. Z]*|\d+(\.\d+)? ?m?s\b", "…", text)

    there, here = run.out(*words, "--remote", filled), run.out(*words, "--dir", "local")
    assert there
    assert plain(there) == plain(here)
    env = {"ML_DASH_URL": filled, "ML_DASH_DIR": None}
    from ml_dash.cli.app import app

    assert plain(runner().invoke(app, words, env=env, prog_name="ml-dash").stdout) == plain(here)


def test_a_run_at_a_server_is_deleted_there(run: Command, filled: str, served: Path) -> None:
    """And nowhere else."""
    out = run.out("rm", "low", "--remote", filled, "--yes")
    assert f"{filled}/runs/p/low" in out
    assert not (served / "p/low").exists()
    assert Path("local/p/low").is_dir()
    assert "there is no run 'low'" in run.error("show", "low", "--remote", filled, code=3)


def test_a_server_that_cannot_be_asked(run: Command, proxy: CuttingProxy) -> None:
    proxy.refuse()
    assert "cannot be reached" in run.error("list", "--remote", proxy.url, code=1)
