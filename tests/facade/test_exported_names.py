"""The public surface is explicit: a name comes or goes only together with this list. And importing it is cheap."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import dreamlake
import ml_dash

ERRORS = [
    "Conflict",
    "CorruptData",
    "FileMissing",
    "InvalidInput",
    "InvalidType",
    "LockTimeout",
    "MlDashError",
    "NewerFormat",
    "NotFound",
    "PermissionDenied",
    "ReadOnly",
    "RunClosed",
    "SeriesNotFound",
    "Unavailable",
]
ML_DASH = [
    *ERRORS,
    "Experiment",
    "ExperimentRun",
    "LogHandler",
    "LogLevel",
    "OperationMode",
    "RunManager",
    "__version__",
    "load",
    "ml_dash_experiment",
    "runs",
]
DREAMLAKE = [
    *ERRORS,
    "LogHandler",
    "LogLevel",
    "OperationMode",
    "Session",
    "__version__",
    "dreamlake_session",
    "load",
    "sessions",
]
HEAVY = ["numpy", "httpx", "rich", "typer", "asyncio", "pandas", "matplotlib", "PIL", "zstandard"]

packages = pytest.mark.parametrize(
    ("package", "names"), [(ml_dash, ML_DASH), (dreamlake, DREAMLAKE)], ids=["ml_dash", "dreamlake"]
)


@packages
def test_the_names_are_these(package: ModuleType, names: list[str]) -> None:
    assert package.__all__ == sorted(names)
    assert dir(package) == sorted(names)


@packages
def test_every_name_is_there_and_no_module_takes_its_place(package: ModuleType, names: list[str]) -> None:
    """Importing a module sets it as its package's attribute: one called "runs" would end up where the function was."""
    assert not [name for name in names if isinstance(getattr(package, name), ModuleType)]
    assert not {module.name for module in pkgutil.iter_modules(package.__path__)}.intersection(names)


@packages
def test_a_star_import_brings_them_all(package: ModuleType, names: list[str]) -> None:
    namespace: dict[str, object] = {}
    exec(f"from {package.__name__} import *", namespace)
    assert sorted(namespace.keys() - {"__builtins__"}) == sorted(names)


@packages
def test_an_unknown_name_is_an_attribute_error(package: ModuleType, names: list[str]) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Experimnt'"):
        package.Experimnt  # noqa: B018
    assert not hasattr(package, "_secret")


def test_both_packages_have_the_same_errors_and_version() -> None:
    for name in [*ERRORS, "LogHandler", "LogLevel", "OperationMode", "__version__"]:
        assert getattr(ml_dash, name) is getattr(dreamlake, name)


def test_errors_are_one_tree() -> None:
    for name in ERRORS:
        assert issubclass(getattr(ml_dash, name), ml_dash.MlDashError)


def test_the_published_name_of_a_run_is_kept() -> None:
    assert ml_dash.RunManager is ml_dash.ExperimentRun


APPEND = """
with {make} as run:
    run.{params}.set(lr=0.1)
    run.{series}("loss").append(value=0.5)
    run.log("message")
    run.file(__import__("os").__file__).save()
"""
EXPERIMENT = {"make": "ml_dash.Experiment('a', 'p', local_path='root').run", "params": "params", "series": "metrics"}
SESSION = {"make": "dreamlake.Session('a', 'p', local_path='root')", "params": "parameters()", "series": "track"}


@pytest.mark.parametrize(
    "code",
    [
        "import ml_dash",
        "import dreamlake",
        "from ml_dash import *",
        "from dreamlake import *",
        "import ml_dash" + APPEND.format(**EXPERIMENT),
        "import dreamlake" + APPEND.format(**SESSION),
        "import ml_dash; ml_dash.runs(local_path='root'); ml_dash.runs(local_path='root')",
    ],
)
def test_nothing_heavy_is_imported(code: str, tmp_path) -> None:
    """Neither by the import nor by a run that appends; `import ml_dash` takes 60 ms at most over bare Python."""
    code += f"\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_importing_the_package_loads_no_more_than_its_errors(tmp_path) -> None:
    code = "import sys, ml_dash; print(*sorted(name for name in sys.modules if name.startswith('ml_dash')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["ml_dash", "ml_dash.errors"]
