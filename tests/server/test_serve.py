"""Real `ml-dash server` processes: how they start, what they refuse to start with, and how they end."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from ml_dash.model import Batch, RunKey, RunPatch, SeriesKey
from ml_dash.server.tokens import TokenFile
from ml_dash.store.local import LocalStore
from ml_dash.store.wire import encode_batches
from tests.crash.children import eventually
from tests.server.guarded import bearer
from tests.server.processes import ENTRY, SOURCE, ServerProcess


def refused(*args: object, **env: str) -> tuple[int, str]:
    """Exit code and error of a server that does not start."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ML_DASH_", "MLDASH_"))}
    done = subprocess.run(
        [*ENTRY, "server", *map(str, args)],
        env={**clean, "PYTHONPATH": SOURCE, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one line, no traceback"
    return done.returncode, done.stderr


def put_run(server: ServerProcess, headers: dict[str, str] | None = None) -> str:
    body = {"key": ["", "p", "n"], "patch": {}}
    return str(httpx.put(server.url + "/api/v1/runs", json=body, headers=headers).raise_for_status().json()["id"])


def until(there: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not there():
        assert time.monotonic() < give_up, "it did not come"
        time.sleep(0.02)


# ---------------------------------------------------------------- start


def test_it_says_where_it_listens_to_people_and_to_programs(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "runs") as server:
        (line,) = server.lines()
        assert line == {
            "time": line["time"],
            "level": "info",
            "event": "listening",
            "url": f"http://127.0.0.1:{server.port}",
            "host": "127.0.0.1",
            "port": server.port,
            "store": str(tmp_path / "runs"),
            "tokens": 0,
            "pid": server.pid,
        }
        assert server.port != 0
        said = server.stderr
        assert f"serves {tmp_path / 'runs'} at {server.url}. It has no tokens, so only this machine is let in." in said
        assert httpx.get(server.url + "/health").json() == {"status": "ok"}


def test_two_servers_over_one_folder_see_the_same(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as one, ServerProcess(tmp_path) as other:
        assert one.port != other.port
        run = put_run(one)
        assert httpx.get(f"{other.url}/api/v1/runs/{run}").status_code == 200


def test_every_option_is_also_a_variable(tmp_path: Path) -> None:
    env = {
        "ML_DASH_HOST": "localhost",
        "ML_DASH_MAX_BODY": "1kB",
        "ML_DASH_MAX_FILE": "10",
        "ML_DASH_MAX_CONNECTIONS": "50",
        "ML_DASH_ALLOWED_HOSTS": "dash.example.com, other.example.com",
        "ML_DASH_TRUSTED_PROXIES": "127.0.0.1",
        "ML_DASH_KEEP_ALIVE": "7",
        "ML_DASH_STOP_TIMEOUT": "3",
        "ML_DASH_LOG_LEVEL": "warning",
    }
    _, secret = TokenFile(tmp_path).create("write")
    header = bearer(secret)
    with ServerProcess(tmp_path, env=env) as server:
        run = put_run(server, header)
        large = httpx.post(server.url + "/api/v1/append", content=b"x" * 2000, headers=header)
        assert (large.status_code, large.json()["error"]) == (413, "InvalidInput")
        place = f"{server.url}/api/v1/runs/{run}/files?put={quote(json.dumps({'filename': 'f'}))}"
        assert httpx.post(place, content=b"x" * 11, headers=header).status_code == 413
        for host, status in (("dash.example.com", 200), ("other.example.com", 200), ("evil.example", 403)):
            assert httpx.get(server.url + "/ready", headers={**header, "Host": host}).status_code == status
        httpx.get(server.url + "/nope", headers={**header, "X-Forwarded-For": "203.0.113.9"})
        assert eventually(lambda: {line.get("status") for line in server.lines()} == {None, 413, 403, 404})
        assert server.lines()[0]["event"] == "listening", "it is said whatever the level"
        (nope,) = [line for line in server.lines() if line.get("path") == "/nope"]
        assert nope["client"] == "203.0.113.9"


def test_the_store_and_the_port_come_from_variables_too(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, text = refused(ML_DASH_STORE=str(tmp_path / "runs"), ML_DASH_PORT=str(port))
        assert (code, f"port {port} of 127.0.0.1" in text) == (1, True)
    assert (tmp_path / "runs").is_dir()


def test_the_folder_is_that_of_the_other_commands(tmp_path: Path) -> None:
    env = {"ML_DASH_DIR": str(tmp_path / "from dir"), "ML_DASH_PORT": "0", "ML_DASH_STORE": ""}
    code, _ = refused("--host", "192.0.2.1", **env)
    assert code == 1
    assert (tmp_path / "from dir").is_dir()


# ---------------------------------------------------------------- what it does not start with


def test_a_port_in_use(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        code, text = refused("--store", tmp_path, "--port", server.port)
    assert code == 1
    assert text == (
        f"error: port {server.port} of 127.0.0.1 is in use: another server runs there. Stop it, or give another --port "
        "(0 takes a free one).\n"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_reach_it_and_there_is_no_token(tmp_path: Path, host: str) -> None:
    code, text = refused("--store", tmp_path, "--port", 0, "--host", host)
    assert code == 2
    assert "anybody could read and delete everything" in text
    assert f"`ml-dash token create --scope write --store {tmp_path}`" in text


def test_others_reach_it_and_there_are_tokens(tmp_path: Path) -> None:
    _, secret = TokenFile(tmp_path).create("read")
    with ServerProcess(tmp_path, "--host", "0.0.0.0") as server:
        url = f"http://127.0.0.1:{server.port}"
        assert httpx.get(url + "/api/v1/runs").status_code == 401
        assert httpx.get(url + "/api/v1/runs", headers=bearer(secret)).status_code == 200
        assert "It asks for a token (1 made)" in server.stderr


def test_a_host_that_is_none_or_another_machine_s(tmp_path: Path) -> None:
    code, text = refused("--store", tmp_path, "--port", 0, "--host", "no such host")
    assert (code, "'no such host' is no name or address of this machine" in text) == (2, True)
    code, text = refused("--store", tmp_path, "--port", 0, "--host", "192.0.2.1")
    assert (code, "192.0.2.1 is no address of this machine" in text) == (1, True)


def test_damaged_tokens(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    file.create("read")
    Path(file.path).write_text("{")
    code, text = refused("--store", tmp_path, "--port", 0)
    assert (code, "tokens.json is damaged" in text) == (1, True)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, text = refused("--store", tmp_path / "file" / "runs", "--port", 0)
    assert code == 1
    assert os.strerror(errno.ENOTDIR) in text
    code, text = refused("--store", tmp_path / "file", "--port", 0)
    assert (code, str(tmp_path / "file") in text) == (1, True)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--max-body", "much"], "--max-body: expected a size such as 64MB or 1GB; got 'much'"),
        (["--log-level", "loud"], "log level: expected one of debug, info, warning, error; got 'loud'"),
        (["--allowed-host", "http://x"], "allowed host: expected a name or address without a port; got 'http://x'"),
        (["--store", "mongodb://x"], "store: only folders can be served"),
    ],
)
def test_options_that_say_nothing(tmp_path: Path, args: list[str], text: str) -> None:
    code, said = refused("--store", tmp_path, "--port", 0, *args)
    assert (code, text in said) == (2, True)


@pytest.mark.parametrize("library", ["fastapi", "uvicorn", "prometheus_client"])
def test_the_extra_is_not_installed(tmp_path: Path, library: str) -> None:
    script = f"import sys; sys.modules[{library!r}] = None\nfrom ml_dash.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "server", "--store", str(tmp_path / "runs"), "--port", "0"],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: the server needs {library}: pip install 'ml-dash[server]'.\n"


# ---------------------------------------------------------------- end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_stored(tmp_path: Path, number: signal.Signals) -> None:
    with ServerProcess(tmp_path) as server, httpx.Client() as client:
        assert client.get(server.url + "/health").status_code == 200, "a connection that rests does not keep it"
        server.signal(number)
        assert server.wait() == 0
        assert [line["event"] for line in server.lines()][-2:] == ["stopping", "stopped"]
        assert "Traceback" not in server.stderr


def test_a_signal_while_it_starts_ends_it(tmp_path: Path) -> None:
    for delay in (0.2, 0.4, 0.6, 0.8, 1.0):
        process = subprocess.Popen(
            [*ENTRY, "server", "--store", str(tmp_path), "--port", "0"],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT), "the last is Python's own, before it knows of signals"
        assert "Traceback" not in said or process.returncode == 130


class Upload:
    """A request that is half sent."""

    def __init__(self, server: ServerProcess, run: str) -> None:
        self._client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        place = f"/api/v1/runs/{run}/files?put={quote(json.dumps({'filename': 'f'}))}"
        head = f"POST {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
        self._client.sendall(head.encode() + b"12345")

    def finish(self) -> bytes:
        self._client.sendall(b"67890")
        return self.answer()

    def answer(self) -> bytes:
        got = b""
        while part := self._client.recv(65536):
            got += part
        self._client.close()
        return got


def in_flight(server: ServerProcess) -> int:
    text = httpx.get(server.url + "/metrics").text
    found = re.search(r"^ml_dash_requests_in_flight (\d+)", text, re.MULTILINE)
    assert found
    return int(found[1]) - 1


def test_a_request_in_flight_ends_and_nothing_new_begins(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        run = put_run(server)
        upload = Upload(server, run)
        until(lambda: in_flight(server) == 1)
        server.signal(signal.SIGTERM)
        until(lambda: server.lines()[-1]["event"] == "stopping")
        until(lambda: not _connects(server.port))
        assert server.process is not None
        assert server.process.poll() is None
        answer = upload.finish()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.wait() == 0
    store = LocalStore(tmp_path)
    (record,) = store.find_files(run)
    assert record.size_bytes == 10
    store.close()


def test_a_request_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--stop-timeout", "1") as server:
        run = put_run(server)
        upload = Upload(server, run)
        until(lambda: in_flight(server) == 1)
        assert server.stop() == 0
        answer = upload.answer()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"error": "Unavailable"' in answer
        assert "Traceback" not in server.stdout + server.stderr
        server.restart()
        assert httpx.get(f"{server.url}/api/v1/runs/{run}/files").json() == {"files": []}


def test_what_hangs_at_the_end_is_ended() -> None:
    """A disk that does not answer must not keep the process: what was acknowledged is on it."""
    script = (
        "import sys, time; from ml_dash.server.access_log import Log; from ml_dash.server.serve import _deadline\n"
        "with _deadline(0.1, Log(sys.stdout)): time.sleep(600)"
    )
    env = {**os.environ, "PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "has not ended within 0.1 s" in json.loads(done.stdout)["message"]


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def test_what_was_acknowledged_survives_a_kill_and_comes_once(tmp_path: Path) -> None:
    """Each batch is sent until it is acknowledged, to a server that is killed six times, at any moment of a request."""
    with ServerProcess(tmp_path) as server:
        run = put_run(server)
        series = SeriesKey(run, "metrics", "m")
        over = threading.Event()
        due = threading.Semaphore(0)
        moments = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02]
        killed: list[float] = []

        def kill() -> None:
            for moment in moments:
                due.acquire()
                if over.is_set():
                    return
                time.sleep(moment)
                server.kill()
                server.restart()
                killed.append(moment)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with httpx.Client(timeout=60) as client:
                for seq in range(0, 3000, 10):
                    sent = [b'{"value": %d}' % i for i in range(seq, seq + 10)]
                    body = encode_batches([Batch(series, sent, "w" * 32, seq)])
                    while not _acknowledged(client, server.url, body):
                        time.sleep(0.01)
                    if seq % 500 == 250:
                        due.release()
            killer.join(120)
        finally:
            over.set()
            due.release()
            killer.join()
        assert killed == moments
        assert server.stop() == 0
    store = LocalStore(tmp_path)
    rows = [json.loads(line) for line in store.read(series, 0, None).lines.splitlines()]
    store.close()
    assert rows == [{"index": i, "data": {"value": i}} for i in range(3000)]


def _acknowledged(client: httpx.Client, url: str, body: bytes) -> bool:
    try:
        return client.post(url + "/api/v1/append", content=body).status_code == 200
    except httpx.TransportError:
        return False


def test_a_log_that_nobody_reads_any_more_stops_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*ENTRY, "server", "--store", str(tmp_path), "--port", "0"],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    process.stdout.close()
    for _ in range(5):
        assert httpx.get(url + "/api/v1/runs").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_run_that_is_there_is_served(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    made = store.put_run(RunKey("", "p", "n"), RunPatch(params={"lr": 0.1}))
    store.close()
    with ServerProcess(tmp_path) as server:
        assert httpx.get(f"{server.url}/api/v1/runs/{made.id}").json()["params"] == {"lr": 0.1}
