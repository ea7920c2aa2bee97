"""`kaldi_mfcc`: Kaldi's MFCC (compute-mfcc-feats), with its option names and defaults, except no dither."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from spk.errors import InputError
from spk.feats.front_end import EIGHT_BITS, whole_eights
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
from spk.schema import AT_LEAST_ONE, Range


def cosine_transform(num_ceps: int, num_bins: int) -> Tensor:
    """[num_bins, num_ceps] float64, orthonormal: column k is sqrt(2/B) cos(pi k (b + 1/2) / B), column 0 sqrt(1/B)."""
    bins = torch.arange(num_bins, dtype=torch.float64)[:, None]
    cepstra = torch.arange(num_ceps, dtype=torch.float64)
    transform = math.sqrt(2 / num_bins) * torch.cos(math.pi * cepstra * (bins + 0.5) / num_bins)
    transform[:, 0] = math.sqrt(1 / num_bins)
    return transform


@FRONT_ENDS.register("kaldi_mfcc")
class KaldiMfcc(KaldiFrontEnd):
    """Cosine transform of log mel filterbanks, liftered by 1 + (Q / 2) sin(pi k / Q); use_energy: C0 is the log energy.

    htk_compat puts C0 last, and scales it by sqrt(2) when it is not the energy.
    """

    compression = EIGHT_BITS

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
        num_ceps: Annotated[int, AT_LEAST_ONE] = 13,
        use_energy: bool = True,
        cepstral_lifter: NotNegative = 22.0,
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
        if num_ceps > num_mel_bins:
            raise InputError(f"features: num_ceps {num_ceps} is more than num_mel_bins {num_mel_bins}")
        self.use_energy, self.htk_compat = use_energy, htk_compat
        self.dim = num_ceps
        filters = mel_filters(num_mel_bins, self.n_fft, sample_frequency, low_freq, high_freq)
        self.num_mel_bins = num_mel_bins
        self.register_buffer("filters", whole_eights(filters), persistent=False)
        transform = cosine_transform(num_ceps, num_mel_bins)
        if cepstral_lifter:
            cepstra = torch.arange(num_ceps, dtype=torch.float64)
            transform = transform * (1 + cepstral_lifter / 2 * torch.sin(math.pi * cepstra / cepstral_lifter))
        if htk_compat and not use_energy:
            transform[:, 0] *= math.sqrt(2)
        self.register_buffer("transform", transform, persistent=False)

    def analyse(self, frames: Tensor) -> Tensor:
        power, energy = self.power(frames, with_energy=self.use_energy)
        mel = (power @ self.filters)[..., : self.num_mel_bins]
        cepstra = mel.clamp_min_(EPSILON).log_() @ self.transform
        if self.use_energy:
            cepstra[..., 0] = energy
        return cepstra.roll(-1, dims=-1) if self.htk_compat else cepstra
