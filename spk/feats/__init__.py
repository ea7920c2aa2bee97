"""Front ends: waves [N, samples] -> features [N, T, dim]. One file a front end; a config names it."""

from spk.feats import (  # noqa: F401 (importing a front end registers it)
    fbank40,
    kaldi_fbank,
    kaldi_mfcc,
    kaldi_spectrogram,
    spectrogram161,
    spectrogram257,
)
from spk.feats.registry import FRONT_ENDS

__all__ = ["FRONT_ENDS"]
