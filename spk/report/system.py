"""What a config describes, in words and numbers: a system before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from spk.config import SystemConfig
from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.losses import LOSSES
from spk.nets.complexity import Complexity, Layer, folded, measure_complexity
from spk.nets.embedder import build_embedder
from spk.report.table import markdown_table

COUNTED = (
    "Multiply-adds of convolutions, linear layers and matrix products; biases, normalisations, activations, "
    "means and the loss are not counted."
)
HEADINGS = ("Layer", "Kind", "Output", "Parameters", "Multiply-adds")


def describe_system(
    config: SystemConfig,
    title: str,
    *,
    num_frames: int | None = None,
    num_speakers: int | None = None,
    depth: int | None = None,
) -> str:
    """Markdown that reads as plain text: front end, network by layer, objective, training, evaluation.

    Shapes and multiply-adds are those of one input of `num_frames` frames (None: a training crop), the loss's
    parameters those for `num_speakers` training speakers (None: how many a speaker). `depth`: how far the table goes
    down into parts of parts, None for every layer.
    Raises: InputError for an input shorter than the network's least.
    """
    num_frames = num_frames or config.batch.crop_frames
    num_bins = FRONT_ENDS.build("features", config.features).dim
    # The sizes need no drawn weights, and the caller's generator must not move.
    with torch.random.fork_rng(devices=[]):
        embedder = build_embedder(config.normalization, config.network, num_bins)
    if num_frames < embedder.min_frames:
        raise InputError(f"{num_frames} frames are too few: this network needs {embedder.min_frames}")
    complexity = measure_complexity(embedder.network, torch.zeros(1, num_frames, num_bins))
    sections = {
        "Front end": f"{arguments_of(config.features)}: {num_bins} bins",
        "Normalisation": arguments_of(config.normalization) + weights_of(embedder.normalization),
        "Network": arguments_of(config.network),
        "Least frames": str(embedder.min_frames),
        "Loss": f"{arguments_of(config.loss)}; parameters: {loss_parameters(config, num_speakers)}",
        "Curriculum": "; ".join(f"{name}: {fields_of(ramp)}" for name, ramp in config.curriculum.items()) or "none",
        "Batch": describe_batch(config),
        "Optimiser": arguments_of(config.optimizer),
        "Schedule": arguments_of(config.schedule),
        "Training": fields_of(config.train),
        "Validation": describe_validation(config),
        "Evaluation": describe_evaluation(config),
        "Starts from": config.init_from or "weights drawn with the seed",
        "Seed": str(config.seed),
    }
    width = max(map(len, sections)) + 1
    shown = complexity if depth is None else folded(complexity, depth)
    return (
        f"# {title}\n\n"
        + "".join(f"- {name + ':':{width}} {text}\n" for name, text in sections.items())
        + f"\n## {config.network['name']}: one input of {num_frames} x {num_bins}\n\n"
        + layer_table(shown, whole=complexity)
        + f"\n{COUNTED}\n"
    )


def layer_table(shown: Complexity, whole: Complexity) -> str:
    """A row for each layer that has parameters or multiply-adds or changes the shape, and the totals of the network."""
    rows = [row_of(layer) for layer in shown.layers if layer.name and is_worth_a_row(layer)]
    own = [layer for layer in shown.layers if not layer.name and layer.parameters + layer.multiply_adds]
    rows += [("itself", *row_of(layer)[1:]) for layer in own]
    total = ("total", "", "", f"{whole.parameters:,}", f"{whole.multiply_adds:,}")
    in_short = ("", "", "", f"{whole.parameters / 1e6:.2f} M", f"{whole.multiply_adds / 1e9:.3f} G")
    return markdown_table(HEADINGS, [*rows, total, in_short], num_text_columns=3)


def is_worth_a_row(layer: Layer) -> bool:
    return bool(layer.parameters or layer.multiply_adds or (layer.reshapes and not layer.has_parts))


def row_of(layer: Layer) -> tuple[str, ...]:
    output = " x ".join(map(str, layer.output)) if layer.output is not None else "not used"
    return layer.name, layer.kind, output, f"{layer.parameters:,}", f"{layer.multiply_adds:,}"


def loss_parameters(config: SystemConfig, num_speakers: int | None) -> str:
    def count(speakers: int) -> int:
        with torch.device("meta"):  # for millions of speakers, too
            loss = LOSSES.build(
                "loss",
                config.loss,
                embedding_dim=config.network["embedding_dim"],
                num_speakers=speakers,
                utterances_per_speaker=config.batch.utterances_per_speaker,
            )
        return sum(parameter.numel() for parameter in loss.parameters())

    if num_speakers is not None:
        return f"{count(num_speakers):,} for {num_speakers:,} speakers"
    each = count(3) - count(2)
    constant = count(2) - 2 * each
    parts = [f"{each:,} a training speaker"] * bool(each) + [f"{constant:,}"] * bool(constant)
    return " + ".join(parts) or "none"


def describe_batch(config: SystemConfig) -> str:
    batch = config.batch
    crops = f"crops of {batch.crop_frames} frames"
    if batch.size == "auto":
        size = f"speakers x {batch.utterances_per_speaker}, as many {crops} as the memory holds, at most {batch.most}"
    else:
        size = f"{batch.num_speakers} speakers x {batch.utterances_per_speaker} = {batch.size} {crops}"
    most = batch.max_utterances_per_speaker
    return f"{size}; of a speaker in an epoch {'all utterances' if most is None else f'at most {most} utterances'}"


def describe_validation(config: SystemConfig) -> str:
    validation = config.validation
    if not validation.speakers:
        return "none; the last step is the final model"
    return (
        f"{validation.speakers} training speakers held out, {validation.utterances_per_speaker} utterances each, "
        f"every {validation.every} steps; the {validation.select} step is the final model"
    )


def describe_evaluation(config: SystemConfig) -> str:
    evaluation = config.evaluation
    what = (
        f"{evaluation.crops} crops of {evaluation.crop_frames} frames of each utterance"
        if evaluation.crops
        else "whole utterances"
    )
    return f"{what}, compared by {arguments_of(evaluation.backend)}"


def arguments_of(section: Mapping[str, Any]) -> str:
    """'dam_softmax (margin 0.2, scale 30)', the name and every argument with its value."""
    pairs = ", ".join(f"{name} {value_of(value)}" for name, value in section.items() if name != "name")
    return section["name"] + (f" ({pairs})" if pairs else "")


def fields_of(section: Any) -> str:
    """'steps 500, threads 1': the fields of a dataclass that are set."""
    return ", ".join(f"{name} {value_of(value)}" for name, value in vars(section).items() if value is not None)


def value_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return arguments_of(value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "default"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def weights_of(module: nn.Module) -> str:
    count = sum(parameter.numel() for parameter in module.parameters())
    return f"; parameters: {count:,}" if count else ""
