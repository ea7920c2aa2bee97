"""Make the features of one share of a data directory: an ark and a journal that says what became of each utterance.

Usage: python3 -m spk.bin.make_feats --config COMPLETE.yaml [--allow-pipes true|false] [--device cpu|cuda] [--threads N]
       DATA SHARE PREFIX
SHARE is the folder of the share's wav.scp and, where DATA has them, segments and utt2augmentation. COMPLETE.yaml comes
from feature_config.
Writes PREFIX.ark and PREFIX.journal. Started again after a kill it carries on: on the CPU it ends with the same bytes;
on a GPU, which takes several utterances at a time, a value's last bit, and so its code, may be another. What a GPU
began, another kind of GPU or the CPU begins anew.
"""

from __future__ import annotations

from spk.bin.command import argument_parser, command
from spk.bin.train import pick_device
from spk.config import read_yaml
from spk.data.features import Analysis, describe, make_share, read_sources


def open_front_end(section: dict, device) -> Analysis:
    """On the CPU on one thread, one wave at a time: so the bytes do not depend on how the work is shared out."""
    import torch

    from spk.feats import FRONT_ENDS
    from spk.feats.analysis import OneByOne, Together

    torch.set_num_threads(1)
    front_end = FRONT_ENDS.build("features", section)
    return OneByOne(front_end) if device is None else Together(front_end, device)


@command
def main() -> None:
    parser = argument_parser("make_feats", __doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--allow-pipes", choices=["true", "false"], default="false")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="that read audio (default: %(default)s)")
    parser.add_argument("--only-check", action="store_true", help="is all there that is needed? Write nothing")
    parser.add_argument("data")
    parser.add_argument("share")
    parser.add_argument("prefix")
    options = parser.parse_args()
    allow_pipes = options.allow_pipes == "true"
    config = read_yaml(options.config)
    sources = read_sources(options.share, allow_pipes=allow_pipes)
    device, device_name = None, ""
    if options.device == "cuda":
        import torch

        device = pick_device(options.device)
        device_name = torch.cuda.get_device_name(device)
    if options.only_check:
        return
    section = config["features"]
    made_from = describe(sources, section, config["compression"], options.data, device_name)
    make_share(
        sources,
        options.prefix,
        made_from,
        lambda: open_front_end(section, device),
        allow_pipes=allow_pipes,
        threads=options.threads,
    )


if __name__ == "__main__":
    main()
