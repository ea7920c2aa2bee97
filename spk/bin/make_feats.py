"""Make the features of one share of a data directory: an ark and a journal that says what became of each utterance.

Usage: python3 -m spk.bin.make_feats --config COMPLETE.yaml [--allow-pipes true|false] DATA SHARE PREFIX
SHARE is the folder of the share's wav.scp and, where DATA has them, segments and utt2augmentation. COMPLETE.yaml comes
from feature_config.
Writes PREFIX.ark and PREFIX.journal. Started again after a kill it carries on and ends with the same bytes.
"""

from __future__ import annotations

import numpy as np

from spk.bin.command import argument_parser, command
from spk.config import read_yaml
from spk.data.features import Analysis, describe, make_share, read_sources


def open_front_end(section: dict) -> Analysis:
    """The front end on one thread, one wave at a time: so the bytes do not depend on how the work is shared out."""
    import torch

    from spk.feats import FRONT_ENDS

    torch.set_num_threads(1)
    front_end = FRONT_ENDS.build("features", section)

    class OneWave:
        sample_rate = front_end.sample_rate
        min_samples = front_end.min_samples

        def __call__(self, samples: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return front_end(torch.from_numpy(samples)[None])[0].numpy()

    return OneWave()


@command
def main() -> None:
    parser = argument_parser("make_feats", __doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--allow-pipes", choices=["true", "false"], default="false")
    parser.add_argument("data")
    parser.add_argument("share")
    parser.add_argument("prefix")
    options = parser.parse_args()
    allow_pipes = options.allow_pipes == "true"
    config = read_yaml(options.config)
    sources = read_sources(options.share, allow_pipes=allow_pipes)
    made_from = describe(sources, config["features"], config["compression"], options.data)
    make_share(sources, options.prefix, made_from, lambda: open_front_end(config["features"]), allow_pipes=allow_pipes)


if __name__ == "__main__":
    main()
