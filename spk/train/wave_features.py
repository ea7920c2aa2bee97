"""Features of waveforms, worked out on the device: of a batch of crops, or as the reader of whole utterances."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spk.data.wave_crops import WaveCrops, WaveReader
from spk.feats.front_end import FrontEnd

FRAMES_AT_ONCE = 2**15  # of all crops together: bounds the memory


class CropFeatures:
    """`features(crops)` -> float32 [B, L, F] on the device: what the arks of uncompressed features hold there."""

    def __init__(self, front_end: FrontEnd, device: torch.device) -> None:
        self.front_end = copy.deepcopy(front_end).to(device)
        self.device = device

    @torch.no_grad()
    def __call__(self, crops: WaveCrops) -> Tensor:
        stretches = crops.stretches.to(self.device, non_blocking=True)
        length = (stretches.shape[1] - self.front_end.length) // self.front_end.shift + 1
        parts = stretches.split(max(1, FRAMES_AT_ONCE // length))
        features = torch.cat([self.front_end.of_stretches(part) for part in parts])
        if (crops.num_frames < length).any():  # an utterance that is shorter begins again
            frame = (torch.arange(length) % crops.num_frames[:, None]).to(self.device)
            features = features.gather(1, frame[:, :, None].expand_as(features))
        return features


class WaveFeatureReader:
    """Features of whole utterances and of crops, as a FeatureReader gives them, from their waveforms."""

    def __init__(self, reader: WaveReader, front_end: FrontEnd, device: torch.device) -> None:
        self.waves = reader
        self.features = CropFeatures(front_end, device)

    @property
    def utterances(self) -> Sequence[str]:
        return self.waves.utterances

    @property
    def dim(self) -> int:
        return self.waves.dim

    def __len__(self) -> int:
        return len(self.waves)

    def check_num_frames(self, indices: np.ndarray, expected: np.ndarray) -> None:
        """Nothing: a recording's length is checked where it is read."""

    def whole(self, index: int) -> np.ndarray:
        """All frames of one utterance: float32 [T, F]."""
        index = range(len(self))[index]
        crop = self.waves.crops([index], [0], int(self.waves.num_frames[index]))
        return self.features(crop)[0].cpu().numpy()

    def crops(self, indices: Sequence[int] | np.ndarray, starts: Sequence[int] | np.ndarray, length: int) -> np.ndarray:
        """float32 [B, length, F]: of utterance indices[b], the frames from starts[b] on; a shorter one is repeated."""
        return self.features(self.waves.crops(indices, starts, length)).cpu().numpy()
