"""Runs one document as a reader would: its blocks in order, in the current folder. A process of its own, started by `test_pages`.

Standard input is JSON: ``{"page": its path, "blocks": [[info, text, line], …]}``. Exit status 1 and a text that names the line
tell what is not as the page says.

```python              runs, in one namespace for the page
```python file=x.py    is written to x.py, not run
```text                after a python block: what that block has printed
```console             each "$ command" runs in bash; what stands below it is its output
# → value              after an expression statement in a python block: its repr

Other blocks are for the eye. In expected text "…" stands for anything, and a line that is only "…" for any lines.
"""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

_ARROW = re.compile(r"# → (.*)$")

STAND_INS = """
import random as _random
_random.seed(0)
train_loader = val_loader = [([0.1 * i, 1.0], i % 2) for i in range(4)]
class _Model:
    weights = [0.0, 0.0]
    def __call__(self, inputs): return sum(w * x for w, x in zip(self.weights, inputs))
    def state_dict(self): return {"weights": list(self.weights)}
model = _Model()
def train_step(model, batch): return 1 / (1 + batch[1]), 0.5
def train_one_epoch(model, loader): return 0.5
def validate(model, loader): return 0.6, 0.9
"""
"""What the pages take from a reader's own training script."""


def main() -> None:
    given = json.load(sys.stdin)
    page, namespace = given["page"], {"__name__": "__page__"}
    exec(STAND_INS, namespace)
    printed: str | None = None
    for info, text, line in given["blocks"]:
        kind = info.split(" ")[0]
        file = re.search(r"\bfile=(\S+)", info)
        if kind == "python" and file:
            Path(file[1]).write_text(text)
        elif kind == "python":
            printed = run_python(page, text, line, namespace)
        elif kind == "text" and printed is not None:
            check(page, line, "the block above has printed", text, printed)
            printed = None
        elif kind == "console":
            run_console(page, text, line)
        else:
            printed = None


def run_python(page: str, text: str, line: int, namespace: dict[str, Any]) -> str:
    """Run a block; what it printed."""
    said = {
        number: found[1].strip() for number, row in enumerate(text.splitlines(), line) if (found := _ARROW.search(row))
    }
    tree = ast.parse("\n" * (line - 1) + text, page)
    marked = _Marked(said)
    tree = ast.fix_missing_locations(marked.visit(tree))
    if said.keys() - marked.found:
        fail(page, min(said.keys() - marked.found), "'# →' does not follow an expression statement")

    def shown(number: int, value: Any) -> None:
        check(page, number, "the value is", said[number], repr(value))

    namespace["__shown__"] = shown
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            exec(compile(tree, page, "exec"), namespace)
    except SystemExit as e:
        if e.code:
            raise
    except BaseException:
        traceback.print_exc()
        fail(page, line, "the block that begins here raised")
    return printed.getvalue()


class _Marked(ast.NodeTransformer):
    """Passes the value of every expression statement in a line with an arrow to ``__shown__``."""

    def __init__(self, said: dict[int, str]) -> None:
        self.said = said
        self.found: set[int] = set()

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        number = node.end_lineno or 0
        if number not in self.said:
            return node
        self.found.add(number)
        call = ast.Call(ast.Name("__shown__", ast.Load()), [ast.Constant(number), node.value], [])
        return ast.copy_location(ast.Expr(call), node)


def run_console(page: str, text: str, line: int) -> None:
    commands: list[tuple[int, str, list[str]]] = []
    for number, row in enumerate(text.splitlines(), line):
        if row.startswith("$ "):
            commands.append((number, row[2:], []))
        else:
            commands[-1][2].append(row)
    for number, command, expected in commands:
        done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(page, number, f"$ {command}\nprints", "\n".join(expected), done.stdout)


def check(page: str, line: int, what: str, expected: str, found: str) -> None:
    rows = [re.escape(row.rstrip()).replace("…", ".*") for row in expected.strip("\n").splitlines()]
    pattern = "".join(r"(?:[^\n]*\n)*" if row == ".*" else row + " *\n" for row in rows)
    if not re.fullmatch(pattern, found.strip("\n") + "\n" if found.strip("\n") else ""):
        fail(page, line, f"{what}\n{found}\nwhere the page has\n{expected}")


def fail(page: str, line: int, what: str) -> NoReturn:
    print(f"{page}, line {line}: {what}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
