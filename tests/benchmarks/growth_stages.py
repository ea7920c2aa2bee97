"""The stages whose growth is measured: what each is given, drawn in a folder, and the command that works on it.

A stage is a command of spk.bin called as a user calls it, but in the process of whoever measures.
"""

from __future__ import annotations

import importlib
import itertools
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import drawn
import numpy as np
import yaml

SIZES = (1_000, 3_000, 10_000, 20_000, 50_000, 100_000)
# Of lists: a table of 10,000 names lies in the processor's cache, one of 50,000 and more does not, and
# each name costs twice as much. Fitted across that step, what is proportional would seem to grow faster.
LIST_SIZES = (5_000, 50_000, 200_000, 500_000)
FOLDER_SIZES = (3_000, 10_000, 30_000, 100_000)
FEW_SIZES = (1_000, 10_000, 30_000, 100_000)  # of stages that take half a millisecond an utterance and more
SPEAKERS = 1_000  # where the number of utterances alone grows
DIM, FEW_DIM = 192, 128  # of embeddings
SYSTEM = {
    "features": {"name": "fbank40"},
    "network": {"name": "fast_resnet34", "channels": 0.0625, "embedding_dim": 64, "pooling": "tap"},
    "normalization": {"name": "instance"},
    "loss": {"name": "am_softmax"},
    "batch": {"size": 20, "crop_frames": 20},
    "optimizer": {"name": "adam", "lr": 0.001},
    "schedule": {"name": "constant"},
    "train": {"steps": 50, "log_every": 25, "save_every": 1000, "threads": 1},
    "validation": {"speakers": 0},
    "evaluation": {"crops": 0},
    "seed": 1,
}


@dataclass(frozen=True)
class Stage:
    """`make` draws inputs of a size in an empty folder; `run` is what is measured.

    `unit`: what a size counts. `warm`: a size to begin with, which is not measured, but loads what the stage imports.
    `at_voxceleb2`: the size that the stage has there; 0: none of its own, or nothing that one size would show.
    """

    unit: str
    make: Callable[[Path, int], object]
    run: Callable[[Path], object]
    sizes: tuple[int, ...] = SIZES
    warm: int = 200
    at_voxceleb2: int = 0


STAGES: dict[str, Stage] = {}
ON_UTTERANCES = {"unit": "utterances", "at_voxceleb2": drawn.VOXCELEB2_UTTERANCES}
ON_LISTS = {**ON_UTTERANCES, "sizes": LIST_SIZES}
ON_FOLDERS = {**ON_UTTERANCES, "sizes": FOLDER_SIZES}
ON_TRIALS = {
    "unit": "trials",
    "sizes": (10_000, 30_000, 100_000, 200_000, 500_000, 1_000_000),
    "at_voxceleb2": drawn.VOXCELEB1_E_TRIALS,
    "warm": 2_000,
}


def call(name: str, *arguments: object) -> None:
    """spk.bin.<name> with these arguments; SystemExit where it fails."""
    sys.argv = [name, *map(str, arguments)]
    importlib.import_module(f"spk.bin.{name}").main()


def command(name: str, *arguments: str) -> Callable[[Path], None]:
    """A command to run; {} in an argument is the folder of the stage's inputs."""
    return lambda folder: call(name, *(argument.format(folder) for argument in arguments))


def stage(name: str, **settings) -> Callable[[Callable[[Path, int], object]], Callable[[Path, int], object]]:
    """Decorate what makes a stage's inputs."""

    def register(make: Callable[[Path, int], object]) -> Callable[[Path, int], object]:
        STAGES[name] = Stage(make=make, **settings)
        return make

    return register


# Data directories


@stage("a dict of names, for comparison", run=lambda folder: look_names_up(folder / "data" / "utt2spk"), **ON_LISTS)
def make_names(folder: Path, size: int) -> None:
    """No stage, but what each does that works on names: where this grows faster than its names, that is the machine."""
    drawn.write_data_dir(folder / "data", size, num_frames=400)


def look_names_up(path: Path) -> None:
    """As plain code does: every line read, split, kept in a dict, looked up in sorted order and written."""
    with path.open() as lines:
        table = dict(line.split() for line in lines)
    with path.with_suffix(".copy").open("w") as copy:
        copy.writelines(f"{name} {table[name]}\n" for name in sorted(table))


@stage(
    "prepare_speaker_folders",
    run=command("prepare_speaker_folders", "--max-trials", "10000", "{}/speech", "{}/data"),
    unit="utterances",
    sizes=FOLDER_SIZES,
)
def make_speaker_folders(folder: Path, size: int) -> None:
    """<speaker>/<video>/<utterance>.wav, empty: audio is not opened."""
    make_tree(folder / "speech" / "wav", size, ".wav")


@stage("prepare_voxceleb", run=command("prepare_voxceleb", "{}/vox2/dev", "{}/data"), **ON_FOLDERS)
def make_voxceleb(folder: Path, size: int) -> None:
    make_tree(folder / "vox2" / "dev" / "wav", size, ".wav")


def make_tree(root: Path, size: int, suffix: str) -> None:
    for video, utterances in itertools.groupby(drawn.names(size)[0], lambda name: name.rpartition("-")[0]):
        where = root / video.replace("-", "/")
        where.mkdir(parents=True)
        for utterance in utterances:
            (where / (utterance.rpartition("-")[2] + suffix)).touch()


@stage("validate_data_dir", run=command("validate_data_dir", "--no-check-files", "{}/data"), **ON_LISTS)
@stage("split_data, 40 parts", run=command("split_data", "{}/data", "40"), **ON_LISTS)
@stage("copy_data_dir", run=command("copy_data_dir", "--utt-prefix", "x-", "--spk-prefix", "x-", "{}/data", "{}/copy"),
       **ON_LISTS)  # fmt: skip
def make_data_dir(folder: Path, size: int) -> None:
    drawn.write_data_dir(folder / "data", size, num_frames=400)


@stage("fix_data_dir", run=command("fix_data_dir", "{}/data"), **ON_LISTS)
def make_broken_data_dir(folder: Path, size: int) -> None:
    """Out of order, with lines missing and lines twice."""
    make_data_dir(folder, size)
    shuffle = random.Random(0)
    for name in ("utt2spk", "wav.scp", "feats.scp", "utt2num_frames", "utt2dur"):
        path = folder / "data" / name
        lines = path.read_text().splitlines(keepends=True)
        spoiled = lines[: -len(lines) // 1000] + shuffle.sample(lines, -(-len(lines) // 1000))
        shuffle.shuffle(spoiled)
        path.write_text("".join(spoiled))


@stage("subset_data_dir, half", run=lambda folder: call("subset_data_dir", folder / "data",
       (folder / "half").read_text(), folder / "subset"), **ON_LISTS)  # fmt: skip
def make_data_dir_to_halve(folder: Path, size: int) -> None:
    make_data_dir(folder, size)
    (folder / "half").write_text(str(size // 2))


@stage("combine_data, 4 parts", run=command("combine_data", "{}/data", *(f"{{}}/{part}" for part in range(4))),
       **ON_LISTS)  # fmt: skip
def make_data_dirs_to_combine(folder: Path, size: int) -> None:
    drawn.write_data_dir(folder / "data", size, num_frames=400)
    call("split_data", folder / "data", 4)
    for part in range(4):
        (folder / "data" / "split4" / str(part + 1)).rename(folder / str(part))


# Features


@stage("make_feats, one job", unit="utterances", sizes=FEW_SIZES, run=lambda folder: make_feats(folder))
def make_recordings(folder: Path, size: int) -> None:
    """0.3 s of FLAC each; a few files that are read again and again."""
    recordings = drawn.write_recordings(folder / "audio", 0.3)
    drawn.write_data_dir(folder / "data", size, recordings=recordings)
    call("feature_config", "--output", folder / "feats.yaml")


def make_feats(folder: Path) -> None:
    call("make_feats", "--config", folder / "feats.yaml", folder / "data", folder / "data", folder / "feats.1")


@stage("join_feats", run=command("join_feats", "{}/data", "{}/feats", "1"), **ON_LISTS)
def make_journal(folder: Path, size: int) -> None:
    """What make_feats leaves of one job, with small arks: the first line is its own, the others are alike."""
    recordings = drawn.write_recordings(folder / "audio", 0.5)
    drawn.write_data_dir(folder / "data", drawn.RECORDS, 1, recordings=recordings)
    call("feature_config", "--output", folder / "feats.yaml")
    make_feats(folder)
    utterances = drawn.write_data_dir(folder / "data", size, recordings=recordings)
    journal = folder / "feats.1.journal"
    head, *lines = journal.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    with journal.open("w") as file:
        file.write(head + "\n")
        for row, utterance in enumerate(utterances):
            file.write(json.dumps(entries[row % len(entries)] | {"utterance": utterance}) + "\n")


@stage("augment_data_dir", run=command("augment_data_dir", "--noises", "{}/noises", "--rirs", "{}/rirs", "{}/data",
       "{}/augmented"), **ON_UTTERANCES)  # fmt: skip
def make_augmentation(folder: Path, size: int) -> None:
    drawn.write_data_dir(folder / "data", size)
    recordings = drawn.write_recordings(folder / "audio", 0.5)
    for name in ("noises", "rirs"):
        drawn.write_data_dir(folder / name, 2 * drawn.RECORDS, 1, recordings=recordings)


# Training


@stage("read_training_data", run=lambda folder: open_training(folder), **ON_LISTS)
def make_training_data(folder: Path, size: int) -> None:
    drawn.write_data_dir(folder / "data", size, num_frames=60)


def open_training(folder: Path) -> None:
    from spk.config import ValidationConfig
    from spk.train.training_data import read_training_data

    read_training_data(folder / "data", ValidationConfig(speakers=10), seed=1)


@stage("plan of an epoch", run=lambda folder: draw_epoch(folder, 1), **ON_LISTS)
@stage("batches of an epoch", run=lambda folder: draw_epoch(folder, None), **ON_LISTS)
def make_labels(folder: Path, size: int) -> None:
    """As many speakers whatever the size: a batch is drawn among all of them."""
    np.save(folder / "labels.npy", np.arange(size) * SPEAKERS // size)


@stage("plan of an epoch, by speakers", run=lambda folder: draw_epoch(folder, 1), unit="speakers",
       sizes=(100, 1_000, 3_000, 10_000), warm=50)  # fmt: skip
def make_labels_of_speakers(folder: Path, size: int) -> None:
    """As many utterances whatever the size."""
    np.save(folder / "labels.npy", np.arange(100_000) * size // 100_000)


def draw_epoch(folder: Path, num_batches: int | None) -> None:
    """The batches of the first epoch, 20 speakers each; of one utterance, at most 100 of a speaker."""
    from spk.data.sampler import SpeakerSampler

    sampler = SpeakerSampler(
        np.load(folder / "labels.npy"), num_speakers_per_batch=20, max_utterances_per_speaker=100, seed=1
    )
    batches = itertools.takewhile(lambda batch: batch.epoch == 0, sampler)
    for _ in itertools.islice(batches, num_batches):
        pass


@stage("train, 50 steps", run=lambda folder: train(folder), sizes=FEW_SIZES, **ON_UTTERANCES)
def make_training(folder: Path, size: int) -> None:
    drawn.write_data_dir(folder / "data", size, num_frames=60)
    (folder / "system.yaml").write_text(yaml.safe_dump(SYSTEM))


@stage("train, 50 steps, by speakers", run=lambda folder: train(folder), unit="speakers",
       sizes=(300, 3_000, 10_000, 30_000), warm=30)  # fmt: skip
def make_training_of_speakers(folder: Path, size: int) -> None:
    """Four utterances of each."""
    drawn.write_data_dir(folder / "data", 4 * size, size, num_frames=60)
    (folder / "system.yaml").write_text(yaml.safe_dump(SYSTEM))


def train(folder: Path) -> None:
    call("train", "--device", "cpu", "--config", folder / "system.yaml", folder / "data", folder / "exp")


# Embeddings


@stage("extract_embeddings", run=command("extract_embeddings", "--device", "cpu", "{}/exp", "{}/data", "{}/embedding"),
       **ON_UTTERANCES)  # fmt: skip
def make_extraction(folder: Path, size: int) -> None:
    """Features of 0.3 s, and a network that was never trained, for what it costs is the same."""
    import torch

    from spk.config import make_system
    from spk.embed.model import save_model
    from spk.nets.embedder import build_embedder

    drawn.write_data_dir(folder / "data", size, num_frames=30)
    config = make_system(SYSTEM, "system")
    torch.manual_seed(1)
    embedder = build_embedder(config.normalization, config.network, num_bins=40)
    (folder / "exp").mkdir()
    save_model(folder / "exp", config, 40, embedder.state_dict(), step=1)


# Back-ends


@stage("train_lda", run=command("train_lda", "--lda-dim", "100", "{}/data", "{}/embeddings", "{}/backend"),
       warm=3000, **ON_UTTERANCES)  # fmt: skip
@stage("train_plda", run=command("train_plda", "--lda-dim", "100", "{}/data", "{}/embeddings", "{}/backend"),
       warm=3000, **ON_UTTERANCES)  # fmt: skip
def make_backend_training(folder: Path, size: int) -> None:
    """As many speakers whatever the size; at VoxCeleb2's, its own number and 512 dimensions."""
    at_voxceleb2 = size == drawn.VOXCELEB2_UTTERANCES
    utterances, dim = (None, 512) if at_voxceleb2 else (150, FEW_DIM)
    drawn.write_embeddings(folder / "embeddings", drawn.write_data_dir(folder / "data", size, utterances), dim)


@stage("train_plda, by speakers", run=command("train_plda", "--lda-dim", "100", "{}/data", "{}/embeddings",
       "{}/backend"), unit="speakers", sizes=(200, 500, 1_000, 2_000, 5_000, 10_000), warm=150)  # fmt: skip
def make_backend_training_of_speakers(folder: Path, size: int) -> None:
    drawn.write_embeddings(folder / "embeddings", drawn.write_data_dir(folder / "data", 10 * size, size), FEW_DIM)


@stage("prepare_voxceleb_trials", run=command("prepare_voxceleb_trials", "--lists", "e", "--table", "{}/table",
       "{}/lists", "{}/source", "{}/data"), **ON_TRIALS)  # fmt: skip
def make_published_list(folder: Path, size: int) -> None:
    utterances = drawn.write_data_dir(folder / "source", 5_000, 1_000)
    drawn.write_trials(folder / "trials", utterances, size)
    labels = {"target": "1", "nontarget": "0"}
    (folder / "lists").mkdir()
    num_targets = 0
    with (folder / "trials").open() as trials, (folder / "lists" / "e.txt").open("w") as published:
        for line in trials:
            enroll, test, kind = line.split()
            num_targets += kind == "target"
            published.write(f"{labels[kind]} {enroll.replace('-', '/')}.wav {test.replace('-', '/')}.wav\n")
    header = "list\tfile\ttrials\ttarget trials"
    (folder / "table").write_text(f"{header}\ne\te.txt\t{size}\t{num_targets}\n")


def make_scored(folder: Path, num_utterances: int, num_trials: int) -> None:
    utterances = drawn.write_data_dir(folder / "data", num_utterances)
    drawn.write_embeddings(folder / "embeddings", utterances, DIM)
    drawn.write_trials(folder / "trials", utterances, num_trials)


SCORED = ("{}/trials", "{}/embeddings", "{}/embeddings", "{}/exp/scores_list_cosine")


@stage("score cosine", run=command("score", "--backend", "cosine", *SCORED), **ON_TRIALS)
def make_trials(folder: Path, size: int) -> None:
    """Of 5,000 utterances; at VoxCeleb1-E's size of all that it names."""
    at_voxceleb2 = size == drawn.VOXCELEB1_E_TRIALS
    (folder / "exp").mkdir(parents=True)
    make_scored(folder, drawn.VOXCELEB1_UTTERANCES if at_voxceleb2 else 5_000, size)


@stage("score plda", run=command("score", "--backend", "plda", "--backend-dir", "{}/backend", *SCORED), **ON_TRIALS)
def make_plda_trials(folder: Path, size: int) -> None:
    make_trials(folder, size)
    training = folder / "training"
    drawn.write_embeddings(training, drawn.write_data_dir(training, 3_000, 150), DIM)
    call("train_plda", "--lda-dim", "100", training, training, folder / "backend")


@stage("score cosine, by utterances", run=command("score", "--backend", "cosine", *SCORED), unit="utterances")
def make_trials_of_utterances(folder: Path, size: int) -> None:
    """As many trials as utterances."""
    (folder / "exp").mkdir(parents=True)
    make_scored(folder, size, size)


@stage("score cosine, --norm as", run=command("score", "--backend", "cosine", "--norm", "as", "--cohort", "{}/cohort",
       *SCORED), unit="utterances")  # fmt: skip
def make_normalised_trials(folder: Path, size: int) -> None:
    """As many trials as utterances; a cohort of 2,000."""
    make_trials_of_utterances(folder, size)
    drawn.write_embeddings(folder / "cohort", drawn.names(2_000, prefix="jd")[0], DIM)


@stage("metrics", run=command("metrics", "--json", "{}/metrics.json", "{}/exp/scores_list_cosine", "{}/trials"),
       **ON_TRIALS)  # fmt: skip
@stage("report, 20 draws", run=command("report", "--draws", "20", "--output", "{}/output", "{}/exp"), **ON_TRIALS)
def make_scores(folder: Path, size: int) -> None:
    (folder / "exp").mkdir(parents=True)
    make_scored(folder, 5_000, size)
    call("score", "--backend", "cosine", *(argument.format(folder) for argument in SCORED))
    (folder / "data" / "utt2spk").rename(folder / "utt2spk")  # beside the trials


# I-vectors


def make_ivector_features(folder: Path, size: int) -> None:
    drawn.write_data_dir(folder / "data", size, num_frames=20)


UBM = ("--num-gauss", "8", "--num-frames", "5000", "--num-init-iters", "2", "--num-diag-iters", "1",
       "--num-full-iters", "1", "--num-gselect-diag", "4", "--num-gselect", "4")  # fmt: skip


@stage("train_ubm", run=command("train_ubm", "--threads", "1", "--device", "cpu", *UBM, "{}/data", "{}/ubm"),
       unit="utterances", sizes=FEW_SIZES, warm=500)  # fmt: skip
def make_ubm_training(folder: Path, size: int) -> None:
    """Eight Gaussians, and one iteration of each kind over all data."""
    make_ivector_features(folder, size)


@stage("extract_ivectors", run=command("extract_ivectors", "--device", "cpu", "{}/extractor", "{}/data", "{}/ivector"),
       unit="utterances", sizes=FEW_SIZES)  # fmt: skip
def make_ivector_extraction(folder: Path, size: int) -> None:
    """Eight Gaussians, 16 dimensions."""
    training = folder / "training"
    make_ivector_features(training, 500)
    train_ubm = command("train_ubm", "--threads", "1", "--device", "cpu", *UBM, "{}/data", "{}/ubm")
    train_ubm(training)
    call("train_ivector_extractor", "--ivector-dim", 16, "--num-iters", 1, "--threads", 1, "--device", "cpu",
         "--num-gselect", 4, training / "data", training / "ubm", folder / "extractor")  # fmt: skip
    make_ivector_features(folder, size)
