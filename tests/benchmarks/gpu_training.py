"""Training on a GPU: crops a second of the papers' systems, the share of what the GPU could, and the ordinary way.

Usage: python3 tests/benchmarks/gpu_training.py [--json FILE] [--networks fast_resnet34,thin_resnet34,vgg_m_40,rescnn]
           [--compile false,true,reduce-overhead] [--rounds 3] [--steps 20] [--utterances 24000] [--matrices 4000]
           [--workers 8] [--smoke]
       python3 tests/benchmarks/gpu_training.py --eer DATA [--eer-steps 4000] [--seeds 3] [--json FILE]
The first form takes some minutes: each system at its paper's batch, as the Trainer trains it in bfloat16, channels
last, fused optimiser, features resident on the GPU, with each of the modes of train.compile; and in the same run the
same network in plain PyTorch code: float32 as torch has it by default, fed by a DataLoader of --workers processes that
read whole matrices with kaldiio and cut crops out ("speed" is the ratio to this way); in bfloat16, channels last and
with cudnn.benchmark, fed by the same; and so again, fed by tensors that are on the GPU already, which leaves the steps
alone to be compared ("/ plain, bfloat16, on the GPU"). A number is the median of --rounds times --steps steps, after
20. Features are drawn (training_systems.py): 8 bits, 800 frames an utterance, a speaker for every four utterances, as
many as VoxCeleb2's 5,994 in all ways' losses; --utterances have --matrices different ones.
The bound is that of roofline.py for bfloat16 without fusion: a compiled step may pass it. The time of a run is for 500
epochs of 599,400 crops, as in 'In defence of metric learning for speaker recognition'.
--smoke runs all of it in a tiny form on the CPU.
The second form trains Fast ResNet-34 with DAM-softmax through steps/train on DATA (real speech, features made), with
each seed in float32 read from the ark and in bfloat16 resident, and prints the validation EERs of their best steps.
"""

from __future__ import annotations

import argparse
import csv
import gc
import itertools
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
from torch.utils.data import DataLoader, Dataset, RandomSampler
from training_step import step_of
from training_systems import CONF, CONFIGS, OurSteps, PlainSteps, bins_of, system, write_training_dir

from spk.config import SystemConfig
from spk.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CROPS_OF_A_RUN = 500 * 599_400
SPEAKERS = 5994


class WholeMatrices(Dataset):
    """(a crop [L, F] of utterance i, its speaker): the whole matrix is decoded, and the crop cut out."""

    def __init__(self, data_dir: Path, crop_frames: int) -> None:
        self.matrices = kaldiio.load_scp(str(data_dir / "feats.scp"), max_cache_fd=8)
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


def endless(dataset: Dataset, batch: int, workers: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a DataLoader that never comes to an epoch's end, where it would begin its workers' work anew."""
    sampler = RandomSampler(dataset, replacement=True, num_samples=10**9)
    pinned = device.type == "cuda"
    return iter(DataLoader(dataset, batch, sampler=sampler, drop_last=True, num_workers=workers, pin_memory=pinned))


def seconds_a_step(
    run: OurSteps | PlainSteps, options: argparse.Namespace, device: torch.device, warm_up: int = 20
) -> float:
    """The median of the rounds, after `warm_up` steps, in which kernels are compiled and chosen."""
    run(1 if options.smoke else warm_up)
    synchronize(device)
    taken = []
    for _ in range(options.rounds):
        begin = time.perf_counter()
        run(options.steps)
        synchronize(device)
        taken.append((time.perf_counter() - begin) / options.steps)
    return statistics.median(taken)


def measure(
    network: str, options: argparse.Namespace, device: torch.device, rates: tuple[float, float], table: Table
) -> None:
    small = ["--network.channels", "0.125", "--batch.size", "8"] if options.smoke else []
    config = system(network, *small)
    batch, speakers = config.batch.size, 16 if options.smoke else min(SPEAKERS, options.utterances // 4)
    frames = config.batch.crop_frames + 20 if options.smoke else 800
    work = work_of(step_of(config), batch)
    bound = max(work.operations / rates[0], 2 * work.numbers / rates[1])
    with tempfile.TemporaryDirectory() as folder:
        data_dir = write_training_dir(
            Path(folder) / "data", config, options.utterances, speakers, frames, options.matrices
        )
        dataset = WholeMatrices(data_dir, config.batch.crop_frames)
        rows = []
        for way, tuned, is_held in (
            ("float32, DataLoader", False, False),
            ("bfloat16, channels last, DataLoader", True, False),
            ("bfloat16, channels last, tensors on the device", True, True),
        ):
            batches = endless(dataset, batch, options.workers, device)
            if is_held:
                held = [[one.to(device) for one in next(batches)] for _ in range(4)]
                batches = itertools.cycle(held)
            seconds = plain(network, config, speakers, batches, tuned, options, device)
            rows.append((f"plain PyTorch, {way}", seconds, 100 * bound / seconds if tuned else None))
            del batches
            free(device)
        for mode in options.compile.split(","):
            seconds = ours(network, [*small, "--train.compile", mode], data_dir, options, device)
            way = "ours, bfloat16, resident" + (f", compile {mode}" if mode != "false" else "")
            rows.append((way, seconds, 100 * bound / seconds))
            free(device)
    ordinary, step_alone = rows[0][1], rows[2][1]
    for way, seconds, share in rows:
        ratio = step_alone / seconds if way.startswith("ours") else None
        hours = CROPS_OF_A_RUN / (batch / seconds) / 3600
        table.add(network, way, batch, seconds, batch / seconds, ordinary / seconds, ratio, share, hours)


def plain(
    network: str,
    config: SystemConfig,
    speakers: int,
    batches: Iterator[tuple[Tensor, Tensor]],
    tuned: bool,
    options: argparse.Namespace,
    device: torch.device,
) -> float:
    dim = config.network["embedding_dim"]
    model = PLAIN[network](bins_of(config), config.network["channels"], dim).to(device)
    return seconds_a_step(PlainSteps(model, dim, speakers, batches, tuned), options, device)


def ours(
    network: str, overrides: list[str], data_dir: Path, options: argparse.Namespace, device: torch.device
) -> float:
    config = system(network, *overrides, "--train.precision", "bfloat16", "--train.resident", "true")
    return seconds_a_step(OurSteps(config, data_dir, device), options, device)


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
    defaults = {"networks": ",".join(CONFIGS), "compile": "false,true,reduce-overhead", "steps": 20}
    defaults |= {"utterances": 24_000, "matrices": 4000}
    arguments = parser(__doc__, 3, **defaults, workers=8, eer="", eer_steps=4000, seeds=3)
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
        options.compile, options.utterances, options.matrices, options.workers = "false", 64, 32, 0
        options.rounds, options.steps = 1, 1
        torch.set_num_threads(1)
    size = 256 if options.smoke else 0
    rates = matmul_rate(device, torch.bfloat16, size=size), bandwidth(device, num_bytes=size * 2**16)
    title = (
        f"Training steps on {torch.cuda.get_device_name() if device.type == 'cuda' else 'the CPU, in a tiny form'}: "
    )
    title += f"{rates[0] / 1e12:.3g} T operations/s of a product in bfloat16, {rates[1] / 1e9:.3g} GB/s of a copy"
    columns = ["network", "way", "batch", "s a step", "crops/s", "speed", "/ plain, bfloat16, on the GPU"]
    columns += ["share of the bound, %", "500 epochs, hours"]
    table = Table(title, columns)
    for network in options.networks.split(","):
        measure(network, options, device, rates, table)
    report(options, table)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"gpu_training: error: {error}")
