"""`spectrogram257`: the magnitudes that Thin ResNet-34 takes in "In defence of metric learning"."""

from __future__ import annotations

from torch import Tensor

from spk.feats.front_end import SIXTEEN_BITS
from spk.feats.registry import FRONT_ENDS
from spk.feats.short_time import ShortTimeFourier, Window


@FRONT_ENDS.register("spectrogram257")
class Spectrogram257(ShortTimeFourier):
    """|X|: 25 ms periodic window in the middle of 512 samples, 10 ms shift, frames not centred; no logarithm.

    Chung et al., Interspeech 2020, section 3.1. The published code takes the Hann window here, the paper says Hamming.
    """

    dim = 257
    compression = SIXTEEN_BITS

    def __init__(self, window: Window = "hamming") -> None:
        super().__init__(window, periodic=True, frame_length=400, n_fft=512, centred=False)

    def analyse(self, frames: Tensor) -> Tensor:
        return self.power(frames).sqrt()
