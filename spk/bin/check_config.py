"""Check a system's YAML and the keys of the command line that win over it.

Usage: check_config [--evaluation] SYSTEM.yaml [--loss.margin 0.3 ...]
Status 1 and one line that says the first thing wrong. With --evaluation, prints two lines: the section `evaluation`,
and the name of its back-end.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from spk.bin.command import command
from spk.config import load_system


@command
def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or "--help" in arguments:
        print(__doc__)
        sys.exit(not arguments)
    printing = arguments[0] == "--evaluation"
    if printing:
        arguments.pop(0)
    evaluation = load_system(arguments[0], arguments[1:]).evaluation
    if printing:
        print(json.dumps(asdict(evaluation)), evaluation.backend["name"], sep="\n")


if __name__ == "__main__":
    main()
