"""Check a system's YAML, with keys from the command line that win over it: `check_config SYSTEM.yaml [--loss.margin 0.3 ...]`."""

from __future__ import annotations

import sys

from spk.bin.command import command
from spk.config import load_system


@command
def main() -> None:
    if len(sys.argv) < 2 or "--help" in sys.argv:
        print(__doc__)
        sys.exit(len(sys.argv) < 2)
    load_system(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    main()
