"""`ml-dash ui`: the dashboard of a folder, at an address that it says and opens, until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from ml_dash.cli import ui
from ml_dash.model import RunKey, RunPatch
from ml_dash.server.settings import Settings
from ml_dash.server.tokens import TokenFile
from ml_dash.store.local import LocalStore
from tests.cli.conftest import SOURCE, Command

INDEX = "<!doctype html><title>the dashboard</title>"


@pytest.fixture
def page(tmp_path: Path) -> str:
    """A build of the page."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text(INDEX)
    return str(folder)


def address(process: subprocess.Popen[str]) -> str:
    """Where it says that it is."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r" at (http://\S+)\. ", line)
    assert found, (line, process.stderr.read() if process.stderr and process.poll() is not None else "")
    return found[1]


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize("named", [True, False])
def test_it_shows_the_folder_until_it_is_interrupted(start, runs: Path, page: str, named: bool) -> None:
    process = start("ui", *([runs] if named else []), "--no-browser", "--port", "0", ML_DASH_PAGE=page)
    url = address(process)
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(url).text == INDEX
    said = httpx.get(f"{url}api/v1/session").json()
    assert (said["signed_in"], said["asks_for_token"], said["place"]) == (True, False, str(runs))
    assert len(httpx.get(f"{url}api/v1/runs").json()["runs"]) == 5
    assert httpx.get(f"{url}api/v1/runs", headers={"Origin": "https://evil.example"}).status_code == 403
    assert end(process) == (0, "")


def test_an_open_page_does_not_keep_it_from_ending(start, page: str) -> None:
    """A page holds connections for as long as it is open."""
    process = start("ui", "--no-browser", "--port", "0", ML_DASH_PAGE=page)
    url = httpx.URL(address(process))
    with socket.create_connection((url.host, url.port or 0)) as open_page:
        open_page.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert open_page.recv(15) == b"HTTP/1.1 200 OK"
        since = time.monotonic()
        assert end(process) == (0, "")
        assert time.monotonic() - since < 15, "an answer under way may take 20 s where a server ends"


@pytest.mark.parametrize("wanted", [True, False])
def test_it_opens_the_browser_unless_it_is_told_not_to(
    start, runs: Path, page: str, tmp_path: Path, wanted: bool
) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.part && mv {seen}.part {seen}\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    options = [] if wanted else ["--no-browser"]
    process = start("ui", runs, "--port", "0", *options, ML_DASH_PAGE=page, BROWSER=f"{browser} %s")
    url = address(process)
    give_up = time.monotonic() + (30 if wanted else 1)
    while not seen.exists() and time.monotonic() < give_up:
        time.sleep(0.02)
    assert (seen.read_text().strip() if seen.exists() else None) == (url if wanted else None)
    assert end(process) == (0, "")


def test_without_a_screen_there_is_no_browser_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would open one in the terminal."""
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not ui._has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    assert ui._has_browser()


def test_a_run_s_own_folder_opens_at_that_run(start, runs: Path, page: str) -> None:
    process = start("ui", runs / "digits" / "low", "--no-browser", "--port", "0", ML_DASH_PAGE=page)
    url = httpx.URL(address(process))
    assert url.path == "/runs/digits/low"
    assert httpx.get(url, headers={"Accept": "text/html"}).text == INDEX
    assert httpx.get(url.copy_with(path="/api/v1/session")).json()["place"] == str(runs)
    assert end(process)[0] == 0


def test_a_project_s_own_folder_opens_at_that_project(start, runs: Path, page: str) -> None:
    process = start("ui", runs / "digits", "--no-browser", "--port", "0", ML_DASH_PAGE=page)
    url = httpx.URL(address(process))
    assert url.path == "/p/digits"
    assert httpx.get(url.copy_with(path="/api/v1/session")).json()["place"] == str(runs)
    assert end(process)[0] == 0


def test_what_a_folder_is(tmp_path: Path) -> None:
    """Of runs, of a project, of a run, by what lies in it; names as they were given, not as they are spelled on disk."""
    root = tmp_path / "runs"
    with closing(LocalStore(root)) as store:
        store.put_run(RunKey("", "a b#c", "r"), RunPatch())
        store.put_run(RunKey("", "x" * 200, "r"), RunPatch())
    (project,) = [one for one in root.iterdir() if one.name.startswith("a")]
    (long,) = [one for one in root.iterdir() if one.name.startswith("x")]
    (tmp_path / "empty").mkdir()
    (project / "nothing").mkdir()
    assert ui._meant(str(root)) == (str(root), "/")
    assert ui._meant(str(project)) == (str(root), "/p/a%20b%23c")
    assert ui._meant(str(long)) == (str(root), "/p/" + "x" * 200)
    assert ui._meant(str(tmp_path / "empty"))[1] == ui._meant(str(project / "nothing"))[1] == "/"


def test_a_folder_with_tokens_asks_for_one(start, tmp_path: Path, page: str) -> None:
    """Whoever made tokens wanted nobody let in without, also where others use the machine."""
    root = tmp_path / "runs"
    _, secret = TokenFile(root).create("read")
    process = start("ui", root, "--no-browser", "--port", "0", ML_DASH_PAGE=page)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "It asks for a token" in line
    url = re.search(r"http://\S+/", line)[0]  # type: ignore[index]
    assert httpx.get(url).text == INDEX
    assert httpx.get(f"{url}api/v1/runs").status_code == 401
    assert httpx.get(f"{url}api/v1/runs", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    assert end(process)[0] == 0


def test_a_folder_that_may_only_be_read_is_shown(start, own_runs: Path, page: str) -> None:
    """Somebody else's runs."""
    for place, _, _ in os.walk(own_runs):
        os.chmod(place, 0o555)
    try:
        process = start("ui", own_runs, "--no-browser", "--port", "0", ML_DASH_PAGE=page)
        assert len(httpx.get(f"{address(process)}api/v1/runs?series=true").json()["runs"]) == 5
        assert end(process)[0] == 0
    finally:
        for place, _, _ in os.walk(own_runs):
            os.chmod(place, 0o755)


def test_a_page_that_is_not_built_is_told(start, runs: Path, tmp_path: Path) -> None:
    process = start("ui", runs, "--no-browser", "--port", "0", ML_DASH_PAGE=str(tmp_path / "none"))
    assert httpx.get(address(process)).status_code == 404
    code, err = end(process)
    assert code == 0
    assert err.startswith("warning: The dashboard is not built here.")


# ---------------------------------------------------------------- ports


def test_the_next_free_port_is_taken(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = taken.getsockname()[1]
        monkeypatch.setattr(ui, "_PORT", first)
        settings = Settings(store=str(runs))
        with ui._listening(settings, None) as (listener, _):
            assert listener.getsockname()[1] > first
        monkeypatch.setattr(ui, "_TRIED", 1)
        with ui._listening(settings, None) as (listener, _):
            assert listener.getsockname()[1] not in (0, first)
        with pytest.raises(OSError, match=f"port {first} of 127.0.0.1 is in use"), ui._listening(settings, first):
            pass


def test_addresses_are_those_that_a_browser_can_open() -> None:
    for address, shown in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")):
        with socket.socket() as listener:
            listener.bind((address, 0))
            assert ui._url(listener) == f"http://{shown}:{listener.getsockname()[1]}"


# ---------------------------------------------------------------- what is wrong


def test_a_folder_that_is_not_there_is_an_error_that_says_where_it_looked(cli: Command, tmp_path: Path) -> None:
    said = cli.error("ui", tmp_path / "nope", code=3)
    assert said == f"error: there is no folder '{tmp_path}/nope' here ({tmp_path}/nope).\n"
    assert "Give its PATH, set ML_DASH_DIR" in Command(tmp_path / "gone").error("ui", code=3)
    (tmp_path / "file").write_text("x")
    assert "is a file" in cli.error("ui", tmp_path / "file", code=2)


def test_others_are_let_in_with_a_token_only(cli: Command) -> None:
    said = cli.error("ui", "--host", "0.0.0.0", "--no-browser", "--port", "0", code=2)
    assert "can be reached from other machines, and there is no token" in said


def test_without_the_server_s_libraries_it_says_what_to_install(runs: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['ml-dash', 'ui']\nfrom ml_dash.cli import main; main()"
    )
    env = {**os.environ, "PYTHONPATH": SOURCE, "ML_DASH_DIR": str(runs)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the dashboard needs uvicorn: pip install 'ml-dash[server]'.\n"
