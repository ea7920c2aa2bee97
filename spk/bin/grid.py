"""A grid of systems and seeds: are its conditions alike, what of it is done, and one run of it.

Usage: python3 -m spk.bin.grid plan [--only-status] [--from DIR] [--models DIR] GRID EXP RECIPE [option VALUE ...]
       python3 -m spk.bin.grid count EXP
       python3 -m spk.bin.grid failed EXP
       python3 -m spk.bin.grid share EXP STAGE
       python3 -m spk.bin.grid run EXP NUMBER
       python3 -m spk.bin.grid table [--draws N] [--report DIR] GRID EXP
`plan` refuses a grid whose systems differ in more than they may, says of every run how far it is and about how long
the rest takes, and writes EXP/runs.json: what is left to be run, RECIPE (a run.sh) with these options and those of
the system; relative paths in these options are meant from DIR. With `--models`, runs of the same names there are
tested, and nothing is trained. `count` prints how many these are; `share` makes what all of them share: the stages of
RECIPE up to STAGE. `run` makes the run of this number, from 1 on; EXP/<run>/.run.done says that it is finished,
EXP/<run>/.run.failed that the recipe failed; then it ends with status 0, too, so that the array goes on. `failed`
names these. `table` compares what there is: EXP/report. What the options changed for all systems, and where they were
trained, EXP/runs.json tells it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spk.bin.command import argument_parser, command
from spk.bin.overrides import split_overrides
from spk.bin.whole_number import whole_number
from spk.data.files import file_digest, whole_file, write_json
from spk.errors import InputError
from spk.report.grid import Grid, System, check_conditions, folder_of, read_grid
from spk.report.progress import DONE, FAILED, Progress, progress_of, seconds_left, time_text
from spk.schema import AT_LEAST_ONE, Range

RUNS = "runs.json"
log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("grid", __doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="plan, count, share, run, failed or table")
    planning = commands.add_parser("plan", allow_abbrev=False)
    planning.add_argument("--only-status", action="store_true", help="write nothing")
    planning.add_argument("--nj", default="1", help="runs at a time, for the estimate")
    planning.add_argument("--draws", default="1000", help="of the table to come, to be refused early")
    planning.add_argument("--from", dest="standing", default=".", metavar="DIR", help="where the user stands")
    planning.add_argument("--models", default="", metavar="DIR", help="the folder of another comparison of this grid")
    planning.add_argument("--systems", default="", metavar="NAME,...", help="these alone, and the reference")
    for name in ("grid", "exp", "recipe"):
        planning.add_argument(name)
    planning.add_argument("options", nargs="...", help="of the recipe, the same for all runs")
    telling = commands.add_parser("table", allow_abbrev=False)
    telling.add_argument("--draws", default="1000", help="of speakers (default %(default)s)")
    telling.add_argument("--report", default="", metavar="DIR", help="where to write (default EXP/report)")
    telling.add_argument("--systems", default="", metavar="NAME,...", help="these alone, and the reference")
    for name in ("grid", "exp"):
        telling.add_argument(name)
    for name, last in (("count", ()), ("failed", ()), ("share", ("stage",)), ("run", ("number",))):
        one = commands.add_parser(name, allow_abbrev=False)
        for argument in ("exp", *last):
            one.add_argument(argument)
    options = parser.parse_args()
    if options.command == "plan":
        plan(options)
    elif options.command == "count":
        print(len(read_runs(options.exp)["runs"]))
    elif options.command == "failed":
        print(*failed(options.exp))
    elif options.command == "share":
        runs = read_runs(options.exp)
        words = [*from_anywhere(runs["reference"]), "--stop-stage", options.stage]
        sys.exit(subprocess.run(words, stdin=subprocess.DEVNULL, cwd=runs["from"]).returncode)
    elif options.command == "table":
        table(options)
    else:
        run(options.exp, options.number)


def chosen_grid(options: Any) -> Grid:
    """With the systems that are asked for."""
    grid = read_grid(options.grid)
    return grid.of(options.systems.split(",")) if options.systems else grid


def draws_of_speakers(text: str) -> int:
    return whole_number("--draws", text, allowed=Range(least=2))


def plan(options: Any) -> None:
    grid = chosen_grid(options)
    at_once = whole_number("--nj", options.nj, allowed=AT_LEAST_ONE)
    draws_of_speakers(options.draws)
    others = [part for word in options.options for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for option in ("--config", "--exp", "--seed"):
        if option in others:
            raise InputError(f"{option}: is another one for each run, and stands in {options.grid}")
    if options.models and whole(options.models) == whole(options.exp):
        raise InputError(f"--models {options.models}: is this comparison itself; name another folder with --exp")
    overrides = split_overrides(others)[1]
    models = whole(options.models) if options.models else ""
    configs = check_conditions(grid, (*changed_in_training(models), *overrides))
    runs, states = [], []
    for system, seed in grid.runs():
        folder = folder_of(options.exp, system, seed)
        made_from = {
            "command": command_of(options, system, seed, others),
            "config": file_digest(system.config),
        }
        progress = progress_of(folder, configs[system.name], made_from)
        states.append((folder.name, progress))
        if not progress.done:
            runs.append({"folder": str(folder), **made_from})
    say(states, at_once)
    if options.only_status:
        return
    for one in runs:
        (Path(one["folder"]) / DONE).unlink(missing_ok=True)  # of other options: what they made is about to change
    reference = next(system for system in grid.systems if system.name == grid.reference)
    content = {
        "from": str(Path(options.standing).resolve()),
        "reference": command_of(options, reference, grid.seeds[0], others),
        "models": models,
        "overrides": overrides,
        "runs": runs,
    }
    Path(options.exp).mkdir(parents=True, exist_ok=True)
    write_json(Path(options.exp) / RUNS, content)


def command_of(options: Any, system: System, seed: int, others: Sequence[str]) -> list[str]:
    """The recipe with the options of a run."""
    exp = ["--exp", str(folder_of(options.exp, system, seed))]
    if options.models:
        return [options.recipe, *exp, "--model", str(folder_of(options.models, system, seed)), *others]
    return [options.recipe, *exp, "--config", system.config, "--seed", str(seed), *system.overrides, *others]


def from_anywhere(command: Sequence[str]) -> list[str]:
    """What command_of gave, with whole paths in place of those that it put there."""
    recipe, name, exp, kind, system, *rest = command
    return [whole(recipe), name, whole(exp), kind, whole(system), *rest]


def whole(path: str) -> str:
    return str(Path.cwd() / path)


def say(states: list[tuple[str, Progress]], at_once: int) -> None:
    width = max(len(name) for name, _ in states)
    for name, progress in states:
        print(f"{name:{width}}  {progress}")
    left = seconds_left([progress for _, progress in states], at_once)
    done = sum(progress.done for _, progress in states)
    about = "" if left is None else f", about {time_text(left)} of training for the rest"
    print(f"{done} of {len(states)} runs are done{about if done < len(states) else ''}")


def read_runs(exp: str) -> dict[str, Any]:
    path = Path(exp) / RUNS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not content.keys() >= {"from", "reference", "runs"}:
            raise ValueError("it is no list of runs")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); `grid plan` writes it") from None
    return content


def changed_in_training(exp: str) -> tuple[str, ...]:
    """Options that the command line of a comparison gave all systems beside those of the grid; says if that is lost."""
    if not exp or not (Path(exp) / RUNS).exists():
        return ()
    runs = read_runs(exp)
    if "overrides" not in runs:
        log.warning(
            "%s/%s: is of an older version, and does not say what the command line changed for all systems: "
            "the grid alone is shown",
            exp,
            RUNS,
        )
    return tuple(runs.get("overrides", ()))


def trained_in(exp: str) -> str:
    """The folder of the comparison that trained what is tested here; '' for this one."""
    return read_runs(exp).get("models", "") if (Path(exp) / RUNS).exists() else ""


def failed(exp: str) -> list[str]:
    """Names of the runs that did."""
    folders = [Path(one["folder"]) for one in read_runs(exp)["runs"]]
    return [folder.name for folder in folders if (folder / FAILED).exists()]


def run(exp: str, number: str) -> None:
    """One run; how it ended is in its folder."""
    content = read_runs(exp)
    runs = content["runs"]
    if not number.isdigit() or not 1 <= int(number) <= len(runs):
        raise InputError(f"{exp}/{RUNS}: has no run {number}; there are {len(runs)}")
    one = runs[int(number) - 1]
    folder = Path(one["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    failed, done = folder / FAILED, folder / DONE
    failed.unlink(missing_ok=True)
    print(*one["command"], flush=True)
    status = subprocess.run(from_anywhere(one["command"]), stdin=subprocess.DEVNULL, cwd=content["from"]).returncode
    if status:
        write_json(failed, {"status": status, "number": int(number)})
        print(f"grid: {folder}: failed with status {status}; the other runs go on", file=sys.stderr)
    else:
        write_json(done, {"command": one["command"], "config": one["config"]})


def table(options: Any) -> None:
    # Figures take seconds to import, and no other of these commands needs them.
    from spk.report.comparison import compare_grid, write_comparison
    from spk.report.comparison_page import comparison_page

    grid = chosen_grid(options)
    num_draws = draws_of_speakers(options.draws)
    models = trained_in(options.exp)
    overrides = (*changed_in_training(models), *changed_in_training(options.exp))
    comparison = compare_grid(grid, options.exp, num_draws, overrides, models)
    folder = Path(options.report or f"{options.exp}/report")
    write_comparison(folder, comparison)
    with whole_file(folder / "index.html") as file:
        file.write(comparison_page(comparison))
    log.info("%s", folder / "index.html")
    print(comparison.markdown(), end="")


if __name__ == "__main__":
    main()
