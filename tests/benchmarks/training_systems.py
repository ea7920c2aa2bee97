"""Systems for the benchmarks of training: the recipes' own, trained for some steps by the Trainer on drawn features.

Features are an autoregressive process over frames (coefficient 0.9 from one to the next, as neighbouring windows that
overlap by 60 % are alike) of normal values, plus an offset and a scale for each bin and a colour for each speaker, in
the 8 bits that the recipes' features have. Rates do not depend on what values are; masks and crops are a recipe's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import yaml
from drawn import names, write_lines
from kaldiio.matio import write_array
from scipy.signal import lfilter
from torch import Tensor

from spk.bin.train import build
from spk.collectives import ALONE
from spk.config import SystemConfig, load_system
from spk.data.crops import load_batches
from spk.feats import FRONT_ENDS
from spk.train.settle import settle
from spk.train.trainer import Trainer

CONF = Path(__file__).resolve().parents[2] / "egs/voxceleb/conf"
MATRICES = 64  # that are different: utterances share them
# The papers' batches: 'In defence of metric learning' for the first three, 'Dynamic margin softmax loss' for ResCNN.
CONFIGS = {
    "fast_resnet34": "fast_resnet34_dam.yaml",
    "thin_resnet34": "thin_resnet34_am.yaml",
    "vgg_m_40": "vgg_m_40_am.yaml",
    "rescnn": "rescnn_dam.yaml",
}
BINS = {"fbank40": 40, "spectrogram161": 161, "spectrogram257": 257}


def system(network: str, *overrides: str) -> SystemConfig:
    """The recipe's, without validation, with the overrides."""
    always = [
        "--validation.speakers",
        "0",
        "--train.steps",
        "1000000",
        "--train.workers",
        "0",
        "--schedule",
        "constant",
    ]
    return load_system(CONF / CONFIGS[network], [*always, *overrides])


def bins_of(config: SystemConfig) -> int:
    return BINS[config.features["name"]]


def write_training_dir(
    folder: Path, config: SystemConfig, utterances: int, speakers: int, frames: int, records: int = 0
) -> Path:
    """A data directory for the system; its ark holds `frames` frames for each utterance.

    `records`: so many of the utterances' matrices are in the ark, and the other utterances have the same ones again.
    """
    folder.mkdir(parents=True)
    ids, owners = names(utterances, speakers)
    random = np.random.default_rng(0)
    bins = bins_of(config)
    level, scale = random.normal(10, 3, bins), random.uniform(1, 3, bins)
    drawn = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], random.normal(size=(MATRICES, frames, bins)), axis=1)
    colours = {owner: random.normal(size=bins) for owner in owners}
    ark, places = (folder / "feats.ark").resolve(), []
    with ark.open("wb") as file:
        for row, (utterance, owner) in enumerate(zip(ids, owners, strict=True)):
            if records and row >= records:
                places.append(places[row % records])
                continue
            file.write(f"{utterance} ".encode())
            places.append(file.tell())
            matrix = level + scale * (drawn[row % MATRICES] + 0.5 * colours[owner])
            write_array(file, matrix.astype(np.float32), compression_method=2)
    write_lines(folder / "utt2spk", [f"{one} {owner}" for one, owner in zip(ids, owners, strict=True)])
    write_lines(folder / "feats.scp", [f"{one} {ark}:{place}" for one, place in zip(ids, places, strict=True)])
    write_lines(folder / "utt2num_frames", [f"{one} {frames}" for one in ids])
    (folder / "feats.yaml").write_text(yaml.safe_dump(FRONT_ENDS.check("features", config.features)))
    return folder


class OurSteps:
    """Training steps as `Trainer.fit` makes them, from the reader to the look at what came of them."""

    def __init__(
        self, config: SystemConfig, data_dir: Path, device: torch.device, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        settle(config, None, device)
        parts = build(config, data_dir, device, True, ALONE)
        self.trainer = Trainer(config, data_dir, *parts, device=device)
        self.clock, self.reading, self.whole = clock, 0.0, 0.0
        pinned = device.type == "cuda"
        loaded = load_batches(
            self.trainer.dataset, self.trainer.sampler, workers=config.train.workers, pin_memory=pinned
        )
        self.batches = self.timed(loaded)

    def timed(self, batches: Iterator) -> Iterator:
        while True:
            begin = self.clock()
            item = next(batches)
            self.reading += self.clock() - begin
            yield item

    def __call__(self, steps: int = 1) -> None:
        """Ends when the device is done."""
        begin = self.clock()
        for _ in range(steps):
            self.trainer.train_step(self.batches)
            if self.trainer.looks.is_due:
                self.trainer.look()
        if self.trainer.looks.unread:
            self.trainer.look()
        self.whole += self.clock() - begin

    @property
    def share_of_reading(self) -> float:
        return self.reading / self.whole


class PlainSteps:
    """The ordinary way: a plain network, cross-entropy over a linear layer, torch's optimiser; loss read each step.

    `tuned`: with what PyTorch's guide to tuning says for a GPU: bfloat16 by autocast, channels last, cudnn.benchmark.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        embedding_dim: int,
        speakers: int,
        batches: Iterator[tuple[Tensor, Tensor]],
        tuned: bool = False,
    ) -> None:
        self.network, self.batches, self.tuned = network.train(), batches, tuned
        if tuned:
            self.network.to(memory_format=torch.channels_last)
        self.device = next(network.parameters()).device
        self.classifier = torch.nn.Linear(embedding_dim, speakers).to(self.device)
        self.parameters = [*self.network.parameters(), *self.classifier.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=0.001)

    def __call__(self, steps: int = 1) -> None:
        for _ in range(steps):
            features, labels = (one.to(self.device, non_blocking=True) for one in next(self.batches))
            self.optimizer.zero_grad()
            with torch.backends.cudnn.flags(enabled=True, benchmark=self.tuned):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.tuned):
                    loss = torch.nn.functional.cross_entropy(self.classifier(self.network(features)), labels)
                loss.backward()
            self.optimizer.step()
            loss.item()
