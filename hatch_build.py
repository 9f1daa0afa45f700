"""Puts the built dashboard into wheels and sdists, so that whoever installs them needs no Node. An editable install builds nothing:
`make web` does, when it is wanted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Builds web/ where it has changed since it was built. An sdist carries the page and its source as one was built from the other,
    so that there is nothing to build in it."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What a build needs beside hatchling: Node, where there is something to build and the machine has none. Asked for before
        anything is known of the build, so that only the frontend's command line tells an editable one."""
        builder = _builder(self.root)
        if any("editable" in argument for argument in sys.argv) or builder.is_fresh() or builder.find_node():
            return []
        return [builder.NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before files are collected."""
        if version == "editable":
            return
        builder = _builder(self.root)
        try:
            builder.build()
        except builder.Failed as e:
            sys.exit(f"error: {e}")


def _builder(root: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_page", Path(root, "web", "build_page.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
