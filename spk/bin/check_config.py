"""Check a system's YAML and the keys of the command line that win over it.

Usage: check_config SYSTEM.yaml [--loss.margin 0.3 ...]
Status 1 and one line that says the first thing wrong.
"""

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
