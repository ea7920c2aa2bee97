"""The i-vectors of the utterances of a data directory, or of one job's share of them.

Usage: python3 -m spk.bin.extract_ivectors [--utterances LIST] [--device auto|cpu|cuda] EXTRACTOR_DIR DATA OUT_PREFIX
Writes OUT_PREFIX.missing, the utterances without features or voiced frames, OUT_PREFIX.ark, and then OUT_PREFIX.scp: a
vector an utterance, less the prior's mean. Does nothing when OUT_PREFIX.scp is there.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import numpy as np

from spk.bin.command import argument_parser, command
from spk.bin.train import pick_device
from spk.data.data_dir import read_table
from spk.data.name_lists import write_names
from spk.embed.write import write_embeddings
from spk.errors import InputError
from spk.schema import NOT_NEGATIVE, check_value

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("extract_ivectors", __doc__)
    parser.add_argument("--utterances", help="a file whose first column names the utterances (default: all)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    parser.add_argument(
        "--max-count", type=float, default=0, help="frames for which an utterance counts at most; 0: all"
    )
    parser.add_argument("--only-check", action="store_true", help="see whether all this fits together; write nothing")
    for name in ("extractor_dir", "data", "out_prefix"):
        parser.add_argument(name)
    options = parser.parse_args()
    max_count = check_value("--max-count", options.max_count, Annotated[float, NOT_NEGATIVE])
    if not options.only_check and Path(f"{options.out_prefix}.scp").exists():
        log.info("%s.scp: already made", options.out_prefix)
        return
    extractor_dir, data_dir = Path(options.extractor_dir), Path(options.data)

    import torch
    from tqdm import tqdm

    from spk.ivector.extractor import IvectorPosterior
    from spk.ivector.extractor_files import read_extractor
    from spk.ivector.frames import FrameReader, read_frame_config
    from spk.ivector.statistics_reader import StatisticsReader, read_posterior_config, read_ubm
    from spk.ivector.utterance_statistics import utterances_at_a_time

    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    frame_config, posterior_config = read_frame_config(extractor_dir), read_posterior_config(extractor_dir)
    in_feats = read_table(data_dir / "feats.scp")
    wanted = in_feats if options.utterances is None else read_table(options.utterances)
    utterances = [utterance for utterance in wanted if utterance in in_feats]
    without = [utterance for utterance in wanted if utterance not in in_feats]
    if not utterances and not options.only_check:
        write(options.out_prefix, [], np.empty((0, 0)), without)  # a share of rejected recordings alone
        return
    frames = FrameReader(data_dir, frame_config, utterances, device)
    diagonal, full = read_ubm(extractor_dir)
    extractor = read_extractor(extractor_dir / "final.ie")
    if (extractor.num_gaussians, extractor.feature_dim) != (full.num_gaussians, full.dim):
        raise InputError(
            f"{extractor_dir / 'final.ie'}: is for {extractor.num_gaussians} Gaussians of {extractor.feature_dim} "
            f"values, but final.ubm has {full.num_gaussians} of {full.dim}; take the UBM that it was trained with"
        )
    frames.check_dim(extractor.feature_dim, extractor_dir / "final.ie")
    if options.only_check:
        return

    reader = StatisticsReader(frames, diagonal, full, posterior_config)
    posterior_of = IvectorPosterior(extractor, device, torch.float32 if device.type == "cuda" else torch.float64)
    shape = extractor.projections.shape
    del extractor  # hundreds of MB that posterior_of holds in another form
    names: list[str] = []
    ivectors = np.empty((len(utterances), shape[-1]), np.float32)
    with tqdm(total=len(utterances), unit="utt", disable=not sys.stderr.isatty()) as bar:
        for block, statistics in reader.blocks(utterances_at_a_time(*shape)):
            if max_count:
                statistics = statistics.limited(max_count)
            centred = posterior_of.centre(statistics.occupancies, statistics.first_order)
            mean = posterior_of(statistics.occupancies, centred).mean
            ivectors[len(names) : len(names) + len(block)] = mean.float().cpu().numpy()
            names += block
            bar.update(len(block))
            del statistics, centred, mean  # before the next block's are made
    write(options.out_prefix, names, ivectors[: len(names)], sorted([*without, *reader.without_voice]))


def write(prefix: str, utterances: list[str], ivectors: np.ndarray, missing: list[str]) -> None:
    write_names(f"{prefix}.missing", missing)
    write_embeddings(os.fspath(prefix), utterances, ivectors)
    log.info(
        "%d i-vectors in %s.ark; %d utterances have no features or no voiced frames",
        len(utterances),
        prefix,
        len(missing),
    )


if __name__ == "__main__":
    main()
