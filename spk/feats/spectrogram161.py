"""`spectrogram161`: the spectrogram that ResCNN takes in "Dynamic margin softmax loss for speaker verification"."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from spk.feats.front_end import EIGHT_BITS, SIXTEEN_BITS
from spk.feats.registry import FRONT_ENDS
from spk.feats.short_time import ShortTimeFourier, Window


@FRONT_ENDS.register("spectrogram161")
class Spectrogram161(ShortTimeFourier):
    """20 ms symmetric window of 320 samples, FFT of 320, 10 ms shift, frames not centred.

    The paper (Zhou et al.) fixes the 161 bins, the Hamming window, its length and the shift. `spectrum: log_power` is
    log(|X|^2 + 1e-6), with samples in ±1 a floor 100 dB below a full-scale sine; `magnitude` is |X|.
    """

    dim = 161
    floor = 1e-6

    def __init__(self, window: Window = "hamming", spectrum: Literal["log_power", "magnitude"] = "log_power") -> None:
        super().__init__(window, periodic=False, frame_length=320, n_fft=320, centred=False)
        self.spectrum = spectrum
        self.compression = EIGHT_BITS if spectrum == "log_power" else SIXTEEN_BITS

    def analyse(self, frames: Tensor) -> Tensor:
        power = self.power(frames)
        return (power + self.floor).log_() if self.spectrum == "log_power" else power.sqrt()
