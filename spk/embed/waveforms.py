"""From waveforms to embeddings in one call: the system's own front end, network and evaluation protocol."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from kaldiio.matio import read_matrix_or_vector
from torch import Tensor

from spk.config import EvaluationConfig, SystemConfig, make_system, read_evaluation
from spk.data.ark_format import NO_COMPRESSION, encode_matrix
from spk.data.audio import AudioError, resample
from spk.embed.embeddings import embed
from spk.embed.model import load_model
from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.feats.analysis import OneByOne, Together
from spk.nets.embedder import Embedder


class WaveformEmbedder:
    """`embedder = WaveformEmbedder.load("exp/system")`, then `embedder(waves, 16000)` -> float32 [N, D].

    As steps/make_feats and steps/extract_embeddings embed them, within 1e-5: with `as_archived` where steps/make_feats
    compresses as it does unless told otherwise, without where it does not compress. Features of all waves are held at
    once, of their samples those of `features.samples_at_once` (spk/feats/analysis.py).
    """

    def __init__(
        self,
        embedder: Embedder,
        config: SystemConfig,
        evaluation: EvaluationConfig,
        device: torch.device | str = "cpu",
        as_archived: bool = False,
    ) -> None:
        self.embedder = embedder.eval().to(device)
        self.evaluation, self.device = evaluation, torch.device(device)
        front_end = FRONT_ENDS.build("features", config.features)
        # The codes of an ark are of each wave by itself.
        self.features = OneByOne(front_end) if self.device.type == "cpu" else Together(front_end, self.device)
        self.compression = front_end.compression if as_archived and not config.online else NO_COMPRESSION
        self.sample_rate = self.features.sample_rate

    @classmethod
    def load(
        cls, exp_dir: str | os.PathLike[str], device: torch.device | str = "cpu", as_archived: bool = False
    ) -> WaveformEmbedder:
        """EXP/final.pt. Raises: InputError when there is none, or it is no network."""
        embedder, content = load_model(Path(exp_dir))
        config = make_system(content, f"{exp_dir}/final.pt")
        return cls(embedder, config, read_evaluation("", content["evaluation"]), device, as_archived)

    def __call__(
        self, waves: Sequence[Tensor | np.ndarray], rate: int, names: Sequence[str] | None = None
    ) -> np.ndarray:
        """Samples in ±1, [samples] each, at `rate` Hz -> float32 [N, D], or [N, K, D] where the system embeds K crops.

        A higher rate is brought down as for audio files. Raises: InputError that names the wave (out of `names`, or by
        its place) that is empty, too short, not finite, not one channel or without a finite embedding, and for a rate
        below the system's.
        """
        if not len(waves):
            raise InputError("no wave to embed")
        names = names or [f"wave {index}" for index in range(len(waves))]
        groups = self.groups(waves, rate, names)
        features = [self.archived(matrix) for group in groups for matrix in self.features(group)]
        reader = FeaturesInMemory(features, names)
        num_frames = [len(matrix) for matrix in features]
        return embed(self.embedder, reader, num_frames, self.evaluation, device=self.device)

    def crops_of_file(self, path: str, seconds: float) -> np.ndarray:
        """[K, D], the crops of a system that embeds K of them, of a file of which nothing else is read.

        Within 1e-5 what __call__ makes of the whole file when its features are not compressed; the codes of an ark need
        all of them. Raises: InputError that names the file.
        """
        from spk.data.features import Source
        from spk.data.wave_crops import WaveReader
        from spk.train.wave_features import WaveFeatureReader

        front_end = self.features.front_end
        waves = WaveReader({path: Source(path)}, [path], [seconds], front_end)
        reader = WaveFeatureReader(waves, front_end, self.device)
        return embed(self.embedder, reader, waves.num_frames, self.evaluation, device=self.device)[0]

    def archived(self, matrix: np.ndarray) -> np.ndarray:
        """Features [T, F] as they come back from the ark that they would lie in."""
        if self.compression == NO_COMPRESSION:
            return matrix
        return read_matrix_or_vector(io.BytesIO(encode_matrix(matrix, self.compression)))

    def groups(
        self, waves: Sequence[Tensor | np.ndarray], rate: int, names: Sequence[str]
    ) -> Iterator[list[np.ndarray]]:
        """The waves, prepared; as many at a time as are analysed together."""
        group: list[np.ndarray] = []
        for name, wave in zip(names, waves, strict=True):
            group.append(self.prepared(name, wave, rate))
            if sum(map(len, group)) >= self.features.samples_at_once:
                yield group
                group = []
        if group:
            yield group

    def prepared(self, name: str, wave: Tensor | np.ndarray, rate: int) -> np.ndarray:
        """float32 [samples] at the system's rate."""
        samples = np.asarray(wave.detach().cpu() if isinstance(wave, Tensor) else wave)
        if samples.ndim != 1:
            raise InputError(f"{name}: is of the shape {list(samples.shape)}; give one channel, [samples]")
        if not np.issubdtype(samples.dtype, np.floating):
            raise InputError(f"{name}: holds {samples.dtype}; give floating point in ±1 (16-bit samples / 32768)")
        if not len(samples):
            raise InputError(f"{name}: is empty")
        if not np.isfinite(samples).all():
            raise InputError(f"{name}: {np.count_nonzero(~np.isfinite(samples))} values are not finite")
        if rate < self.sample_rate:
            raise InputError(f"{name}: sampled at {rate} Hz; the features need {self.sample_rate} Hz or more")
        try:
            samples = resample(name, samples.astype(np.float32), rate, self.sample_rate)
        except AudioError as error:
            raise InputError(str(error)) from None
        if len(samples) < self.features.min_samples:
            raise InputError(
                f"{name}: too short: {len(samples)} samples at {self.sample_rate} Hz, at least "
                f"{self.features.min_samples} are needed"
            )
        return samples


class FeaturesInMemory:
    """Matrices [T, F] as a FeatureReader gives those of an ark."""

    def __init__(self, matrices: Sequence[np.ndarray], names: Sequence[str]) -> None:
        self.matrices, self.utterances = matrices, names
        self.dim = matrices[0].shape[1]

    def check_num_frames(self, indices: np.ndarray, expected: np.ndarray) -> None:
        """Nothing: they were counted here."""

    def crops(self, indices: Sequence[int] | np.ndarray, starts: Sequence[int] | np.ndarray, length: int) -> np.ndarray:
        """float32 [B, length, F]: of matrix indices[b], the frames from starts[b] on; past its end again from 0."""
        chosen = [self.matrices[index] for index in indices]
        frames = np.arange(length)
        return np.stack([x[(start + frames) % len(x)] for x, start in zip(chosen, starts, strict=True)])
