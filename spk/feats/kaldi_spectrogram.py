"""`kaldi_spectrogram`: Kaldi's log power spectrogram (compute-spectrogram-feats), its option names, but no dither."""

from __future__ import annotations

from torch import Tensor

from spk.feats.front_end import EIGHT_BITS
from spk.feats.kaldi import EPSILON, Fraction, KaldiFrontEnd, Milliseconds, NotNegative, SampleFrequency, WindowType
from spk.feats.registry import FRONT_ENDS


@FRONT_ENDS.register("kaldi_spectrogram")
class KaldiSpectrogram(KaldiFrontEnd):
    """log(max(|X|^2, eps)); bin 0 is the log energy of the frame instead."""

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
        self.dim = self.n_fft // 2 + 1

    def analyse(self, frames: Tensor) -> Tensor:
        power, energy = self.power(frames, with_energy=True)
        features = power.clamp_min_(EPSILON).log_()
        features[..., 0] = energy
        return features
