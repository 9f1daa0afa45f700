"""What a user installs: the wheel, in an environment that has nothing else, runs the README's first example."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LOCAL_MODE_NEEDS = {"httpx", "msgspec", "numpy", "rich", "typer", "zstandard"}

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of `command`, which sees none of this environment's Python settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV_"))}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, PROJECT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return folder / "bin"


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
