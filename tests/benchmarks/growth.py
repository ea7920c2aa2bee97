"""How time and memory of every stage grow with utterances, speakers and trials, over a factor of 100.

Usage: python3 tests/benchmarks/growth.py [--stages NAME,...] [--largest N] [--voxceleb2] [--list] [--json FILE]
Every point is a process of its own: it makes nothing but calls the stage's command, once on a few items so that all is
imported, then on drawn data that another process made; of three rounds through the sizes the median counts. Time is
processor time, of children too; memory is the most that was in use (VmHWM) less what was in use before the command,
mapped files included. Exponents are fitted in logarithms to the points of a tenth of the largest size and more, where
what does not grow no longer hides the growth; of all points, too. Memory at VoxCeleb2's size is where the straight line
through the same points leads.
--voxceleb2 runs one more point of each stage at the size that it has there, by which the straight line through the
others is judged; takes about 15 minutes, 8 GB of disk and 8 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from growth_stages import STAGES
from measure import ROOT, Table, begin_peak, cpu_seconds, existing_folder, line, memory_mb, parser, power_law, report

FITTED = 10  # the exponents are of the sizes that are at least the largest over this
ROUNDS = 3  # of all sizes of a stage; of a point counts what is in the middle
LONG = 8.0  # seconds: a point that takes longer is measured once
LEAST_MB = 4.0  # a stage that never holds more has no exponent of memory: it would be one of noise


class Point(NamedTuple):
    """What a stage took at one size."""

    stage: str
    size: int
    cpu_seconds: float
    seconds: float
    peak_mb: float  # above what was in use before
    whole_mb: float  # with that


def main() -> None:
    options = arguments()
    if options.list:
        print(*STAGES, sep="\n")
        return
    if options.point:
        measure_point(*options.point)
        return
    wanted = [name.strip() for name in options.stages.split(",") if name.strip()]
    if unknown := [one for one in wanted if not any(one in name for name in STAGES)]:
        raise SystemExit(f"growth: no stage is called {', '.join(unknown)}; --list shows them")
    chosen = {name: stage for name, stage in STAGES.items() if not wanted or any(one in name for one in wanted)}
    points, failed = [], []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as for Ctrl-C, the folder goes with it
    with tempfile.TemporaryDirectory(prefix="growth-", dir=options.folder or None) as folder:
        for name, stage in chosen.items():
            sizes = sorted({min(size, options.largest or size) for size in stage.sizes})
            sizes += [stage.at_voxceleb2] * (options.voxceleb2 and stage.at_voxceleb2 > 0)
            try:
                points += points_of(name, sizes, Path(folder))
            except subprocess.CalledProcessError as error:
                failed.append(name)
                print(f"growth: {name}: {str(error.stderr).strip()[-2000:]}", file=sys.stderr)
    report(
        options,
        *tables(
            points,
            {name: stage.at_voxceleb2 for name, stage in STAGES.items()},
            {name: stage.unit for name, stage in STAGES.items()},
        ),
    )
    if failed:
        raise SystemExit(f"growth: failed: {'; '.join(failed)}")


def arguments() -> argparse.Namespace:
    result = parser(__doc__, rounds=1)
    result.add_argument("--stages", default="", metavar="A,B", help="those whose names hold one of these (all)")
    result.add_argument("--largest", type=int, default=0, metavar="N", help="no point beyond this size")
    result.add_argument("--voxceleb2", action="store_true", help="also measure at VoxCeleb2's size")
    result.add_argument("--list", action="store_true", help="name the stages")
    result.add_argument(
        "--folder",
        type=existing_folder,
        default="",
        metavar="DIR",
        help="for the drawn data (the system's own)",
    )
    result.add_argument("--point", nargs=4, help=argparse.SUPPRESS)
    return result.parse_args()


def points_of(name: str, sizes: Sequence[int], folder: Path) -> list[Point]:
    """One process draws the data of a size; in every round another one calls the stage on them as they were drawn.

    Rounds go through all sizes, so that what else the machine does for a while slows no size alone.
    """
    rounds: dict[int, list[Point]] = {size: [] for size in sizes}
    try:
        for size in sizes:
            in_process("make", name, size, folder / f"{size}")
        for _ in range(ROUNDS):
            for size, points in rounds.items():
                if not points or points[0].cpu_seconds < LONG:
                    points.append(point_of(name, size, folder / f"{size}"))
    finally:
        for size in sizes:
            shutil.rmtree(folder / f"{size}", ignore_errors=True)
    medians = []
    for size, points in rounds.items():
        values = list(zip(*points, strict=True))[2:]  # behind the stage and the size
        point = Point(name, size, *map(statistics.median, values))
        print(f"growth: {name}, {size}: {point.cpu_seconds:.3f} s, {point.peak_mb:.0f} MB", file=sys.stderr, flush=True)
        medians.append(point)
    return medians


def point_of(name: str, size: int, folder: Path) -> Point:
    """One call of the stage on a copy of the data, in the place of the data: lists name the files beside them."""
    kept = folder.with_suffix(".kept")
    try:
        shutil.copytree(folder, kept, symlinks=True)
        in_process("run", name, size, folder)
        return Point(name, size, **json.loads((folder / "point.json").read_text()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        kept.replace(folder)


def in_process(what: str, name: str, size: int, folder: Path) -> None:
    """measure_point in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    subprocess.run(
        [sys.executable, __file__, "--point", what, name, str(size), str(folder)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def measure_point(what: str, name: str, size: str, folder: str) -> None:
    """In a process of its own: `make` the data of a stage, or `run` it and leave what it took."""
    stage, root = STAGES[name], Path(folder)
    sys.path.insert(0, os.fspath(ROOT))
    if what == "make":
        for part, items in (("warm", stage.warm), ("data", int(size))):
            (root / part).mkdir(parents=True)
            stage.make(root / part, items)
        return
    run(stage.run, root / "warm")
    begin_peak()
    before, used, began = memory_mb("VmRSS"), cpu_seconds(), time.perf_counter()
    run(stage.run, root / "data")
    taken = {
        "cpu_seconds": cpu_seconds() - used,
        "seconds": time.perf_counter() - began,
        "whole_mb": memory_mb("VmHWM"),
        "peak_mb": memory_mb("VmHWM") - before,
    }
    (root / "point.json").write_text(json.dumps(taken))


def run(stage, folder: Path) -> None:
    """A command may end by sys.exit(0)."""
    try:
        stage(folder)
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise


def tables(points: list[Point], at_voxceleb2: Mapping[str, int], units: Mapping[str, str]) -> list[Table]:
    """Exponents of time and of memory, the points at VoxCeleb2's size beside what the others foretell, all points."""
    time_table = Table(
        "Growth of processor time: time ~ size^exponent",
        [
            "stage",
            "size counts",
            "fitted from",
            "to",
            "seconds there",
            "µs each",
            "exponent",
            "± std. error",
            "of all sizes from",
            "exponent of all",
        ],
    )
    memory_table = Table(
        "Growth of memory: MB above what is in use before the stage",
        ["stage", "size counts", "to", "MB there", "bytes each", "exponent", "± std. error", "MB at VoxCeleb2's size"],
    )
    large_table = Table(
        "At VoxCeleb2's size (1,092,009 utterances of 5,994 speakers) and VoxCeleb1-E's (581,480 trials)",
        ["stage", "size counts", "size", "CPU seconds", "peak MB", "above start, MB", "foretold, MB", "foretold, s"],
    )
    for stage in dict.fromkeys(point.stage for point in points):
        large = next((one for one in points if one.stage == stage and one.size == at_voxceleb2[stage]), None)
        own = [one for one in points if one.stage == stage and one is not large]
        upper = [one for one in own if one.size * FITTED >= own[-1].size]
        if len(upper) < 3:
            print(f"growth: {stage}: fewer than 3 sizes from a tenth of the largest on: no exponent", file=sys.stderr)
        if len(upper) >= 3:
            last, sizes = upper[-1], [one.size for one in upper]
            each = line(sizes, [one.peak_mb for one in upper])
            seconds = [one.cpu_seconds for one in upper]
            of_all = power_law([one.size for one in own], [one.cpu_seconds for one in own])
            time_table.add(
                stage, units[stage], sizes[0], last.size, last.cpu_seconds, line(sizes, seconds)[1] * 1e6,
                *power_law(sizes, seconds), own[0].size, of_all[0],
            )  # fmt: skip
            is_seen = last.peak_mb >= LEAST_MB and min(one.peak_mb for one in upper) > 0
            exponents = power_law(sizes, [one.peak_mb for one in upper]) if is_seen else (None, None)
            at_large = each[0] + each[1] * at_voxceleb2[stage] if at_voxceleb2[stage] and is_seen else None
            memory_table.add(
                stage, units[stage], last.size, last.peak_mb, max(0.0, each[1]) * 2**20, *exponents, at_large
            )
        if large is not None:
            foretold = [None, None]
            if len(upper) >= 3:
                fits = each, line(sizes, seconds)
                foretold = [at_zero + slope * large.size for at_zero, slope in fits]
            large_table.add(
                stage, units[stage], large.size, large.cpu_seconds, large.whole_mb, large.peak_mb, *foretold
            )  # fmt: skip
    point_table = Table("Points", [*Point._fields, "unit", "is_large"])
    for point in points:
        point_table.add(*point, units[point.stage], point.size == at_voxceleb2[point.stage])
    return [table for table in (time_table, memory_table, large_table, point_table) if table.rows]


if __name__ == "__main__":
    main()
