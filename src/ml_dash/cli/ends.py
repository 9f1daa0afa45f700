"""How a command ends: exit codes, and errors as one line. Nothing here knows a command.

0 fine, 1 findings or failed, 2 wrong usage, 3 not found, 130 interrupted (Ctrl-C), 141 nobody reads our output.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec

import typer

from ml_dash.cli import output
from ml_dash.errors import InvalidInput, MlDashError, NotFound

P = ParamSpec("P")

FAILED = 1
USAGE = 2
NOT_FOUND = 3
INTERRUPTED = 130
NO_READER = 141


class MissingExtra(MlDashError):
    """A library that only an extra brings is not installed; the text says how to install it."""


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """`command` with what a user can cause turned into one line and an exit code. MLDASH_DEBUG=1 shows the traceback."""

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            _let_go()
            raise typer.Exit(NO_READER) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except (MlDashError, OSError) as e:
            if debugging():
                raise
            _let_go()
            with suppress(BrokenPipeError):
                output.complain("error", _text(e))
            raise typer.Exit(_code(e)) from None

    return call


def debugging() -> bool:
    """Whether the user asked for tracebacks."""
    return any(os.environ.get(name, "") not in ("", "0") for name in ("MLDASH_DEBUG", "ML_DASH_DEBUG"))


def _let_go() -> None:
    """Write what can be written of standard output; what cannot is not tried again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _code(error: BaseException) -> int:
    if isinstance(error, NotFound):
        return NOT_FOUND
    return USAGE if isinstance(error, InvalidInput) else FAILED


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, MlDashError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
