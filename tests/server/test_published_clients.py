"""ml-dash 0.5.2 and dreamlake 0.2.1 from the package index, unmodified, against this server: their users change the URL and the
key. What a script stored is then looked at in the server's folder with nothing but `json`, and read with our own `load`.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

import dreamlake
import ml_dash
from ml_dash.server.tokens import TokenFile
from tests.server.processes import ServerProcess
from tests.server.published import Client, environment

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def python(request: pytest.FixtureRequest) -> Path:
    return environment(request.config.cache.mkdir("published-clients"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    store = tmp_path_factory.mktemp("served") / "runs"
    store.mkdir()
    TokenFile(store).create("admin")  # one token is enough for none to come in without
    with ServerProcess(store) as server:
        yield server
        assert "Traceback" not in server.stdout + server.stderr


def made(package: str, python: Path, server: ServerProcess, folder: Path) -> Client:
    _, token = TokenFile(server.store).create("write")
    return Client(package, python, folder, Path(server.store), server.url, token)


@pytest.fixture(params=["ml-dash", "dreamlake"])
def client(request: pytest.FixtureRequest, python: Path, server: ServerProcess, tmp_path: Path) -> Client:
    return made(request.param, python, server, tmp_path)


@pytest.fixture
def experiments(python: Path, server: ServerProcess, tmp_path: Path) -> Client:
    return made("ml-dash", python, server, tmp_path)


@pytest.fixture
def sessions(python: Path, server: ServerProcess, tmp_path: Path) -> Client:
    return made("dreamlake", python, server, tmp_path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def loaded(client: Client, name: str) -> Any:
    package: Any = ml_dash if client.package == "ml-dash" else dreamlake
    return package.load(name, client.project, local_path=client.store)


def points(client: Client, run: Any, name: str) -> list[dict[str, Any]]:
    metric = run.metrics(name) if client.package == "ml-dash" else run.track(name)
    return [point["data"] for point in metric.read(limit=None)["data"]]


# ---------------------------------------------------------------- one run, whole

WHOLE = """
import hashlib
os.makedirs("made", exist_ok=True)
with open("made/model.bin", "wb") as f:
    f.write(bytes(range(256)) * 1000)
with opened("whole", description="a run", tags=["a", "b"], folder="/runs", metadata={"seed": 7, "nested": {"x": [1, None]}}) as run:
    params(run).set(lr=0.1, model={"depth": 3, "name": "r\\u00e9s"})
    params(run).set(lr=0.2, flags=[True, None])
    tell(params(run).get())
    tell(params(run).get(flatten=False))
    run.log("started")
    run.log("careful", level="WARN", metadata={"epoch": 1}, loss=0.5)
    run.log(metadata={"host": "a"}).error("failed", code=7)
    tell(series(run, "loss", description="the loss", tags=["t"], metadata={"unit": "nats"}).append(value=0.5, step=0))
    tell(series(run, "loss").append(value=0.25, step=1))
    tell(series(run, "loss").append_batch([{"value": 1 / n, "step": n} for n in range(2, 1502)]))
    tell(series(run, "loss").read(start_index=1, limit=2))
    tell(series(run, "loss").read())
    tell(series(run, "loss").read(start_index=1000, limit=20_000))
    tell(series(run, "loss").read(start_index=5000))
    tell(series(run, "loss").stats())
    series(run, "accuracy").append(value=1, note="\\u2713", parts=[1, 2.5], inner={"deep": {"er": False}}, big=2**80)
    tell(series(run, "loss").list_all())
    try:
        series(run, "loss").append_batch([])
    except ValueError as e:
        tell(str(e))
    tell(series(run, "nothing").read())
    saved = run.file(file_path="made/model.bin", prefix="/models", description="weights", tags=["x", "y"],
                     metadata={"epoch": 3}).save()
    tell(saved)
    with open("notes.txt", "w") as f:
        f.write("notes")
    notes = run.file(file_path="notes.txt").save()
    tell([one["filename"] for one in run.file().list()])
    tell([one["filename"] for one in run.file(prefix="/models").list()])
    tell([one["filename"] for one in run.file(tags=["y", "z"]).list()])
    path = run.file(file_id=saved["id"], dest_path="copy.bin").download()
    with open(path, "rb") as f:
        tell([path, hashlib.sha256(f.read()).hexdigest()])
    tell(run.file(file_id=notes["id"]).download())
    tell(run.file(file_id=saved["id"], description="better").update())
    tell(run.file(file_id=saved["id"], tags=["z"], metadata={"epoch": 4}).update())
    tell(run.file(file_id=notes["id"]).delete())
    tell([one["filename"] for one in run.file().list()])
"""


def test_a_whole_run_is_stored_and_answered_as_published(client: Client) -> None:
    """Every call of the surface, once; what each answers, and what is on disk after it."""
    told = iter(client.run(WHOLE.replace('"whole"', '"whole"')))
    name = "whole"
    place = client.place(name)

    flat = {"lr": 0.2, "model.depth": 3, "model.name": "rés", "flags": [True, None]}
    assert next(told) == flat
    assert next(told) == {"lr": 0.2, "model": {"depth": 3, "name": "rés"}, "flags": [True, None]}
    assert json.loads((place / "parameters.json").read_text())["data"] == flat

    loss = {client.series_id: f"local-{client.series.rstrip('s')}-loss"}
    assert next(told) == loss | {"index": 0, "bufferedDataPoints": 1, "chunkSize": 10_000}
    assert next(told) == loss | {"index": 1, "bufferedDataPoints": 2, "chunkSize": 10_000}
    batch = {"startIndex": 2, "endIndex": 1501, "count": 1500, "bufferedDataPoints": 1502, "chunkSize": 10_000}
    assert next(told) == loss | batch
    two = next(told)
    assert [(point["index"], point["data"]) for point in two.pop("data")] == [
        (1, {"value": 0.25, "step": 1}),
        (2, {"value": 0.5, "step": 2}),
    ]
    assert two == {"startIndex": 1, "endIndex": 2, "total": 2, "hasMore": True}
    first = next(told)
    assert (len(first["data"]), first["total"], first["endIndex"], first["hasMore"]) == (1000, 1000, 999, True)
    rest = next(told)
    assert [point["index"] for point in rest["data"]] == list(range(1000, 1502))
    assert not rest["hasMore"]
    assert all(point["createdAt"].endswith("Z") for point in rest["data"])
    assert next(told) == {"data": [], "startIndex": 5000, "endIndex": 4999, "total": 0, "hasMore": False}
    stats = next(told)
    about = {"name": "loss", "description": "the loss", "tags": ["t"], "metadata": {"unit": "nats"}}
    counts = {"totalDataPoints": 1502, "bufferedDataPoints": 1502, "chunkedDataPoints": 0, "totalChunks": 0}
    assert stats.items() >= (loss | about | counts | {"chunkSize": 10_000}).items()
    assert stats["firstDataAt"] <= stats["lastDataAt"] <= stats["updatedAt"]
    listed = next(told)
    assert [(one["name"], one["totalDataPoints"], one["tags"]) for one in listed] == [
        ("accuracy", 1, []),
        ("loss", 1502, ["t"]),
    ]
    assert next(told) == "data_points cannot be empty"
    assert next(told) == {"data": [], "startIndex": 0, "endIndex": -1, "total": 0, "hasMore": False}

    saved = next(told)
    checksum = hashlib.sha256(bytes(range(256)) * 1000).hexdigest()
    told_of_file = {"path": "/models", "filename": "model.bin", "description": "weights", "tags": ["x", "y"]}
    assert saved.items() >= (told_of_file | {"sizeBytes": 256_000, "checksum": checksum, "deletedAt": None}).items()
    assert saved["metadata"] == {"epoch": 3}
    assert saved["contentType"] == "application/octet-stream"
    assert saved[client.run_id] == json.loads((place / client.record).read_text())["id"]
    assert next(told) == ["model.bin", "notes.txt"]
    assert next(told) == ["model.bin"]
    assert next(told) == ["model.bin"]
    assert next(told) == ["copy.bin", checksum]
    assert next(told) == "notes.txt"
    better = next(told)
    assert (better["description"], better["tags"], better["metadata"]) == ("better", ["x", "y"], {"epoch": 3})
    again = next(told)
    assert (again["description"], again["tags"], again["metadata"]) == ("better", ["z"], {"epoch": 4})
    assert next(told)["deletedAt"].endswith("Z")
    assert next(told) == ["model.bin"]
    assert not list(told)

    record = json.loads((place / client.record).read_text())
    said = {"description": "a run", "tags": ["a", "b"], "folder": "/runs"}
    assert record.items() >= said.items()
    assert record["metadata"] == {"seed": 7, "nested": {"x": [1, None]}}
    assert record["status"] == ("COMPLETED" if client.package == "ml-dash" else "RUNNING")
    stored = lines(place / client.series / "loss" / "data.jsonl")
    assert [line["index"] for line in stored] == list(range(1502))
    assert stored[7]["data"] == {"value": 1 / 7, "step": 7}
    (accuracy,) = lines(place / client.series / "accuracy" / "data.jsonl")
    rich = {"value": 1, "note": "✓", "parts": [1, 2.5], "inner": {"deep": {"er": False}}, "big": 2**80}
    assert accuracy == {"index": 0, "data": rich}
    logged = lines(place / "logs" / "logs.jsonl")
    assert [(line["sequenceNumber"], line["level"], line["message"]) for line in logged] == [
        (0, "info", "started"),
        (1, "warn", "careful"),
        (2, "error", "failed"),
    ]
    assert [line.get("metadata") for line in logged] == [None, {"epoch": 1, "loss": 0.5}, {"host": "a", "code": 7}]
    (kept,) = (place / "files" / "models").glob("*/model.bin")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == checksum

    run = loaded(client, name)
    assert points(client, run, "accuracy") == [rich]
    assert len(points(client, run, "loss")) == 1502
    assert [entry["message"] for entry in run.logs.read()] == ["started", "careful", "failed"]
    assert [file["filename"] for file in run.files().list()] == ["model.bin"]
    parameters = run.params if client.package == "ml-dash" else run.parameters()
    assert parameters.get() == flat


# ---------------------------------------------------------------- styles and statuses


def status(client: Client, name: str) -> str:
    """As it is stored."""
    return str(json.loads((client.place(name) / client.record).read_text())["status"])


def test_ml_dash_says_how_a_run_ended_in_each_style(experiments: Client) -> None:
    experiments.run("""
with opened("with") as run:
    run.log("in")

def ended(name, how):
    experiment = Experiment(name=name, project="experiments", remote=URL, api_key=TOKEN)
    experiment.run.start()
    experiment.run.start()
    experiment.metrics("m").append(v=1)
    getattr(experiment.run, how)()

ended("complete", "complete"); ended("fail", "fail"); ended("cancel", "cancel")

@ml_dash_experiment(name="decorated", project="experiments", remote=URL, api_key=TOKEN)
def train(n, experiment):
    experiment.metrics("m").append(v=n)
    return n
assert train(3) == 3

@Experiment(name="run decorated", project="experiments", remote=URL, api_key=TOKEN).run
def train(experiment, n):
    experiment.metrics("m").append(v=n)
train(4)

try:
    with opened("raised") as run:
        run.metrics.append("m", v=1)
        raise KeyError("x")
except KeyError:
    pass
""")
    ends = {"with": "COMPLETED", "complete": "COMPLETED", "fail": "FAILED", "cancel": "CANCELLED"}
    ends |= {"decorated": "COMPLETED", "run decorated": "COMPLETED", "raised": "FAILED"}
    assert {name: status(experiments, name) for name in ends} == ends
    assert points(experiments, loaded(experiments, "run decorated"), "m") == [{"v": 4}]
    assert {loaded(experiments, name).status for name in ends} == {"COMPLETED", "FAILED", "CANCELLED"}


def test_dreamlake_logs_in_each_style_and_never_says_that_it_ended(sessions: Client) -> None:
    """0.2.1 has no call for it: the run is RUNNING, and shown as lost when nothing has come from it for a minute. Anybody may
    say it with one request."""
    told = sessions.run("""
with opened("with") as run:
    run.track(name="t").append(v=1)
session = Session(name="opened", workspace="sessions", remote=URL, api_key=TOKEN)
session.open(); session.open()
session.track(name="t").append(v=2)
session.close(); session.close()

@dreamlake_session(name="decorated", workspace="sessions", remote=URL, api_key=TOKEN)
def train(session):
    session.track(name="t").append(v=3)
    return session.id
tell(train())
""")
    names = ("with", "opened", "decorated")
    assert [points(sessions, loaded(sessions, name), "t") for name in names] == [
        [{"v": 1}],
        [{"v": 2}],
        [{"v": 3}],
    ]
    assert {status(sessions, name) for name in names} == {"RUNNING"}
    (run,) = told
    bearer = {"Authorization": f"Bearer {sessions.token}"}
    answer = httpx.patch(f"{sessions.url}/sessions/{run}/status", json={"status": "COMPLETED"}, headers=bearer)
    assert answer.status_code == 200
    assert status(sessions, "decorated") == "COMPLETED"


def test_a_run_that_is_started_again_goes_on(client: Client) -> None:
    """Indices and log numbers continue, what is said anew replaces the old, the rest stays, and each start is an attempt."""
    name = "again"
    first, second = client.run(f"""
for number in range(2):
    about = {{"tags": ["first"], "description": "kept"}} if not number else {{"tags": ["second"]}}
    with opened({name!r}, **about) as run:
        run.log(f"start {{number}}")
        series(run, "m").append_batch([{{"v": number}}, {{"v": number + 0.5}}])
        params(run).set(**{{f"p{{number}}": number}})
        tell(series(run, "m").append(v=-1))
""")
    assert (first["index"], second["index"]) == (2, 5)
    record = json.loads((client.place(name) / client.record).read_text())
    assert (record["tags"], record["description"], len(record["attempts"])) == (["second"], "kept", 2)
    run = loaded(client, name)
    assert [point["v"] for point in points(client, run, "m")] == [0, 0.5, -1, 1, 1.5, -1]
    assert [entry["sequenceNumber"] for entry in run.logs.read()] == [0, 1]
    assert run._recorder.refresh().params == {"p0": 0, "p1": 1}


def test_hybrid_mode_writes_here_and_there(experiments: Client) -> None:
    experiments.run("""
with opened("hybrid", local_path="local") as run:
    for n in range(3):
        run.metrics("m").append(v=n)
""")
    ours = lines(experiments.place("hybrid") / "metrics" / "m" / "data.jsonl")
    theirs = lines(experiments.folder / "local/experiments/hybrid/metrics/m/data.jsonl")
    assert [line["data"] for line in ours] == [line["data"] for line in theirs] == [{"v": 0}, {"v": 1}, {"v": 2}]


# ---------------------------------------------------------------- names and values


def test_names_with_slashes_and_what_routes_end_in(client: Client) -> None:
    """The clients leave a name as it is in the path; it is the same name here. Where that makes another path of it, they raise."""
    names = [
        "train/loss",
        "a/data",
        "a/data/data",
        "b/append",
        "stats",
        "c/append-batch",
        "Verlust/größe ✓",
        "50% off",
        "None",
    ]
    told = client.run(f"""
with opened("names") as run:
    for number, name in enumerate({names!r}):
        metric = series(run, name)
        metric.append(v=number)
        metric.append_batch([{{"v": number}}])
        assert [p["data"]["v"] for p in metric.read()["data"]] == [number, number], name
        assert metric.stats()["name"] == name, metric.stats()
    tell([one["name"] for one in series(run, "x").list_all()])
""")
    assert told == [sorted(names)]
    run = loaded(client, "names")
    assert {name: points(client, run, name) for name in names} == {
        name: [{"v": number}] * 2 for number, name in enumerate(names)
    }
    (refused,) = client.run("""
with opened("names") as run:
    try:
        series(run, "why?").append(v=1)
    except Exception as e:
        tell(e.response.status_code)
""")
    assert refused == 404
    assert (client.place("names") / client.series / "a/data/data/data.jsonl").is_file()


def test_the_unnamed_metric_and_the_name_in_the_call(experiments: Client) -> None:
    """0.5.2's `metrics.append(name=…)` names the metric; `metrics(None)` is the one called "None"."""
    experiments.run("""
with opened("unnamed") as run:
    run.metrics(None).append(v=1)
    run.metrics.append(name="loss", value=2)
    run.metrics.append("loss", {"value": 3})
    run.metrics.append_batch(name="loss", data_points=[{"value": 4}], description="later")
""")
    run = loaded(experiments, "unnamed")
    assert points(experiments, run, "loss") == [{"value": 2}, {"value": 3}, {"value": 4}]
    assert points(experiments, run, "None") == [{"v": 1}]
    assert run.metrics("loss").stats()["description"] == "later"


def test_numbers_that_are_not_finite(client: Client) -> None:
    """httpx 0.28 refuses them before anything is sent; older ones send them bare, as `json.dumps` writes them. They are stored
    as numbers, and read by these clients as strings: answers are strict JSON. A string stays a string."""
    refused, answer, data = client.run(f"""
with opened("nan") as run:
    try:
        series(run, "m").append(v=float("nan"))
        tell(None)
    except ValueError as e:
        tell(str(e))
    url = f"/{{'experiments' if 'Experiment' in globals() else 'sessions'}}/{{run.id}}/{client.series}/m/append"
    body = json.dumps({{"data": {{"v": float("nan"), "w": float("-inf"), "s": "NaN"}}}})
    tell(run._client._client.post(url, content=body, headers={{"Content-Type": "application/json"}}).json())
    tell(series(run, "m").read()["data"])
""")
    if refused is not None:
        assert "JSON compliant" in refused
    assert answer["index"] == (0 if refused is not None else 1)
    assert data[-1]["data"] == {"v": "NaN", "w": "-Infinity", "s": "NaN"}
    last = points(client, loaded(client, "nan"), "m")[-1]
    assert math.isnan(last["v"])
    assert (last["w"], last["s"]) == (-math.inf, "NaN")


def test_what_cannot_be_stored_is_an_error_of_the_call(client: Client) -> None:
    """The clients raise `HTTPStatusError`; its response says what is wrong. What was there before stays."""
    told = client.run("""
import httpx
def refused(call):
    try:
        call()
    except httpx.HTTPStatusError as e:
        tell([e.response.status_code, e.response.json()["error"], e.response.json()["message"]])
    else:
        tell("nothing raised")
with opened("refused") as run:
    params(run).set(a=1)
    series(run, "m").append(v=1)
    refused(lambda: params(run).set(**{"a.b": 2}))
    refused(lambda: series(run, "m/../../x").append(v=1))
    refused(lambda: series(run, "m").append_batch([{"v": 1}, {f"f{n}": n for n in range(10_001)}]))
    refused(lambda: series(run, "none").stats())
    refused(lambda: run.file(file_id="none").delete())
    refused(lambda: opened("..").__enter__())
    tell(params(run).get())
    tell(series(run, "m").read()["total"])
""")
    kinds = [(status, error) for status, error, _ in told[:-2]]
    # httpx itself takes the dots out of the path, and what is left is no route.
    assert kinds == [
        (400, "InvalidInput"),
        (404, "NotFound"),
        (400, "InvalidInput"),
        (404, "SeriesNotFound"),
        (404, "FileMissing"),
        (400, "InvalidInput"),
    ]
    assert "'a'" in told[0][2]
    assert "'a.b'" in told[0][2]
    assert "row 1" in told[2][2]
    assert told[-2:] == [{"a": 1}, 1]


# ---------------------------------------------------------------- processes, crashes, large files


def test_four_processes_share_a_metric(client: Client) -> None:
    """All appends are stored, each at its own index, none missing; and the log likewise. With their own storage most raise."""
    name = "shared"
    script = f"""
with opened({name!r}) as run:
    for n in range(60):
        tell(series(run, "m").append(who=os.getpid(), n=n)["index"])
        if n % 20 == 0:
            done = series(run, "m").append_batch([{{"who": os.getpid(), "n": n + i / 10}} for i in range(1, 4)])
            [tell(index) for index in range(done["startIndex"], done["endIndex"] + 1)]
            run.log("n", n=n)
"""
    started = [client.start(script) for _ in range(4)]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 4, ended
    indices = [[json.loads(line) for line in out.splitlines()] for out, _ in ended]
    assert sorted(index for mine in indices for index in mine) == list(range(4 * 69))
    stored = lines(client.place(name) / client.series / "m" / "data.jsonl")
    assert [line["index"] for line in stored] == list(range(4 * 69))
    for process, mine in zip(started, indices, strict=True):
        assert mine == [line["index"] for line in stored if line["data"]["who"] == process.pid]
        assert [stored[index]["data"]["n"] for index in mine] == sorted(stored[index]["data"]["n"] for index in mine)
    assert [line["sequenceNumber"] for line in lines(client.place(name) / "logs/logs.jsonl")] == list(range(12))
    assert status(client, name) == ("COMPLETED" if client.package == "ml-dash" else "RUNNING")


def test_a_run_that_was_killed_and_started_again_ends_as_it_should(experiments: Client) -> None:
    """Its first process cannot say anything any more, and does not keep the second one's word from counting."""
    process = experiments.start("""
with opened("killed") as run:
    run.metrics("m").append(v=1)
    tell("there"); sys.stdout.flush()
    time.sleep(600)
""")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == "there"
    process.kill()
    process.communicate()
    assert loaded(experiments, "killed").status == "RUNNING"
    experiments.run("with opened('killed') as run: run.metrics('m').append(v=2)")
    run = loaded(experiments, "killed")
    assert run.status == "COMPLETED"
    assert points(experiments, run, "m") == [{"v": 1}, {"v": 2}]


def test_what_was_answered_survives_the_end_of_the_server(python: Path, tmp_path: Path) -> None:
    """SIGKILL between two appends: all that the client was told of is there, and a client that asks again goes on."""
    store = tmp_path / "runs"
    with ServerProcess(store) as server:
        client = Client("ml-dash", python, tmp_path, store, server.url, "any")
        process = client.start("""
with opened("cut") as run:
    n = 0
    while n < 100_000:
        try:
            tell(run.metrics("m").append(n=n)["index"]); sys.stdout.flush()
        except Exception as e:
            tell(str(e)); break
        n += 1
""")
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in range(50)]
        server.kill()
        out, _ = process.communicate()
        told += [int(line) for line in out.splitlines() if line.isdigit()]
        server.restart()
        client.run("""
with opened("cut") as run:
    assert run.metrics("m").append(n=-1)["index"] == run.metrics("m").stats()["totalDataPoints"] - 1
""")
        stored = [line["data"]["n"] for line in lines(store / "experiments/cut/metrics/m/data.jsonl")]
    assert told == list(range(len(told)))
    # One more may have been stored whose answer did not arrive.
    assert stored[:-1] == list(range(len(stored) - 1))
    assert len(stored) - 1 in (len(told), len(told) + 1)


def test_a_large_file_streams_through_the_server(client: Client, server: ServerProcess) -> None:
    """Both ways, whole, while the server's memory does not grow with it."""
    size = 96 * 1024 * 1024
    process = psutil.Process(server.pid)
    before, peak, over = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        (told,) = client.run(f"""
import hashlib, random
block = random.Random(0).randbytes(1 << 20)
with open("large.bin", "wb") as f:
    for number in range({size} >> 20):
        f.write(number.to_bytes(8, "big") + block[8:])
with opened("large") as run:
    saved = run.file(file_path="large.bin", prefix="/a/b").save()
    path = run.file(file_id=saved["id"], dest_path="back.bin").download()
    tell([saved["checksum"], saved["sizeBytes"], hashlib.sha256(open(path, "rb").read()).hexdigest()])
""")
    finally:
        over.set()
        watching.join()
    (kept,) = (client.place("large") / "files/a/b").glob("*/large.bin")
    digest = hashlib.sha256(kept.read_bytes()).hexdigest()
    assert told == [digest, size, digest]
    assert peak[0] - before < size // 2


def test_json_is_saved_as_published(experiments: Client) -> None:
    """0.5.2 stores it under the name of a temporary file, not under the one that was given; here it is what the client sent."""
    (saved,) = experiments.run("""
with opened("json") as run:
    tell(run.file(prefix="/configs").save_json({"a": [1, 2]}, "config.json"))
""")
    assert saved["filename"].endswith(".json")
    (kept,) = (experiments.place("json") / "files/configs").glob("*/*.json")
    assert json.loads(kept.read_text()) == {"a": [1, 2]}


# ---------------------------------------------------------------- rights


def test_only_a_token_that_may_write_writes(client: Client, server: ServerProcess) -> None:
    """Another text as the key is refused, a read token reads what is there and starts nothing."""
    start = "with opened('rights') as run: tell('opened')"
    attempt = f"""
import httpx
try:
    {start}
except httpx.HTTPStatusError as e:
    tell([e.response.status_code, e.response.json()["error"]])
"""
    _, reads = TokenFile(server.store).create("read")
    for token, status_code in (("mld_" + "x" * 43, 401), ("eyJhbGciOiJIUzI1NiJ9.e30.sig", 401), (reads, 403)):
        other = replace(client, token=token)
        assert other.run(attempt) == [[status_code, "PermissionDenied"]]
    assert not client.place("rights").exists()


def test_runs_of_a_token_with_a_namespace_lie_in_it(client: Client, server: ServerProcess) -> None:
    """And another one's token does not see them."""
    (_, ours), (_, others) = (TokenFile(server.store).create("write", [space]) for space in ("team", "others"))
    mine = replace(client, token=ours)
    (run,) = mine.run("""
with opened("spaced") as run:
    series(run, "m").append(v=1)
    tell(run.id)
""")
    place = Path(server.store) / ".namespaces/team" / client.project / "spaced"
    assert json.loads((place / client.record).read_text())["namespace"] == "team"
    kind = client.record.removesuffix(".json")
    bearer = {"Authorization": f"Bearer {others}"}
    answer = httpx.get(f"{server.url}/{kind}s/{run}/{client.series}/m/data", headers=bearer)
    assert answer.status_code == 404


def test_a_server_on_loopback_without_tokens_takes_a_user_name(python: Path, tmp_path: Path) -> None:
    """Their self-signed tokens say nothing, and nothing is asked there."""
    with ServerProcess(tmp_path / "runs") as server:
        client = Client("ml-dash", python, tmp_path, Path(server.store), server.url, "")
        client.run("""
with Experiment(name="named", project="experiments", remote=URL, user_name="somebody").run as run:
    run.metrics("m").append(v=1)
""")
        assert status(client, "named") == "COMPLETED"
        TokenFile(server.store).create("write")
        refused = client.start("Experiment(name='n', project='p', remote=URL, user_name='somebody').run.start()")
        _, error = refused.communicate()
        assert refused.returncode != 0
        assert "401" in error
