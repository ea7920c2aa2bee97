"""Embed the utterances of a data directory, or one job's share of them.

Usage: python3 -m spk.bin.extract_embeddings [--utterances LIST] [--device auto|cpu|cuda] EXP DATA OUT_PREFIX
Writes OUT_PREFIX.yaml, the evaluation protocol, OUT_PREFIX.ark, and then OUT_PREFIX.scp: a vector an utterance, or a
matrix of K rows when K crops are embedded. Does nothing when OUT_PREFIX.scp is there. A system that was trained with
features.online works the features of a DATA without feats.scp out of its waveforms, by its wav.scp and utt2dur.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from spk.bin.command import argument_parser, command
from spk.bin.train import check_features, open_online, pick_device
from spk.config import make_system, read_evaluation
from spk.data.data_dir import read_table
from spk.data.files import whole_file
from spk.errors import InputError
from spk.out_of_memory import lower_when_out_of_memory

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("extract_embeddings", __doc__)
    parser.add_argument("--utterances", help="a file whose first column names the utterances to embed (default: all)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    parser.add_argument(
        "--batch-frames", type=int, help="frames of a batch, padding included (default: 80000 / bins; on a GPU 32000)"
    )
    parser.add_argument("--evaluation", default="", help="keys of the section that win over the system's own, as YAML")
    parser.add_argument("--only-check", action="store_true", help="see whether all this fits together; write nothing")
    parser.add_argument("exp")
    parser.add_argument("data")
    parser.add_argument("out_prefix")
    options = parser.parse_args()
    if options.batch_frames is not None and options.batch_frames < 1:
        raise InputError(f"--batch-frames takes a number of at least 1, not {options.batch_frames}")
    if not options.only_check and Path(f"{options.out_prefix}.scp").exists():
        log.info("%s.scp: already made", options.out_prefix)
        return
    import torch
    from tqdm import tqdm

    from spk.data.ark import FeatureReader
    from spk.embed.embeddings import embed, frames_of_batch
    from spk.embed.model import load_model
    from spk.embed.write import write_embeddings
    from spk.train.training_data import open_wave_features

    torch.set_num_threads(options.threads)
    embedder, content = load_model(Path(options.exp))
    config = make_system(content, f"{options.exp}/final.pt")
    evaluation = read_evaluation(options.evaluation, content["evaluation"])
    data_dir = Path(options.data)
    from_waves = config.online and not (data_dir / "feats.scp").exists()
    if from_waves:
        if not (data_dir / "utt2dur").exists():
            raise InputError(f"{data_dir / 'utt2dur'}: no such file; run steps/compute_durations {data_dir} first")
    else:
        check_features(config, data_dir)
    if options.only_check:
        return
    with whole_file(f"{options.out_prefix}.yaml") as file:
        yaml.safe_dump(asdict(evaluation), file, sort_keys=False)
    there = read_table(data_dir / ("utt2dur" if from_waves else "feats.scp"))
    wanted = there if options.utterances is None else read_table(options.utterances)
    utterances = [utterance for utterance in wanted if utterance in there]
    missing = len(wanted) - len(utterances)
    if missing:
        rejected = data_dir / ("without_duration.tsv" if from_waves else "rejected.tsv")
        log.info("%d utterances have no features (see %s) and get no embedding", missing, rejected)
    if not utterances:
        write_embeddings(os.fspath(options.out_prefix), [], np.empty((0, 0)))  # a share of rejected recordings alone
        return
    device = pick_device(options.device)
    if from_waves:
        reader = open_wave_features(data_dir, utterances, open_online(config, device))
        num_frames = reader.waves.num_frames
    else:
        reader = FeatureReader(data_dir / "feats.scp", utterances)
        utt2num_frames = read_table(data_dir / "utt2num_frames")
        num_frames = np.array([int(utt2num_frames[utterance]) for utterance in utterances])
    batch_frames = options.batch_frames
    if batch_frames is None:
        batch_frames = frames_of_batch(device, reader.dim)
    if device.type == "cuda":
        embedder.to(memory_format=torch.channels_last)
    batch = (
        f"a batch holds {batch_frames} frames or one utterance, and the longest has {int(num_frames.max())}: "
        "lower --batch-frames, or evaluate by crops (evaluation.crops)"
    )
    bar = tqdm(total=len(utterances), unit="utt", disable=not sys.stderr.isatty())
    with bar, lower_when_out_of_memory(batch):
        embeddings = embed(
            embedder,
            reader,
            num_frames,
            evaluation,
            device=device,
            batch_frames=batch_frames,
            progress=bar.update,
        )
    write_embeddings(os.fspath(options.out_prefix), utterances, embeddings)
    log.info("%d embeddings of shape %s in %s.ark", len(embeddings), embeddings.shape[1:], options.out_prefix)


if __name__ == "__main__":
    main()
