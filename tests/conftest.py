"""What every test stands on: no setting of the developer's own, and a profile for Hypothesis.

HYPOTHESIS_PROFILE=thorough runs fifty times the examples of the default, `ci`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.services.fixtures import _services, fresh_database, mongo_uri, s3_bucket, s3_place  # noqa: F401  fixtures

for _name in [name for name in os.environ if name.startswith(("ML_DASH_", "DREAMLAKE_"))]:
    del os.environ[_name]

# The machine may be busy with other tests: how long an example takes says nothing.
settings.register_profile("ci", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=3_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spools go to a temporary folder, also those of processes that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: most tests wait, for a service, a child, or time to pass."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2 * (os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak-seconds",
        type=float,
        help="how long each of tests/soak keeps its load up (default: 20, over two tiers 60)",
    )
