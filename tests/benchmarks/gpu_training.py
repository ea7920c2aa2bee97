"""Training on a GPU: crops a second of the papers' systems, the share of what the GPU could, and the ordinary way.

Usage: python3 tests/benchmarks/gpu_training.py [--json FILE] [--networks fast_resnet34,thin_resnet34,vgg_m_40,rescnn]
           [--compile false,true,reduce-overhead] [--steps 60] [--utterances 4000] [--workers 8] [--smoke]
       python3 tests/benchmarks/gpu_training.py --eer DATA [--eer-steps 4000] [--seeds 3] [--json FILE]
The first form takes less than ten minutes: each system at its paper's batch, as the Trainer trains it in bfloat16,
channels last, fused optimiser, features resident on the GPU, with each of the modes of train.compile; and in the same
run the same network in plain PyTorch code, float32 as torch has it by default, fed by a DataLoader that reads whole
matrices with kaldiio and cuts crops out. Features are drawn (training_systems.py): 8 bits, 800 frames an utterance, a
speaker for every four. The bound is that of roofline.py for bfloat16 without fusion: a compiled step may pass it.
The time of a run is for 500 epochs of 599,400 crops, as in 'In defence of metric learning for speaker recognition'.
--smoke runs all of it in a tiny form on the CPU.
The second form trains Fast ResNet-34 with DAM-softmax through steps/train on DATA (real speech, features made), with
each seed in float32 read from the ark and in bfloat16 resident, and prints the validation EERs of their best steps.
"""

from __future__ import annotations

import argparse
import csv
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import kaldiio
import numpy as np
import torch
from measure import Table, parser, report
from plain_networks import PLAIN
from roofline import bandwidth, matmul_rate, synchronize, work_of
from scipy.stats import t as student
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from training_step import step_of
from training_systems import CONF, CONFIGS, OurSteps, PlainSteps, bins_of, system, write_training_dir

from spk.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CROPS_OF_A_RUN = 500 * 599_400
SPEAKERS = 5994


class WholeMatrices(Dataset):
    """(a crop [L, F] of utterance i, its speaker): the whole matrix is decoded, and the crop cut out."""

    def __init__(self, data_dir: Path, crop_frames: int) -> None:
        self.matrices = kaldiio.load_scp(str(data_dir / "feats.scp"))
        lines = (data_dir / "utt2spk").read_text().splitlines()
        self.utterances, speakers = zip(*(line.split() for line in lines), strict=True)
        self.labels = np.unique(speakers, return_inverse=True)[1]
        self.crop_frames = crop_frames

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        matrix = self.matrices[self.utterances[index]]
        start = np.random.randint(len(matrix) - self.crop_frames + 1)
        return torch.from_numpy(matrix[start : start + self.crop_frames].copy()), int(self.labels[index])


def epochs_of(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def seconds_a_step(run: OurSteps | PlainSteps, steps: int, device: torch.device, warm_up: int) -> float:
    """After `warm_up` steps, in which kernels are compiled and chosen."""
    run(warm_up)
    synchronize(device)
    begin = time.perf_counter()
    run(steps)
    synchronize(device)
    return (time.perf_counter() - begin) / steps


def measure(
    network: str, options: argparse.Namespace, device: torch.device, rates: tuple[float, float], table: Table
) -> None:
    small = ["--network.channels", "0.125", "--batch.size", "8"] if options.smoke else []
    config = system(network, *small)
    batch, speakers = config.batch.size, 16 if options.smoke else min(SPEAKERS, options.utterances // 4)
    frames = config.batch.crop_frames + 20 if options.smoke else 800
    warm_up, steps = (1, 2) if options.smoke else (20, options.steps)
    work = work_of(step_of(config), batch)
    bound = max(work.operations / rates[0], 2 * work.numbers / rates[1])
    with tempfile.TemporaryDirectory() as folder:
        data_dir = write_training_dir(Path(folder) / "data", config, options.utterances, speakers, frames)
        dataset = WholeMatrices(data_dir, config.batch.crop_frames)
        loader = DataLoader(
            dataset, batch, shuffle=True, drop_last=True, num_workers=options.workers, pin_memory=device.type == "cuda"
        )
        plain = PLAIN[network](bins_of(config), config.network["channels"], config.network["embedding_dim"]).to(device)
        run = PlainSteps(plain, config.network["embedding_dim"], speakers, epochs_of(loader))
        ordinary = seconds_a_step(run, steps, device, warm_up)
        add(table, network, batch, "plain PyTorch, float32, DataLoader", ordinary, ordinary, None)
        del run, plain, loader
        for mode in options.compile.split(","):
            free(device)
            seconds = ours(network, [*small, "--train.compile", mode], data_dir, device, steps, warm_up)
            way = "ours, bfloat16, resident" + (f", compile {mode}" if mode != "false" else "")
            add(table, network, batch, way, seconds, ordinary, 100 * bound / seconds)


def ours(network: str, overrides: list[str], data_dir: Path, device: torch.device, steps: int, warm_up: int) -> float:
    config = system(network, *overrides, "--train.precision", "bfloat16", "--train.resident", "true")
    return seconds_a_step(OurSteps(config, data_dir, device), steps, device, warm_up)


def add(table: Table, network: str, batch: int, way: str, seconds: float, ordinary: float, share: float | None) -> None:
    hours = CROPS_OF_A_RUN / (batch / seconds) / 3600
    table.add(network, way, batch, seconds, batch / seconds, ordinary / seconds, share, hours)


def free(device: torch.device) -> None:
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def eers(options: argparse.Namespace) -> Table:
    """Of the best step of each run, as the run itself finds it on its held-out speakers."""
    ways = {
        "float32, read from the ark": ["--train.precision", "float32", "--train.resident", "false"],
        "bfloat16, resident": ["--train.precision", "bfloat16", "--train.resident", "true"],
    }
    every = str(max(1, options.eer_steps // 10))
    common = ["--train.steps", str(options.eer_steps), "--validation.every", every, "--train.save_every", every]
    found: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, options.seeds + 1):
            for way, overrides in ways.items():
                exp = Path(folder) / f"{seed}_{overrides[1]}"
                command = [ROOT / "steps/train", "--ngpu", str(int(torch.cuda.is_available()))]
                config = ["--config", CONF / CONFIGS["fast_resnet34"], *common, *overrides, "--seed", str(seed)]
                subprocess.run([*command, *config, options.eer, exp], check=True)
                rows = csv.DictReader((exp / "training.csv").open())
                found[way].append(min(100 * float(row["validation_eer"]) for row in rows if row["validation_eer"]))
    columns = [
        "way",
        "seeds",
        "mean EER, %",
        "95 % interval, +-",
        *(f"seed {seed + 1}" for seed in range(options.seeds)),
    ]
    table = Table(f"Validation EER after {options.eer_steps} steps of Fast ResNet-34 with DAM-softmax", columns)
    for way, values in found.items():
        table.add(way, len(values), statistics.mean(values), half_interval(values), *values)
    plain, fast = found.values()
    differences = [other - one for one, other in zip(plain, fast, strict=True)]
    mean = statistics.mean(differences)
    table.add("difference, seed by seed", len(differences), mean, half_interval(differences), *differences)
    return table


def half_interval(values: list[float]) -> float | None:
    """Student's, over seeds."""
    if len(values) < 2:
        return None
    return float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5


def main() -> None:
    defaults = {"networks": ",".join(CONFIGS), "compile": "false,true,reduce-overhead", "steps": 60, "utterances": 4000}
    arguments = parser(__doc__, 1, **defaults, workers=8, eer="", eer_steps=4000, seeds=3)
    arguments.add_argument("--smoke", action="store_true", help="all of it in a tiny form on the CPU")
    options = arguments.parse_args()
    if options.eer:
        report(options, eers(options))
        return
    if unknown := sorted(set(options.networks.split(",")) - CONFIGS.keys()):
        arguments.error(f"--networks: {', '.join(unknown)} is not known; known: {', '.join(CONFIGS)}")
    if not torch.cuda.is_available() and not options.smoke:
        arguments.error("no GPU is available here; --smoke tries it in a tiny form on the CPU")
    device = torch.device("cpu") if options.smoke else torch.device("cuda", 0)
    if options.smoke:
        options.compile, options.utterances, options.workers = "false", 64, 0
        torch.set_num_threads(1)
    size = 256 if options.smoke else 0
    rates = matmul_rate(device, torch.bfloat16, size=size), bandwidth(device, num_bytes=size * 2**16)
    title = (
        f"Training steps on {torch.cuda.get_device_name() if device.type == 'cuda' else 'the CPU, in a tiny form'}: "
    )
    title += f"{rates[0] / 1e12:.3g} T operations/s of a product in bfloat16, {rates[1] / 1e9:.3g} GB/s of a copy"
    columns = ["network", "way", "batch", "s a step", "crops/s", "speed", "share of the bound, %", "500 epochs, hours"]
    table = Table(title, columns)
    for network in options.networks.split(","):
        measure(network, options, device, rates, table)
    report(options, table)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"gpu_training: error: {error}")
