"""Ask or say whether a stage is finished: see spk/data/stamp.py.

Usage: stamp check|write STAMP [--file PATH ...] [--value NAME=TEXT ...]
check: status 0 when STAMP stands and was written for these very inputs, 1 when it is missing or they differ.
"""

from __future__ import annotations

import sys

from spk.bin.command import argument_parser, command
from spk.data.stamp import describe_inputs, differences, write_stamp


@command
def main() -> None:
    parser = argument_parser("stamp", __doc__)
    parser.add_argument("action", choices=["check", "write"])
    parser.add_argument("stamp")
    parser.add_argument("--file", nargs="+", action="extend", default=[])
    parser.add_argument("--value", nargs="+", action="extend", default=[], metavar="NAME=TEXT")
    options = parser.parse_args()
    values = dict(value.split("=", 1) for value in options.value)
    inputs = describe_inputs(options.file, values)
    if options.action == "write":
        write_stamp(options.stamp, inputs)
        return
    different = differences(options.stamp, inputs)
    if different:
        print(f"made again, because this changed: {', '.join(different)}", file=sys.stderr)
    sys.exit(0 if different == [] else 1)


if __name__ == "__main__":
    main()
