"""docs/guides/cli.md says all that the command can do, and nothing that it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ml_dash.cli.app import app

GUIDE = (Path(__file__).parents[2] / "docs/guides/cli.md").read_text(encoding="utf-8")


def commands(group: Any, before: str = "") -> dict[str, Any]:
    """Each command by its name, also those of commands that have some: ``token create``."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = commands(command, f"{name} ") if hasattr(command, "commands") else {}
        found |= inner
        if not inner or command.invoke_without_command:  # ``server`` is a command, and has some
            found[before + name] = command
    return found


COMMANDS = commands(get_command(app))


def first(name: str) -> str:
    return name.partition(" ")[0]


def section(name: str) -> str:
    """The guide's part on a command; what belongs together, as ``token create`` and ``token revoke``, has one."""
    found = re.search(rf"^## `ml-dash {first(name)}\b.*?(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/guides/cli.md has no section '## `ml-dash {name} …`'"
    return found[0]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_in_its_command_s_section(name: str) -> None:
    text = section(name)
    for parameter in COMMANDS[name].params:
        for spelling in parameter.opts if parameter.param_type_name == "option" else ():
            if spelling not in ("--help", "-h", "--dir", "--json"):
                assert re.search(rf"`[^`\n]*(?<![\w-]){re.escape(spelling)}(?![\w-])", text), f"{name} {spelling}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_option_is_in_the_guide_that_is_not_in_the_command(name: str) -> None:
    together = [command for one, command in COMMANDS.items() if first(one) == first(name)]
    known = {spelling for command in together for parameter in command.params for spelling in parameter.opts}
    known |= {"--help", "-h"}
    table = [line for line in section(name).splitlines() if line.startswith("| `-")]
    assert table, f"the section of {name} has no table of options"
    for line in table:
        for spelling in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", line.split("|")[1]):
            assert spelling in known, f"{name} {spelling}"


@pytest.mark.parametrize("words", ["--dir", "--json", "--version", "--install-completion", "--show-completion", "--help", "NO_COLOR",
                                   "MLDASH_DEBUG", "ML_DASH_DIR", "DREAMLAKE_DIR", "| 130 |", "| 141 |", "| 3 |"])  # fmt: skip
def test_what_all_commands_share_is_in_the_guide(words: str) -> None:
    assert words in GUIDE


def test_no_section_on_a_command_that_is_not_there() -> None:
    assert set(re.findall(r"^## `ml-dash (\w+)", GUIDE, re.MULTILINE)) == {first(name) for name in COMMANDS}
