"""Networks published by clovaai/voxceleb_trainer, the code of 'In defence of metric learning': their weights here.

A checkpoint there is a state dict, bare or under the key `model` or `model_state_dict`, of the network (its names begin
with `__S__.` or are bare) and of the loss (`__L__.`). One thing does not show in it: the pooling `MAX`, which is not
offered here, has the names of `TAP`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from spk.config import SystemConfig
from spk.data.torch_files import load
from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.feats.front_end import FrontEnd
from spk.nets.embedder import Embedder, build_embedder
from spk.nets.se_resnet34 import BLOCKS

log = logging.getLogger(__name__)
WRAPPERS = ("model", "model_state_dict")
NAMES_SHOWN = 5  # of each kind that does not fit
FILTER_TOLERANCE = 1e-3  # versions of torchaudio round mel frequencies differently; other filters differ by far more

# Parts of names: ours -> theirs.
HEAD = {"pooling.attention.linear.": "sap_linear.", "pooling.attention.context": "attention", "embedding.": "fc."}
STAGE_BLOCKS = [(stage, index) for stage, count in enumerate(BLOCKS, start=1) for index in range(count)]
RESNET = HEAD | {
    **{f"blocks.{block}.": f"layer{stage}.{index}." for block, (stage, index) in enumerate(STAGE_BLOCKS)},
    "se.gate.": "se.fc.",
    "shortcut_conv.": "downsample.0.",
    "shortcut_bn.": "downsample.1.",
}
# Max-pools have places in both lists, activations only in theirs.
VGG_CONVS = {0: 0, 2: 4, 4: 8, 5: 11, 6: 14, 8: 18}
VGG = HEAD | {
    **{f"layers.{ours}.conv.": f"netcnn.{theirs}." for ours, theirs in VGG_CONVS.items()},
    **{f"layers.{ours}.bn.": f"netcnn.{theirs + 1}." for ours, theirs in VGG_CONVS.items()},
}


@dataclass(frozen=True)
class Published:
    """A network there: its name, the front end that it computes itself, and the parts of its parameters' names."""

    name: str
    features: str
    window: str
    parts: Mapping[str, str]

    def their_name(self, name: str) -> str:
        for ours, theirs in self.parts.items():
            name = name.replace(ours, theirs)
        return name


PUBLISHED = {
    "fast_resnet34": Published("ResNetSE34L", "fbank40", "hamming", RESNET),
    "thin_resnet34": Published("ResNetSE34", "spectrogram257", "hann", RESNET),
    "vgg_m_40": Published("VGGVox", "fbank40", "hann", VGG),
}


def import_published(path: Path, config: SystemConfig, window_is_known: bool = False) -> tuple[Embedder, int]:
    """(the embedder that `config` describes, with the weights of the checkpoint at `path`; its number of bins).

    `window_is_known`: the caller vouches for features.window where the checkpoint does not tell.
    Raises InputError for a system that cannot be one of PUBLISHED, and for what of the checkpoint does not fit it.
    """
    published = published_as(config)
    front_end = FRONT_ENDS.build("features", config.features)
    embedder = build_embedder(config.normalization, config.network, num_bins=front_end.dim)
    there, num_loss_tensors = read_checkpoint(path)
    window = config.features["window"]
    if "torchfb.spectrogram.window" not in there and window != published.window and not window_is_known:
        raise InputError(
            f"{path}: does not tell its window, and {published.name} was published with {published.window}, not "
            f"{window}; give --features.window {published.window} (or {window}, if you know that it is)"
        )
    check_front_end(path, config, there, front_end)
    state = embedder.network.state_dict()
    wanted = {published.their_name(name): name for name in state}
    shapes = {theirs: state[name].shape for theirs, name in wanted.items()}
    if misfits := differences(there, shapes):
        raise InputError(f"{path}: is no {published.name} that fits this {config.network['name']}: {misfits}")
    embedder.network.load_state_dict({name: there[theirs] for theirs, name in wanted.items()})
    log.info("%s: %d tensors of the network; %d of its loss left out", path, len(wanted), num_loss_tensors)
    return embedder.eval(), front_end.dim


def published_as(config: SystemConfig) -> Published:
    """What `config` describes is called this there. InputError for a system that was not published."""
    network = config.network["name"]
    if network not in PUBLISHED:
        raise InputError(f"network.name: {network} was not published there; allowed: {', '.join(PUBLISHED)}")
    published = PUBLISHED[network]
    for section, name in (("features", published.features), ("normalization", "instance")):
        if (here := getattr(config, section)["name"]) != name:
            raise InputError(f"{section}.name: {published.name} takes {name}, not {here}; set it to {name}")
    return published


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], int]:
    """(the network's tensors by name, without prefixes; how many others are the loss's)."""
    content = load(path)
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise InputError(
            f"{path}: holds no state dict, that is, names and tensors, alone or as {' or '.join(WRAPPERS)}"
        )
    # DataParallel and the like put `module` somewhere before a name.
    named = {".".join(part for part in name.split(".") if part != "module"): value for name, value in content.items()}
    network = {name.removeprefix("__S__."): value for name, value in named.items() if not name.startswith("__L__.")}
    return network, len(named) - len(network)


def check_front_end(path: Path, config: SystemConfig, there: dict[str, Tensor], front_end: FrontEnd) -> None:
    """Take torchaudio's buffers out of `there`; InputError when they are not those of the system's front end."""
    if config.features["name"] != "fbank40":
        return
    window = there.pop("torchfb.spectrogram.window", None)
    if window is not None:
        margin = front_end.n_fft - len(window)
        padded = F.pad(window.float(), (margin // 2, margin - margin // 2))
        if not torch.allclose(padded, front_end.window, atol=FILTER_TOLERANCE):
            raise InputError(
                f"{path}: its torchfb.spectrogram.window is not features.window {config.features['window']}; "
                "set features.window to the other one"
            )
    filters = there.pop("torchfb.mel_scale.fb", None)
    if filters is not None and not (
        filters.shape == front_end.filters.shape
        and torch.allclose(filters.float(), front_end.filters, atol=FILTER_TOLERANCE)
    ):
        raise InputError(f"{path}: its torchfb.mel_scale.fb is not the filters of fbank40; no front end here has them")


def differences(there: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> str:
    """What does not fit: shapes, names that are missing there, and names there that nothing here takes; '' for none."""
    shapes = [
        f"{name} is {shape_text(there[name].shape)} there, {shape_text(shape)} here"
        for name, shape in wanted.items()
        if name in there and there[name].shape != shape
    ]
    missing = [name for name in wanted if name not in there]
    leftover = [name for name in there if name not in wanted]
    kinds = (("", shapes), ("missing there: ", missing), ("not taken here: ", leftover))
    return "; ".join(kind + some_of(texts) for kind, texts in kinds if texts)


def some_of(texts: list[str]) -> str:
    more = len(texts) - NAMES_SHOWN
    return ", ".join(texts[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def shape_text(shape: torch.Size) -> str:
    return " x ".join(map(str, shape)) or "one number"
