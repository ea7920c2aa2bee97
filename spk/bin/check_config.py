"""Check a system's YAML and the keys of the command line that win over it.

Usage: check_config [--evaluation] SYSTEM.yaml [--loss.margin 0.3 ...]
Status 1 and one line that says the first thing wrong. With --evaluation, prints four lines: the section `evaluation`,
what tables call its back-end, true where features are worked out of waveforms (features.online), else false, and the
system that this one starts from (init_from), or an empty line.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from spk.backend import BACKENDS
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
    config = load_system(arguments[0], arguments[1:])
    if printing:
        evaluation = config.evaluation
        untrained = dict.fromkeys(BACKENDS.given)
        backend = BACKENDS.build("evaluation.backend", evaluation.backend, **untrained)
        lines = (json.dumps(asdict(evaluation)), backend.label, json.dumps(config.online), config.init_from or "")
        print(*lines, sep="\n")


if __name__ == "__main__":
    main()
