"""Voice activity of the utterances of a data directory, or of one job's share of them, from the log energy in its MFCC.

Usage: python3 -m spk.bin.compute_vad [--utterances LIST] [--vad-energy-threshold X] [--vad-energy-mean-scale X]
           [--vad-frames-context N] [--vad-proportion-threshold X] DATA OUT_PREFIX
Writes OUT_PREFIX.unvoiced, the utterances without a voiced frame, OUT_PREFIX.ark, and then OUT_PREFIX.scp: a vector of
0 and 1 for each utterance that has features. Does nothing when OUT_PREFIX.scp is there.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from spk.bin.command import argument_parser, command
from spk.bin.dataclass_options import add_fields, values_of
from spk.data.ark import FeatureReader
from spk.data.data_dir import read_table
from spk.data.feature_blocks import BLOCK_FRAMES, feature_blocks
from spk.data.front_end import features_of
from spk.data.name_lists import write_names
from spk.embed.write import write_embeddings
from spk.errors import InputError
from spk.feats.vad import VadConfig, voiced_frames

log = logging.getLogger(__name__)


def check_features(data_dir: Path) -> None:
    """InputError unless the first value of a frame is its log energy, as far as feats.yaml tells."""
    features = features_of(data_dir)
    if features is None:
        log.info("%s/feats.yaml is not there: the first value of a frame is taken for its log energy", data_dir)
        return
    said = "only kaldi_mfcc with use_energy true and htk_compat false has the log energy in its first value"
    if features.get("name") != "kaldi_mfcc":
        raise InputError(f"{data_dir}/feats.yaml: the features are {features.get('name')}; {said}")
    for option, wanted in (("use_energy", True), ("htk_compat", False)):
        if features.get(option, wanted) != wanted:
            raise InputError(f"{data_dir}/feats.yaml: {option} is {features[option]}; {said}")


def decide(reader: FeatureReader, config: VadConfig) -> list[np.ndarray]:
    """bool [T] of every utterance: a byte a frame, 1 GB for the million utterances of VoxCeleb2."""
    decisions: list[np.ndarray] = []
    with tqdm(total=len(reader), unit="utt", disable=not sys.stderr.isatty()) as bar:
        for block in feature_blocks(reader, np.arange(len(reader)), BLOCK_FRAMES):
            energies, lengths = torch.from_numpy(block.frames[:, 0]), torch.from_numpy(block.num_frames)
            voiced = voiced_frames(energies, lengths, config).numpy()
            decisions += np.split(voiced, block.num_frames.cumsum()[:-1])
            bar.update(len(block.num_frames))
    return decisions


@command
def main() -> None:
    parser = argument_parser("compute_vad", __doc__)
    add_fields(parser, VadConfig, prefix="--vad-")
    parser.add_argument("--utterances", help="a file whose first column names the utterances (default: all)")
    parser.add_argument("--only-check", action="store_true", help="see whether all this fits together; write nothing")
    for name in ("data", "out_prefix"):
        parser.add_argument(name)
    options = parser.parse_args()
    config = VadConfig(**values_of(options, VadConfig, prefix="--vad-"))
    data_dir, prefix = Path(options.data), options.out_prefix
    if not (data_dir / "feats.scp").exists():
        raise InputError(f"{data_dir / 'feats.scp'}: no such file; run steps/make_feats {data_dir} first")
    if not options.only_check and Path(f"{prefix}.scp").exists():
        log.info("%s.scp: already made", prefix)
        return
    check_features(data_dir)
    utterances = list(read_table(data_dir / "feats.scp"))
    if options.utterances is not None:
        wanted = read_table(options.utterances)
        utterances = [utterance for utterance in utterances if utterance in wanted]
    if options.utterances is not None and not utterances:  # a share of rejected recordings alone
        write(prefix, [], [])
        return
    reader = FeatureReader(data_dir / "feats.scp", utterances)
    if not options.only_check:
        write(prefix, utterances, decide(reader, config))


def write(prefix: str, utterances: list[str], decisions: list[np.ndarray]) -> None:
    unvoiced = [name for name, voiced in zip(utterances, decisions, strict=True) if not voiced.any()]
    write_names(f"{prefix}.unvoiced", unvoiced)
    write_embeddings(prefix, utterances, decisions)
    log.info(
        "%d utterances, %d without a voiced frame; %d of %d frames voiced",
        len(utterances),
        len(unvoiced),
        sum(np.count_nonzero(voiced) for voiced in decisions),
        sum(map(len, decisions)),
    )


if __name__ == "__main__":
    main()
