"""What the numbers were measured on, without names or paths: processors, memory, kernel, Python, other load."""

from __future__ import annotations

import os
import platform
import sys


def facts() -> str:
    """One line for the end of a table."""
    python = sys.version.split()[0]
    return f"{processors()}, {memory()}, {platform.system()} {platform.release().split('-')[0]}, Python {python}."


def load() -> str:
    """How busy the machine is now: to be asked before measuring, and read before believing."""
    return f"Load average before the start: {os.getloadavg()[0]:.1f}."


def processors() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{usable} CPUs ({model()})"


def model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def memory() -> str:
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
