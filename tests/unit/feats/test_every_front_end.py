"""What holds for every front end: registering one is what gets it tested."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from spk.data.ark_format import COMPRESSION_METHODS
from spk.feats import FRONT_ENDS, front_end


@pytest.fixture(params=list(FRONT_ENDS))
def built(request):
    return FRONT_ENDS.build("features", request.param)


def waves(count: int, samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(count, samples, generator=torch.Generator().manual_seed(1))


def test_the_number_of_frames_is_foretold_and_the_fewest_samples_give_one(built):
    for samples in (built.min_samples, built.min_samples + 159, 16000, 16001, 16079, 16080, 16159):
        features = built(waves(2, samples))
        assert features.dtype == torch.float32 and features.isfinite().all()
        assert features.shape == (2, built.num_frames(samples), built.dim)
    assert built.num_frames(built.min_samples) >= 1
    with pytest.raises(ValueError, match="too few"):
        built(waves(1, built.min_samples - 1))


def test_a_batch_gives_what_its_waves_give_alone(built):
    batch = waves(3, 9000)
    alone = torch.cat([built(wave[None]) for wave in batch])
    torch.testing.assert_close(built(batch), alone, rtol=1e-5, atol=1e-5)


def test_a_long_wave_in_parts_gives_the_same_values(built, monkeypatch):
    wave = waves(1, 40000)
    whole = built(wave)
    monkeypatch.setattr(front_end, "FRAMES_AT_A_TIME", 7)
    torch.testing.assert_close(built(wave), whole, rtol=1e-5, atol=1e-5)


def test_waves_of_any_lengths_together_give_what_each_gives_alone(built):
    lengths = (built.min_samples, 9000, built.min_samples + 1, 5003, 30000)
    several = [wave[:length] for wave, length in zip(waves(len(lengths), 30000), lengths, strict=True)]
    for together, wave in zip(built.of_waves(several), several, strict=True):
        torch.testing.assert_close(together, built(wave[None])[0], rtol=1e-5, atol=1e-5)


def test_dither_of_waves_together_is_that_of_each_alone():
    dithered = FRONT_ENDS.build("features", {"name": "kaldi_fbank", "dither": 1.0})
    several = list(waves(3, 9000))
    for together, wave in zip(dithered.of_waves(several), several, strict=True):
        torch.testing.assert_close(together, dithered(wave[None])[0], rtol=1e-5, atol=1e-5)


def test_a_result_stays_what_it_was_when_other_waves_follow_in_inference_mode_or_out_of_it(built):
    first, other = waves(1, 9000), 0.5 * waves(2, 9000)[1:]
    with torch.inference_mode():
        features = built(first)
    expected = features.clone()
    built(other)
    with torch.inference_mode():
        built(other)
    assert torch.equal(features, expected)
    assert torch.equal(built(first), expected)


def test_several_threads_do_not_disturb_each_other(built):
    several = [waves(count + 1, 20000)[-1:] for count in range(8)]
    expected = [built(wave) for wave in several]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for features, alone in zip(pool.map(built, several), expected, strict=True):
                assert torch.equal(features, alone)


def test_silence_is_finite(built):
    assert built(torch.zeros(1, 4000)).isfinite().all()


def test_autocast_does_not_lower_the_precision(built):
    wave = waves(1, 4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = built(wave)
    assert features.dtype == torch.float32 and torch.equal(features, built(wave))


def test_the_default_compression_is_one_of_kaldis(built):
    assert built.compression in COMPRESSION_METHODS


def test_linear_magnitudes_take_16_bits_and_logarithms_8():
    compression = {name: FRONT_ENDS.build("features", name).compression for name in FRONT_ENDS}
    assert compression["spectrogram257"] == 3 and compression["fbank40"] == 1
    assert FRONT_ENDS.build("features", {"name": "spectrogram161", "spectrum": "magnitude"}).compression == 3
    assert FRONT_ENDS.build("features", {"name": "kaldi_fbank", "use_log_fbank": False}).compression == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_features(built):
    wave = waves(2, 16000)
    on_gpu = built.to("cuda")(wave.cuda()).cpu()
    built.to("cpu")
    np.testing.assert_allclose(on_gpu.numpy(), built(wave).numpy(), rtol=1e-4, atol=1e-3)
