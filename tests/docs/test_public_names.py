"""What a user may call is in the documents: public names of both packages, and public methods and fields of what they give."""

from __future__ import annotations

import dataclasses
import logging
import re

import pytest

import dreamlake
import ml_dash
from dreamlake.session import Track
from ml_dash.experiment import Metric, Metrics
from ml_dash.files import Files, SessionFiles
from ml_dash.logs import LogBuilder, Logs
from ml_dash.params import Parameters
from ml_dash.reading import RunList, RunView
from ml_dash.rollup import Sample
from tests.docs.pages import names, page

GIVEN = [
    ml_dash.Experiment,
    ml_dash.ExperimentRun,
    Metrics,
    Metric,
    Parameters,
    Logs,
    LogBuilder,
    Files,
    RunList,
    RunView,
    Sample,
    dreamlake.Session,
    SessionFiles,
    Track,
]
"""What experiments, sessions and lists of runs hand out."""


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """Every word that is written as code anywhere."""
    return {word for name in names() for word in re.findall(r"\w+", page(name).code())}


@pytest.mark.parametrize("package", [ml_dash, dreamlake])
def test_every_public_name_is_documented(package, documented: set[str]) -> None:
    public = {name for name in package.__all__ if not name.startswith("_")}
    assert public - documented == set()


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: given.__name__)
def test_every_public_method_is_documented(given: type, documented: set[str]) -> None:
    fields = {field.name for field in dataclasses.fields(given)} if dataclasses.is_dataclass(given) else set()
    fields |= set(getattr(given, "__struct_fields__", ()))
    public = {name for name in {*dir(given), *fields} if not name.startswith("_")}
    assert public - documented == set()


def test_every_option_is_documented(documented: set[str]) -> None:
    """Keywords too: of making a run, and of the calls whose keywords are their interface."""
    calls = [
        ml_dash.Experiment,
        dreamlake.Session,
        ml_dash.runs,
        dreamlake.sessions,
        Metric.read,
        Metric.columns,
        Metric.sample,
        Logs.read,
    ]
    keywords = {name for call in calls for name in _parameters(call)}
    assert keywords - documented == set()


def _parameters(call) -> list[str]:
    import inspect

    return [name for name in inspect.signature(call).parameters if not name.startswith("_") and name != "self"]


def test_handler_is_a_standard_one() -> None:
    """So that its own methods need no page of ours."""
    assert issubclass(ml_dash.LogHandler, logging.Handler)
