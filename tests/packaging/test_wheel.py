"""What a user installs: the wheel, in an environment that has nothing else, runs the README's first example, and shows the dashboard
on a machine without Node."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from collections.abc import Callable, Iterator
from email.parser import Parser
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LOCAL_MODE_NEEDS = {"httpx", "msgspec", "numpy", "rich", "typer", "zstandard"}

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of `command`, in `clean` surroundings."""
    done = subprocess.run([*map(str, command)], cwd=cwd, env=clean(), capture_output=True, text=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean(**more: str) -> dict[str, str]:
    """An environment without this one's Python settings. npm, where it is run, asks nobody: `make test` has installed what it needs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV_"))}
    return kept | {"npm_config_offline": "true"} | more


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one of the test processes makes for all of them."""
    folder = factory.getbasetemp().parent / name if os.environ.get("PYTEST_XDIST_WORKER") else factory.mktemp(name)
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            make(folder)
            lock.write("made")
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, PROJECT, cwd=folder)

    (built,) = once(tmp_path_factory, "wheel", make).glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment that holds the wheel and what it asks for."""

    def make(folder: Path) -> None:
        venv.create(folder / "venv", with_pip=True)
        run(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)

    return once(tmp_path_factory, "empty", make) / "venv/bin"


def test_wheel_holds_both_packages_typed_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"ml_dash/__init__.py", "ml_dash/py.typed", "dreamlake/__init__.py", "dreamlake/py.typed"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ml_dash", "dreamlake"}


def test_wheel_asks_for_six_libraries_and_python_310(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
    needs = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^A-Za-z0-9-]", line)[0] for line in needs} == LOCAL_MODE_NEEDS
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "MIT"


def test_installed_packages_import_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import ml_dash, dreamlake; print(ml_dash.__file__); print(dreamlake.__file__); print(ml_dash.__version__)"
    ours, theirs, version = run(installed / "python", "-c", code, cwd=tmp_path).splitlines()
    assert Path(ours).is_relative_to(installed.parent)
    assert Path(theirs).is_relative_to(installed.parent)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", version)


def test_first_example_of_the_readme_runs(installed: Path, tmp_path: Path) -> None:
    """As written, in an empty folder; and it leaves at least one series, whose lines are plain JSON from index 0 on."""
    example = re.search(r"^```python\n(.*?)^```", (PROJECT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert example is not None, "README.md has no ```python block"
    (tmp_path / "example.py").write_text(example[1])
    run(installed / "python", "example.py", cwd=tmp_path)
    series = list(tmp_path.rglob("data.jsonl"))
    assert series, f"the example left no data.jsonl among {sorted(tmp_path.rglob('*'))}"
    for path in series:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["index"] for line in lines] == list(range(len(lines)))


def test_command_is_on_the_path(installed: Path, tmp_path: Path) -> None:
    text = run(installed / "ml-dash", "--help", cwd=tmp_path)
    for command in ("list", "show", "plot", "tail", "export", "compare", "doctor", "rm"):
        assert re.search(rf"\b{command}\b", text), f"`ml-dash --help` does not name {command}:\n{text}"


# ---------------------------------------------------------------- the dashboard


@pytest.fixture(scope="module")
def without_node(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH without Node, as most machines have it."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("sh", "env", "uname"):
        (folder / name).symlink_to(shutil.which(name) or "/bin/sh")
    return str(folder)


def page_of(names: set[str], top: str) -> set[str]:
    return {name.removeprefix(top) for name in names if name.startswith(top)}


def test_wheel_holds_the_dashboard_packed_for_browsers(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        page = page_of(set(archive.namelist()), "ml_dash/server/page/")
        index = archive.read("ml_dash/server/page/index.html").decode()
        licenses = archive.read("ml_dash/server/page/licenses.txt").decode()
    loaded = re.findall(r'(?:src|href)="/([^"]+)"', index)
    assert loaded
    assert set(loaded) <= page
    for name in page:
        if name.endswith(".js") and f"{name}.br" not in page:
            with zipfile.ZipFile(wheel) as archive:
                assert archive.getinfo(f"ml_dash/server/page/{name}").file_size < 1024, name
        assert not name.endswith(".map"), name
    for library in ("react", "react-dom", "@tanstack/react-query"):
        assert re.search(rf"^{re.escape(library)} \d", licenses, re.MULTILINE), library
    assert "Permission is hereby granted" in licenses


def test_sdist_carries_the_dashboard_and_becomes_the_wheel_without_node(
    wheel: Path, without_node: str, tmp_path: Path
) -> None:
    """With its source, so that the license's freedom to change it is one; and nothing of what is installed beside it."""
    run(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, PROJECT, cwd=tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"web/src/main.ts", "web/package-lock.json", "web/build_page.py", "hatch_build.py"} <= names
    assert not [name for name in names if "node_modules" in name]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(sdist)]
    done = subprocess.run(command, cwd=tmp_path, env=clean(PATH=without_node), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert page_of(set(one.namelist()), "ml_dash/server/page/") == page_of(
            set(other.namelist()), "ml_dash/server/page/"
        )
        assert set(one.namelist()) == set(other.namelist())


@pytest.fixture
def dashboard(wheel: Path, without_node: str, tmp_path: Path) -> Iterator[str]:
    """The address of `ml-dash ui`, as the installed wheel has it."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", f"{wheel}[server]", cwd=tmp_path)
    (tmp_path / ".ml-dash").mkdir()
    command = [str(folder / "bin/ml-dash"), "ui", "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, env=clean(PATH=without_node), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+/", said)
        assert found, said
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_installed_wheel_shows_the_dashboard_without_node(dashboard: str) -> None:
    with urllib.request.urlopen(dashboard) as answer:
        index = answer.read().decode()
    assets = re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', index)
    assert assets
    for name in assets:
        asked = urllib.request.Request(dashboard + name, headers={"Accept-Encoding": "br"})
        with urllib.request.urlopen(asked) as answer:
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            code = answer.read()
            assert code
            assert len(code) < 1024 or answer.headers["content-encoding"] == "br", name
    with urllib.request.urlopen(f"{dashboard}api/v1/session") as answer:
        assert json.load(answer)["signed_in"] is True
