"""What utils/run, utils/slurm and utils/gridengine share as commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

from spk.jobs.job import Job, parse_job


def run_job(description: str, run: Callable[[Job], int], *, site_options: bool = False) -> None:
    """Print the description for --help, else exit with the status of the job that the command line tells."""
    words = sys.argv[1:]
    if words[:1] in (["--help"], ["-h"]):
        print(description.strip())
        return
    sys.exit(run(parse_job(words, site_options=site_options)))
