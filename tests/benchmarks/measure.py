"""What the benchmarks share: ways measured by turns in one run, and their tables on the screen and in a file.

A benchmark is called with --rounds N and --json FILE; the file holds its tables, its command line, the commit and the
machine, from which tests/benchmarks/report.py makes docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIVEN = tuple(sys.argv)  # commands that are called in this process change theirs


@dataclass
class Table:
    """Rows of one value a column; numbers are kept as they are and shown with 3 digits or more."""

    title: str
    columns: list[str]
    rows: list[list[str | float | int | None]] = field(default_factory=list)

    def add(self, *values: str | float | int | None) -> None:
        if len(values) != len(self.columns):
            raise ValueError(f"{len(values)} values for {len(self.columns)} columns")
        self.rows.append(list(values))

    def __str__(self) -> str:
        cells = [self.columns, *([shown(value) for value in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        is_number = [all(not isinstance(row[column], str) for row in self.rows) for column in range(len(widths))]
        lines = [
            " | ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, is_number, strict=True)
            )
            for row in cells
        ]
        rule = "-|-".join("-" * width for width in widths)
        return "\n".join([self.title, "", f"| {lines[0]} |", f"|-{rule}-|", *(f"| {line} |" for line in lines[1:])])


def shown(value: str | float | int | None) -> str:
    """1234567 -> 1,234,567; 0.01234 -> 0.0123; 1234.5 -> 1,234; None -> -."""
    if value is None:
        return "-"
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return str(value)
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,d}" if isinstance(value, int) else value


def parser(doc: str, rounds: int = 5, **defaults: str | float | int) -> argparse.ArgumentParser:
    """One with --rounds, --json and an option for each default."""
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--rounds", type=once_or_more, default=rounds, help="how often each way is measured (%(default)s)"
    )
    result.add_argument("--json", type=in_a_folder, default="", help="write the tables there, too")
    for name, default in defaults.items():
        option = "--" + name.replace("_", "-")
        result.add_argument(option, type=type(default), default=default, help="(%(default)s)")
    return result


def once_or_more(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def in_a_folder(path: str) -> str:
    """Said before anything is measured, and not after it."""
    if path and not Path(path).parent.is_dir():
        raise argparse.ArgumentTypeError(f"{Path(path).parent}: no such folder")
    return path


def existing_folder(path: str) -> str:
    if path and not Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"{path}: no such folder")
    return path


def by_turns(
    ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """{way: its seconds in each round}. In every round each way runs once; a round before the first is not counted.

    `clock` time.process_time: of this process on all cores, which other work on the machine changes less.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            begin = clock()
            way()
            seconds[name].append(clock() - begin)
    return {name: taken[1:] for name, taken in seconds.items()}


def median_ratio(slower: list[float], faster: list[float]) -> float:
    """The median over rounds of slower / faster of the same round."""
    return statistics.median(other / own for other, own in zip(slower, faster, strict=True))


def power_law(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """(exponent, its standard error) of values ~ sizes^exponent: least squares of the logarithms of 3 points or more.

    The standard error is that of a regression's slope, of len(sizes) - 2 degrees of freedom.
    """
    x, y = ([math.log(value) for value in column] for column in (sizes, values))
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    spread = sum((value - mean_x) ** 2 for value in x)
    slope = sum((one - mean_x) * (other - mean_y) for one, other in zip(x, y, strict=True)) / spread
    residual = sum((other - mean_y - slope * (one - mean_x)) ** 2 for one, other in zip(x, y, strict=True))
    return slope, math.sqrt(residual / (len(x) - 2) / spread)


def line(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """(value at 0, slope) of the straight line through the points, by least squares."""
    fit = statistics.linear_regression(sizes, values)
    return fit.intercept, fit.slope


def cpu_seconds() -> float:
    """Of this process and its children that have ended, the system's share included."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def begin_peak() -> None:
    """From now on memory_mb("VmHWM") is the most that this process has held since."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mb(name: str) -> float:
    """Of this process, by a name of /proc/self/status. (ru_maxrss would count what its parent held when it began.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def report(options: argparse.Namespace, *tables: Table) -> None:
    """Print the tables, and write them to the file of --json with all that is needed to read them later."""
    for table in tables:
        print(table, end="\n\n", flush=True)
    if options.json:
        content = {
            "command": command_line(options),
            "commit": commit(),
            "machine": machine(),
            "tables": [asdict(table) for table in tables],
        }
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n")


def command_line(options: argparse.Namespace) -> str:
    """As it was given, but for where the tables go; of where files lie on this machine only the last name is shown."""
    script, *given = GIVEN
    given = [one for one in given if one not in ("--json", options.json)]
    short = [
        one if not Path(one).is_absolute() or one.startswith("/dev/") else f"DIR/{Path(one).name}" for one in given
    ]
    return shlex.join(["python3", os.path.relpath(script, ROOT), *short])


def commit() -> str:
    """Of this checkout; with + when something in it is changed."""
    git = ["git", "-C", os.fspath(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout else "")


def machine() -> dict[str, str | float | int]:
    """Processor, cores, what else ran (the load of the last minute), versions, and the GPU where there is one."""
    import torch

    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    found: dict[str, str | float | int] = {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found
