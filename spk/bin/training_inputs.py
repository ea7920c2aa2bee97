"""The files that the training of a system goes by, one a line: its tables of DATA and of directories of noises.

Usage: python3 -m spk.bin.training_inputs --config SYSTEM.yaml [--features.online true ...] DATA EXP
Of the config only what this takes is looked at. Refuses an EXP in which a training is running.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.bin.overrides import split_overrides
from spk.config import AUGMENTATION_KINDS, override, read_yaml, split_online
from spk.train.lock import refuse_when_in_use
from spk.train.training_data import NOISE_FILES, training_files


@command
def main() -> None:
    parser = argument_parser("training_inputs", __doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("data")
    parser.add_argument("exp")
    arguments, overrides = split_overrides(sys.argv[1:])
    options = parser.parse_args(arguments)
    refuse_when_in_use(Path(options.exp))
    content = override(read_yaml(options.config), overrides)
    data_dir = Path(options.data)
    for name in training_files(data_dir, split_online(content.get("features"))[1]):
        print(data_dir / name)
    augmentation = content.get("augmentation")
    for kind in AUGMENTATION_KINDS if isinstance(augmentation, Mapping) else ():
        if augmentation.get(kind) is not None:
            for name in NOISE_FILES:
                print(Path(str(augmentation[kind])) / name)


if __name__ == "__main__":
    main()
