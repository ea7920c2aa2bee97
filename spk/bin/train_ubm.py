"""Train a universal background model, or go on where a killed run stopped.

Usage: python3 -m spk.bin.train_ubm [options] DATA UBM_DIR
UBM_DIR gets final.ubm (full covariances) and final.dubm (their diagonals) in Kaldi's formats, and frames.yaml, which
says how their frames are made from features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from spk.bin.command import argument_parser, command
from spk.bin.dataclass_options import add_fields, meaning, values_of
from spk.bin.train import pick_device
from spk.data.stamp import describe_inputs
from spk.out_of_memory import lower_when_out_of_memory
from spk.schema import AT_LEAST_ONE, check_value


@command
def main() -> None:
    import torch

    from spk.data.front_end import features_of
    from spk.ivector.frames import FrameConfig, FrameReader
    from spk.ivector.ubm_training import UbmConfig, UbmTraining
    from spk.train.lock import locked, refuse_when_in_use

    parser = argument_parser("train_ubm", __doc__)
    add_fields(parser, UbmConfig)
    add_fields(parser, FrameConfig, leave_out=["features"])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", default=2, help="of torch on the CPU")
    parser.add_argument("--only-check", action="store_true", help="see whether all this fits together; write nothing")
    for name in ("data", "ubm_dir"):
        parser.add_argument(name)
    options = parser.parse_args()

    config = UbmConfig(**values_of(options, UbmConfig))
    torch.set_num_threads(check_value("--threads", meaning(options.threads), Annotated[int, AT_LEAST_ONE]))
    frame_config = FrameConfig(**values_of(options, FrameConfig), features=features_of(options.data))
    reader = FrameReader(options.data, frame_config, device=pick_device(options.device))
    if options.only_check:
        refuse_when_in_use(Path(options.ubm_dir))
        return
    data_files = [Path(options.data) / name for name in ("feats.scp", "utt2num_frames", "vad.scp", ".vad.done")]
    made_from = describe_inputs([path for path in data_files if path.exists()])
    ubm_dir = Path(options.ubm_dir)
    in_memory = f"{config.num_frames} frames are held in memory for {config.num_gauss} Gaussians: lower --num-frames"
    with locked(ubm_dir), lower_when_out_of_memory(in_memory):
        UbmTraining(ubm_dir, config, reader, made_from).run()


if __name__ == "__main__":
    main()
