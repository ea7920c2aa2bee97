"""Say what a config describes: front end, network by layer with its size and multiply-adds, loss, training, evaluation.

Usage: python3 -m spk.bin.describe [options] SYSTEM.yaml [--network.channels 0.5 ...]
"""

from __future__ import annotations

import sys

from spk.bin.command import argument_parser, command
from spk.bin.overrides import split_overrides
from spk.config import load_system
from spk.errors import InputError


@command
def main() -> None:
    parser = argument_parser("describe", __doc__)
    parser.add_argument("--frames", type=int, help="length of the one input that is counted (a training crop)")
    parser.add_argument("--num-speakers", type=int, help="training speakers, for the loss's parameters (how many each)")
    parser.add_argument("--depth", type=int, help="how far down into parts of parts: 2 gives a row a block (all)")
    parser.add_argument("config")
    arguments, overrides = split_overrides(sys.argv[1:])
    options = parser.parse_args(arguments)
    for name in ("frames", "num_speakers", "depth"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')}: {value} is out of range; allowed: at least 1")
    config = load_system(options.config, overrides)

    from spk.report.system import describe_system

    try:
        text = describe_system(
            config,
            options.config,
            num_frames=options.frames,
            num_speakers=options.num_speakers,
            depth=options.depth,
        )
    except InputError as error:
        raise InputError(f"{options.config}: {error}") from None
    print(text, end="")


if __name__ == "__main__":
    main()
