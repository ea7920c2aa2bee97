"""`fbank40`: the 40 log mel filterbanks of Fast ResNet-34 and VGG-M-40 in "In defence of metric learning"."""

from __future__ import annotations

from torch import Tensor

from spk.feats.front_end import EIGHT_BITS
from spk.feats.registry import FRONT_ENDS
from spk.feats.short_time import ShortTimeFourier, Window


@FRONT_ENDS.register("fbank40")
class Fbank40(ShortTimeFourier):
    """log(M |X|^2 + 1e-6), M 40 triangular filters on the HTK mel scale over 0-8000 Hz, not scaled by their area.

    X: 25 ms periodic window in the middle of 512 samples, 10 ms shift, centred frames, samples in ±1 (Chung et al.,
    Interspeech 2020, section 3.1 and its code: torchaudio's MelSpectrogram with 40 mels).
    """

    dim = 40
    compression = EIGHT_BITS
    floor = 1e-6

    def __init__(self, window: Window = "hamming") -> None:
        super().__init__(window, periodic=True, frame_length=400, n_fft=512, centred=True)
        import torchaudio  # here: training only needs the front end's name and options

        filters = torchaudio.functional.melscale_fbanks(
            self.n_fft // 2 + 1, 0.0, self.sample_rate / 2, self.dim, self.sample_rate, norm=None, mel_scale="htk"
        )
        self.register_buffer("filters", filters, persistent=False)

    def analyse(self, frames: Tensor) -> Tensor:
        return (self.power(frames) @ self.filters).add_(self.floor).log_()
