"""`kaldi_fbank`: Kaldi's log mel filterbanks (compute-fbank-feats), its option names and defaults, except no dither."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from spk.feats.front_end import EIGHT_BITS, SIXTEEN_BITS, whole_eights
from spk.feats.kaldi import (
    EPSILON,
    Fraction,
    KaldiFrontEnd,
    Milliseconds,
    NotNegative,
    SampleFrequency,
    WindowType,
    mel_filters,
)
from spk.feats.registry import FRONT_ENDS
from spk.schema import Range


@FRONT_ENDS.register("kaldi_fbank")
class KaldiFbank(KaldiFrontEnd):
    """log(max(M |X|^2, eps)), or without use_power of |X|; with use_energy the log energy is one value more."""

    def __init__(
        self,
        sample_frequency: SampleFrequency = 16000,
        frame_length: Milliseconds = 25.0,
        frame_shift: Milliseconds = 10.0,
        dither: NotNegative = 0.0,
        preemphasis_coefficient: Fraction = 0.97,
        remove_dc_offset: bool = True,
        window_type: WindowType = "povey",
        blackman_coeff: Fraction = 0.42,
        round_to_power_of_two: bool = True,
        snip_edges: bool = True,
        raw_energy: bool = True,
        energy_floor: NotNegative = 0.0,
        num_mel_bins: Annotated[int, Range(least=3)] = 23,
        low_freq: NotNegative = 20.0,
        high_freq: float = 0.0,
        use_energy: bool = False,
        use_log_fbank: bool = True,
        use_power: bool = True,
        htk_compat: bool = False,
    ) -> None:
        super().__init__(
            sample_frequency=sample_frequency,
            frame_length=frame_length,
            frame_shift=frame_shift,
            dither=dither,
            preemphasis_coefficient=preemphasis_coefficient,
            remove_dc_offset=remove_dc_offset,
            window_type=window_type,
            blackman_coeff=blackman_coeff,
            round_to_power_of_two=round_to_power_of_two,
            snip_edges=snip_edges,
            raw_energy=raw_energy,
            energy_floor=energy_floor,
        )
        self.use_energy, self.htk_compat = use_energy, htk_compat
        self.use_log_fbank, self.use_power = use_log_fbank, use_power
        self.dim = num_mel_bins + use_energy
        self.compression = EIGHT_BITS if use_log_fbank else SIXTEEN_BITS
        filters = mel_filters(num_mel_bins, self.n_fft, sample_frequency, low_freq, high_freq)
        self.num_mel_bins = num_mel_bins
        self.register_buffer("filters", whole_eights(filters.float()), persistent=False)

    def analyse(self, frames: Tensor) -> Tensor:
        # Sums of what is not negative lose nothing in float32; the Fourier transform would.
        power, energy = self.power(frames, with_energy=self.use_energy, dtype=torch.float32)
        features = (power if self.use_power else power.sqrt_()) @ self.filters
        if self.use_log_fbank:
            features = features.clamp_min_(EPSILON).log_()
        features = features[..., : self.num_mel_bins]
        if self.use_energy:
            energy = energy[..., None]
            features = torch.cat([features, energy] if self.htk_compat else [energy, features], dim=-1)
        return features
