"""``ml-dash doctor``: what is said of findings, and the exit code. What is found is `ml_dash.doctor`'s business."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from ml_dash.errors import Unavailable
from tests.cli.conftest import Command


class Found(NamedTuple):
    """As `ml_dash.doctor.Finding`."""

    kind: str
    path: str
    offset: int | None
    what: str
    remedy: str
    repairable: bool


TORN = Found("torn line", "/runs/m/data.jsonl", 1234, "The last line has no end.", "--repair cuts it.", True)
LEFT = Found("corrupt", "/runs/n/data.jsonl", None, "Not a record.", "Restore it from a copy.", False)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A doctor in place of the real one; the first element is what it finds, the rest what it was asked."""
    asked: list[Any] = [[]]
    module: Any = ModuleType("ml_dash.doctor")

    def examine(path: str, deep: bool = False) -> list[Found]:
        asked.append((path, deep))
        return asked[0]

    def repair(finding: Found) -> str:
        asked.append(finding)
        return "cut 5 bytes, kept in data.jsonl.torn"

    module.examine, module.repair, module.Finding = examine, repair, Found
    monkeypatch.setitem(sys.modules, "ml_dash.doctor", module)
    monkeypatch.setattr("ml_dash.doctor", module, raising=False)
    return asked


def test_nothing_found(cli: Command, doctor: list[Any]) -> None:
    assert cli.out("doctor") == f"Nothing is wrong in {cli.root}.\n"
    assert doctor[1:] == [(str(cli.root), False)]


def test_findings_with_their_remedies(cli: Command, doctor: list[Any]) -> None:
    doctor[0] = [TORN, LEFT]
    text = cli("doctor", "--deep", code=1).stdout
    assert text.splitlines() == [
        "torn line: /runs/m/data.jsonl at byte 1,234",
        "  The last line has no end.",
        "  remedy: --repair cuts it.",
        "corrupt: /runs/n/data.jsonl",
        "  Not a record.",
        "  remedy: Restore it from a copy.",
        "2 findings; --repair can repair 1 of them.",
    ]
    assert doctor[1:] == [(str(cli.root), True)]


def test_repair_says_what_it_did_and_what_is_left(cli: Command, doctor: list[Any]) -> None:
    doctor[0] = [TORN, LEFT]
    text = cli("doctor", "--repair", code=1).stdout
    assert "  repaired: cut 5 bytes, kept in data.jsonl.torn\n" in text
    assert text.endswith("1 of 2 findings repaired.\n")
    assert doctor[2:] == [TORN]
    doctor[0] = [TORN]
    assert cli("doctor", "--repair", code=0).stdout.endswith("1 of 1 finding repaired.\n")


def test_json(cli: Command, doctor: list[Any]) -> None:
    import json

    doctor[0] = [TORN, LEFT]
    document = json.loads(cli("doctor", "--repair", "--json", code=1).stdout)
    assert document["path"] == str(cli.root)
    assert document["findings"][0] == {**TORN._asdict(), "repaired": "cut 5 bytes, kept in data.jsonl.torn"}
    assert document["findings"][1]["repaired"] is None


def test_the_real_one_on_a_damaged_run(own_cli: Command) -> None:
    """A run that nothing else can open is found by its name and mended."""
    (own_cli.root / "digits" / "mid" / "experiment.json").write_text("{broken")
    assert "experiment.json" in own_cli("doctor", "mid", code=1).stdout
    assert "Nothing is wrong" in own_cli("doctor", "high", code=0).stdout
    assert "1 of 1 finding repaired." in own_cli("doctor", "mid", "--repair", code=0).stdout
    assert own_cli.json("show", "mid")["name"] == "mid"
    assert "Nothing is wrong" in own_cli("doctor", code=0).stdout


def test_a_repair_that_fails_does_not_keep_the_next_from_its_turn(
    cli: Command, doctor: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def repair(finding: Found) -> str:
        if finding is TORN:
            raise Unavailable("a process has it open")
        return "done"

    monkeypatch.setattr(sys.modules["ml_dash.doctor"], "repair", repair)
    doctor[0] = [TORN, LEFT._replace(repairable=True)]
    result = cli("doctor", "--repair", code=1)
    assert "1 of 2 findings repaired." in result.stdout
    assert result.stderr == "not repaired: a process has it open\n"


def test_a_folder_or_a_run(cli: Command, doctor: list[Any], tmp_path: Path) -> None:
    cli("doctor", tmp_path)
    cli("doctor", "mid")
    cli("doctor", "digits/high")
    assert [path for path, _ in doctor[1:]] == [
        str(tmp_path),
        str(cli.root / "digits/mid"),
        str(cli.root / "digits/high"),
    ]
    assert "Did you mean 'high'" in cli.error("doctor", "hihg", code=3)
