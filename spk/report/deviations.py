"""In what a trained and scored system departs from a config file as it stands and VoxCeleb's whole training sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spk.data.files import file_digest
from spk.data.voxceleb import COMPLETE
from spk.report.results import ScoreFile, found_from, read_json, stamp_of

# Speakers and utterances of the development parts.
TRAINING_SETS = {name: COMPLETE[f"{name}_dev"] for name in ("vox1", "vox2")}
LEAST_SHARE = 0.99  # of the utterances; some files cannot be read
# Keys of a config that change no result but by chance. What crops were evaluated is the scores' to say, and the system
# that init_from names is compared by itself.
NO_MATTER = (
    *("train.workers", "train.threads", "train.log_every", "train.save_every", "train.keep_checkpoints"),
    *("seed", "init_from", "evaluation.crops", "evaluation.crop_frames"),
)
SETTLED_BY_MACHINE = ("train.threads", "train.precision", "batch.size")
# What recipes tell train_plda, train_lda and score, as their stamps have it; None: nothing.
BACKEND_DEFAULTS = {
    "lda_dim": "auto",
    "shrinkage": "none",
    "length_normalize": "true",
    "num_iters": "10",
    "smoothing": "0",
    "coral": None,
    **dict.fromkeys(("within_covar_scale", "between_covar_scale", "mean_diff_scale")),  # of adapt_plda
    "normalize_length": "true",
    "simple_length_normalization": "false",
}


def recorded_run(model: Path) -> dict[str, Any]:
    """What run.json of a trained system says; {} without one. `system` and `training` are what its data and config
    are named after: conf/rescnn_dam.yaml on data/vox2_dev is rescnn_dam on vox2.
    """
    run = read_json(model / "run.json") or {}
    named = {
        "system": Path(run.get("config", "")).stem,
        "training": Path(run.get("data", "unknown data")).name.removesuffix("_dev"),
    }
    return run and {**run, **named}


def training_deviations(model: Path, config: Path, training: str) -> list[str]:
    """What makes the trained system `model` another than `config` trained on the whole of `training`; [] for nothing.

    A seed, the number of threads, and what the config leaves to the machine make no difference.
    """
    run = recorded_run(model)
    if not run:
        return [f"{model} has no readable run.json, so that its config cannot be compared"]
    if "imported" in run:
        return [f"the network was imported from {run['imported']['file']}"]
    if not config.is_file():
        return [f"{config}: there is no such config to compare with"]
    return (
        config_deviations(model, config, run["overrides"])
        + initial_deviations(model, config, training, run["init_from"])
        + data_deviations(model, training, run)
    )


def config_deviations(model: Path, config: Path, overrides: list[str]) -> list[str]:
    """'loss.margin: 0.2 -> 0.3' for what the command line changed, or the file since."""
    from spk.config import load_system
    from spk.train.experiment import flatten

    plain, told, used = (
        flatten(load_system(*source).as_dict()) for source in ((config,), (config, overrides), (model / "config.yaml",))
    )
    settled = {name: plain[name] for name in SETTLED_BY_MACHINE if plain[name] in (0, "auto")}
    return list(
        dict.fromkeys(
            f"{name}: {plain.get(name)} -> {other.get(name)}"
            for other in (told, used | settled)
            for name in sorted((plain.keys() | other.keys()) - set(NO_MATTER))
            if plain.get(name) != other.get(name)
        )
    )


def initial_deviations(model: Path, config: Path, training: str, initial: dict[str, str] | None) -> list[str]:
    """The same of the system that this one started from, which the config names by its folder."""
    from spk.config import load_system

    named = load_system(config).init_from
    if named is None or initial is None:
        return [] if named is None and initial is None else ["init_from is given in one of both alone"]
    path = found_near(model, initial["file"])
    if path is None or file_digest(path) != initial["digest"]:
        return [f"init_from: {initial['file']} is not there any more as it was"]
    deviations = training_deviations(path.parent, config.with_name(f"{Path(named).name}.yaml"), training)
    return [f"init_from: {text}" for text in deviations]


def data_deviations(model: Path, training: str, run: dict[str, Any]) -> list[str]:
    """Whether the data directory that trained it, as it was then, holds the whole training set and no more."""
    if training not in TRAINING_SETS:
        return [f"{training}: no training set of known size; known: {', '.join(TRAINING_SETS)}"]
    utt2spk = found_near(model, f"{run['data']}/utt2spk")
    if utt2spk is None or file_digest(utt2spk) != run["data_digests"]["utt2spk"]:
        return [f"{run['data']}/utt2spk is not there any more as it was in training"]
    if utt2spk.with_name("utt2augmentation").exists():
        return [f"{run['data']} is augmented"]
    with utt2spk.open("rb") as file:
        speakers = [line.split()[1] for line in file]
    num_speakers, num_utterances = TRAINING_SETS[training]
    if len(set(speakers)) == num_speakers and LEAST_SHARE * num_utterances <= len(speakers) <= num_utterances:
        return []
    return [
        f"{run['data']} has {len(set(speakers)):,} speakers and {len(speakers):,} utterances, "
        f"{training} {num_speakers:,} and {num_utterances:,}"
    ]


def found_near(model: Path, name: str) -> Path | None:
    """A path that training wrote down; a relative one is meant from the recipe, a folder above the trained system."""
    places = (folder / name for folder in (*model.resolve().parents, Path()))
    return next((path for path in places if path.is_file()), None)


def evaluation_deviations(scores: ScoreFile, config: Path) -> list[str]:
    """What the config's protocol has otherwise than that of the embeddings that were scored, and the recipes' back-end
    otherwise than the one that scored them.
    """
    from spk.config import load_system, make_evaluation, read_yaml

    if not config.is_file():
        return []  # no network: its embeddings know no protocol
    wanted = load_system(config).evaluation
    description = json.loads(Path(f"{scores.path}.json").read_text(encoding="utf-8"))
    deviations = {}
    for name in ("enroll_dir", "test_dir"):
        path = Path(found_from(scores.directory, str(description.get(name)))) / "evaluation.yaml"
        if not path.is_file():
            return [f"{path} is not there, so that its protocol cannot be compared"]
        made = make_evaluation(read_yaml(path))
        if made.crops != wanted.crops:
            deviations[f"evaluation.crops: {wanted.crops} -> {made.crops}"] = None
        elif made.crops and made.crop_frames != wanted.crop_frames:
            deviations[f"evaluation.crop_frames: {wanted.crop_frames} -> {made.crop_frames}"] = None
    return list(deviations) + backend_deviations(scores, description.get("backend_dir"))


def backend_deviations(scores: ScoreFile, backend_dir: str | None) -> list[str]:
    """'lda_dim: auto -> 100' for each option of scoring, or of the training of its back-end, that no recipe gives."""
    stamps = [read_json(stamp_of(scores.path)) or {}]
    if backend_dir:
        path = Path(found_from(scores.directory, backend_dir)) / ".backend.done"
        stamps.append(read_json(path))
        if stamps[-1] is None:
            return [f"{path} is not there, so that the back-end's options cannot be compared"]
    return [
        f"{name}: {default} -> {stamp[name]}"
        for stamp in stamps
        for name, default in BACKEND_DEFAULTS.items()
        if stamp.get(name, default) != default
    ]
