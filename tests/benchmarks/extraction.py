"""Embeddings of an ark: batches of like length against one utterance at a time, by network and length of utterances.

Usage: python3 tests/benchmarks/extraction.py [--networks fast_resnet34,...] [--seconds 3] [--rounds 3]
       [--batches-of-one] [--json FILE]
Ours: spk.embed.embeddings.embed, what a job of steps/extract_embeddings does. The other way is embedder(features[None])
in a loop without gradients, each utterance read by kaldiio.load_mat at its turn. On the CPU on one thread, by the
processor's time on all threads; on the GPU where there is one, by the clock. `--seconds`: about how long a round of one
way may take; it decides the number of utterances: with few, their lengths are less alike than those of a corpus.
Utterances of which a batch holds one alone are embedded as in the loop: they are measured for the first network, and
for all with --batches-of-one (some minutes more). Weights are random, frames noise, in the ark in Kaldi's 8 bits (16
for 257 values a frame). Share: operations a second of the other way, over those of a product of large matrices; where
it is near 100, a batch has nothing to win. Peak: the most memory that the process has held until then, less what it
held at the beginning.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import kaldiio
import numpy as np
import torch
from measure import Table, begin_peak, by_turns, median_ratio, memory_mb, parser, report
from roofline import matmul_rate
from torch.utils.flop_counter import FlopCounterMode

from spk.config import EvaluationConfig
from spk.data.ark import FeatureReader
from spk.data.ark_format import encode_matrix
from spk.embed.embeddings import embed, frames_of_batch
from spk.nets.embedder import build_embedder

# Title -> the network and the values of a frame that it takes.
NETWORKS = {
    "fast_resnet34": ({"name": "fast_resnet34"}, 40),
    "fast_resnet34, half as wide": ({"name": "fast_resnet34", "channels": 0.5}, 40),
    "fast_resnet34, a quarter": ({"name": "fast_resnet34", "channels": 0.25}, 40),
    "vgg_m_40": ({"name": "vgg_m_40"}, 40),
    "thin_resnet34": ({"name": "thin_resnet34"}, 257),
    "rescnn": ({"name": "rescnn"}, 161),
}
RANGES = {"2-4 s": (200, 400), "4-20 s": (400, 2000), "30-60 s": (3000, 6000)}  # frames
MOST_UTTERANCES = 256


def write_ark(folder: str, lengths: np.ndarray, dim: int, random: np.random.Generator) -> None:
    with Path(folder, "feats.ark").open("wb") as ark, Path(folder, "feats.scp").open("w") as scp:
        for index, length in enumerate(lengths):
            ark.write(f"u{index} ".encode())
            scp.write(f"u{index} {folder}/feats.ark:{ark.tell()}\n")
            frames = random.standard_normal((length, dim), np.float32)
            ark.write(encode_matrix(np.abs(frames) if dim == 257 else frames, 3 if dim == 257 else 1))


def main() -> None:
    options_parser = parser(__doc__, rounds=3, networks=",".join(name.split(",")[0] for name in NETWORKS), seconds=3.0)
    options_parser.add_argument("--batches-of-one", action="store_true", help="measure them for every network")
    options = options_parser.parse_args()
    wanted, known = options.networks.split(","), {network["name"] for network, _ in NETWORKS.values()}
    if unknown := [name for name in wanted if name not in known]:
        options_parser.error(f"--networks: {', '.join(unknown)} is not known; known: {', '.join(sorted(known))}")
    torch.set_num_threads(1)
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    random = np.random.default_rng(0)
    product = matmul_rate(device, torch.float32, clock)
    table = Table(
        f"Embeddings, on {device.type}; {product / 1e9:.3g} G operations/s of a matrix product",
        ["network", "utterances", "number", "ours (utt/s)", "one by one (utt/s)", "ratio", "share, %", "peak (MB)"],
    )
    begin_peak()
    before = memory_mb("VmHWM")
    for title, (network, dim) in NETWORKS.items():
        if network["name"] not in wanted:
            continue
        torch.manual_seed(0)
        embedder = build_embedder("instance", network, num_bins=dim).eval().to(device)
        for range_title, (least, most) in RANGES.items():
            of_one = least > frames_of_batch(device, dim)
            if of_one and range_title in {row[1] for row in table.rows} and not options.batches_of_one:
                continue
            with torch.inference_mode():
                typical = torch.randn(1, (least + most) // 2, dim, device=device)
                with FlopCounterMode(display=False) as operations:
                    embedder(typical).cpu()
                begin = time.perf_counter()
                embedder(typical).cpu()
                one = time.perf_counter() - begin
            enough = max(2, 16 * frames_of_batch(torch.device("cpu"), dim) // (least + most))  # for eight batches
            count = int(np.clip(options.seconds / one, enough, MOST_UTTERANCES))
            lengths = random.integers(least, most, count)
            with tempfile.TemporaryDirectory() as folder:
                write_ark(folder, lengths, dim, random)
                reader = FeatureReader(f"{folder}/feats.scp")
                places = [line.split()[1] for line in Path(folder, "feats.scp").read_text().splitlines()]

                def ours(embedder=embedder, reader=reader, lengths=lengths) -> None:
                    embed(embedder, reader, lengths, EvaluationConfig(), device=device)

                def one_by_one(embedder=embedder, places=places) -> None:
                    with torch.no_grad():
                        for place in places:
                            features = torch.from_numpy(np.array(kaldiio.load_mat(place), np.float32)).to(device)
                            embedder(features[None]).cpu()

                taken = by_turns({"ours": ours, "one by one": one_by_one}, options.rounds, clock)
            rates = [count / float(np.median(seconds)) for seconds in taken.values()]
            ratio = median_ratio(taken["one by one"], taken["ours"])
            of_an_utterance = operations.get_total_flops() * float(lengths.mean()) / typical.shape[1]
            share = 100 * of_an_utterance * rates[1] / product
            table.add(title, range_title, count, *rates, ratio, share, memory_mb("VmHWM") - before)
            print(f"{title}, {range_title}: {ratio:.2f}", flush=True)
    report(options, table)


if __name__ == "__main__":
    main()
