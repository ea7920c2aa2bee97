"""From frames to statistics: in any blocks the same, and with Kaldi's models Kaldi's i-vectors."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from unit.ivector.kaldi_oracle import FILES, kaldi_frames, kaldi_ivectors

from spk.errors import InputError
from spk.ivector.extractor import IvectorPosterior
from spk.ivector.extractor_files import read_extractor
from spk.ivector.frames import Block
from spk.ivector.gmm_files import read_full_gmm, write_diagonal_gmm, write_full_gmm
from spk.ivector.statistics_reader import (
    PosteriorConfig,
    StatisticsReader,
    read_posterior_config,
    read_ubm,
    write_posterior_config,
)


class Frames:
    """In place of a FrameReader: Kaldi's frames, and an utterance without any after every tenth."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.utterances, self.ivectors = kaldi_ivectors()
        self.frames, self.num_frames = kaldi_frames(self.utterances)

    def blocks(self) -> Iterator[Block]:
        first = 0
        for start in range(0, len(self.utterances), 10):
            num_frames = self.num_frames[start : start + 10]
            end = first + int(num_frames.sum())
            names = [*self.utterances[start : start + 10], f"silent{start}"]
            yield Block(names, torch.cat([num_frames, torch.tensor([0])]), self.frames[first:end])
            first = end


@pytest.fixture(scope="module")
def frames() -> Frames:
    return Frames()


@pytest.fixture(scope="module")
def ubm():
    full = read_full_gmm(FILES / "full_ubm.txt")
    return full.diagonal(), full


def test_kaldis_models_give_kaldis_ivectors(frames, ubm):
    reader = StatisticsReader(frames, *ubm)
    posterior_of = IvectorPosterior(read_extractor(FILES / "extractor.txt"))
    names, ivectors = [], []
    for utterances, statistics in reader.blocks(most_utterances=7):
        assert len(utterances) <= 7
        names += utterances
        centred = posterior_of.centre(statistics.occupancies, statistics.first_order)
        ivectors.append(posterior_of(statistics.occupancies, centred).mean)
    assert names == frames.utterances
    assert np.abs(torch.cat(ivectors).numpy() - frames.ivectors).max() < 1e-3
    assert reader.without_voice == ["silent0", "silent10", "silent20", "silent30"]


def test_blocks_of_any_size_and_a_second_pass_give_the_same(frames, ubm):
    reader = StatisticsReader(frames, *ubm)
    totals = []
    for most_utterances in (1, 1000):
        second_order = torch.zeros(32, 39, 39, dtype=torch.float64)
        blocks = [statistics for _, statistics in reader.blocks(most_utterances, second_order)]
        totals.append(
            (torch.cat([s.occupancies for s in blocks]), torch.cat([s.first_order for s in blocks]), second_order)
        )
    assert len(reader.without_voice) == 4
    for one_by_one, together in zip(*totals, strict=True):
        torch.testing.assert_close(one_by_one, together, rtol=1e-4, atol=1e-3)  # posteriors are float32
    assert float(totals[0][0].sum()) == pytest.approx(len(frames.frames))


def test_one_gaussian_a_frame_takes_all_of_it(frames, ubm):
    (_, statistics) = next(StatisticsReader(frames, *ubm, PosteriorConfig(num_gselect=1)).blocks(1))
    nearest = ubm[0].log_likelihoods(frames.frames[: frames.num_frames[0]]).argmax(dim=1)
    assert statistics.occupancies[0].tolist() == torch.bincount(nearest, minlength=32).tolist()


def test_posteriors_below_the_least_are_dropped_and_the_others_grow(frames, ubm):
    num_frames = int(frames.num_frames[0])
    (_, all_kept), (_, most_dropped) = (
        next(StatisticsReader(frames, *ubm, PosteriorConfig(num_gselect=32, min_post=least)).blocks(1))
        for least in (0.0, 0.9)
    )
    likeliest = (
        ubm[1].log_likelihoods(frames.frames[:num_frames], torch.arange(32).expand(num_frames, 32)).argmax(dim=1)
    )
    assert most_dropped.occupancies[0].tolist() == torch.bincount(likeliest, minlength=32).tolist()
    assert bool((all_kept.occupancies > 0).all())
    assert float(all_kept.occupancies.sum()) == pytest.approx(num_frames)


def test_posteriors_are_scaled(frames, ubm):
    (_, whole), (_, half) = (
        next(StatisticsReader(frames, *ubm, PosteriorConfig(posterior_scale=scale)).blocks(1)) for scale in (1.0, 0.5)
    )
    torch.testing.assert_close(half.occupancies, 0.5 * whole.occupancies)
    torch.testing.assert_close(half.first_order, 0.5 * whole.first_order)


def test_an_utterance_counts_for_no_more_frames_than_asked_for(frames, ubm):
    utterances = torch.cat([s.occupancies for _, s in StatisticsReader(frames, *ubm).blocks(40)])
    counts = utterances.sum(dim=1)
    most = float(counts.median())
    _, statistics = next(StatisticsReader(frames, *ubm).blocks(40))
    limited = statistics.limited(most)
    for row, count in enumerate(statistics.occupancies.sum(dim=1).tolist()):
        scale = min(1, most / count)
        torch.testing.assert_close(limited.occupancies[row], scale * statistics.occupancies[row])
        torch.testing.assert_close(limited.first_order[row], scale * statistics.first_order[row])
    assert float(limited.occupancies.sum(dim=1).max()) == pytest.approx(most)


def test_the_configuration_is_kept_and_checked(tmp_path):
    config = PosteriorConfig(num_gselect=7, min_post=0.1, posterior_scale=0.5)
    write_posterior_config(tmp_path, config)
    assert read_posterior_config(tmp_path) == config
    (tmp_path / "posteriors.yaml").write_text("{}\n")
    assert read_posterior_config(tmp_path) == PosteriorConfig(20, 0.025, 1.0)  # as Kaldi's recipe
    (tmp_path / "posteriors.yaml").write_text("num_gselect: 0\n")
    with pytest.raises(InputError, match=r"posteriors\.yaml: posteriors\.num_gselect: 0 is out of range"):
        read_posterior_config(tmp_path)


def test_a_ubm_of_two_models_that_do_not_belong_together_is_refused(tmp_path, ubm):
    diagonal, full = ubm
    write_full_gmm(tmp_path / "final.ubm", full)
    write_diagonal_gmm(tmp_path / "final.dubm", type(diagonal)(*(part[:5] for part in vars(diagonal).values())))
    message = "final.dubm: has 5 Gaussians of 39 values, but final.ubm has 32 of 39"
    with pytest.raises(InputError, match=re.escape(message)):
        read_ubm(tmp_path)
