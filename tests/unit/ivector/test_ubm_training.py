"""Training of the UBM: it learns, carries on after a kill with the same bytes, and refuses too little data."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.ivector.ubm_data import rewrite, write_data

from spk.errors import InputError
from spk.ivector import ubm_training
from spk.ivector.frames import FrameConfig, FrameReader, read_frame_config
from spk.ivector.gmm_files import read_diagonal_gmm, read_full_gmm
from spk.ivector.ubm_training import UbmConfig, UbmTraining

CONFIG = UbmConfig(
    num_gauss=8, num_frames=2000, num_init_iters=4, num_diag_iters=2, num_full_iters=2, num_gselect=4, subsample=2
)
FRAMES = FrameConfig(delta_window=1, delta_order=0, cmn_window=10_000)
OUTPUTS = ("final.ubm", "final.dubm", "frames.yaml", "diag.2", "full.2", "training.json")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, [400] * 15)
    return folder


class Killed(BaseException):
    pass


def train(data: Path, ubm_dir: Path, config: UbmConfig = CONFIG, *, writes: int | None = None) -> None:
    """`writes`: die right after so many mixtures were written."""
    ubm_dir.mkdir(parents=True, exist_ok=True)

    class Mortal(UbmTraining):
        written = 0

        def write(self, *arguments) -> None:
            super().write(*arguments)
            self.written += 1
            if self.written == writes:
                raise Killed

    Mortal(ubm_dir, config, FrameReader(data, FRAMES), {"feats.scp": "digest"}).run()


def content(ubm_dir: Path) -> dict[str, bytes]:
    return {name: (ubm_dir / name).read_bytes() for name in OUTPUTS}


def test_a_run_that_was_killed_ends_with_the_same_bytes(data, tmp_path, caplog):
    train(data, tmp_path / "whole")
    expected = content(tmp_path / "whole")
    for writes in range(1, 11):  # init.0-4, diag.0-2, full.0-1
        with pytest.raises(Killed):
            train(data, tmp_path / "killed", writes=writes)
        assert not (tmp_path / "killed" / "final.ubm").exists()
        with caplog.at_level(logging.INFO):
            train(data, tmp_path / "killed")
        assert re.search(r"(init|diag|full)\.\d: carrying on", caplog.text)
        assert content(tmp_path / "killed") == expected
        for path in (tmp_path / "killed").iterdir():
            path.unlink()
        caplog.clear()


def test_a_run_that_began_on_another_kind_of_device_begins_anew(data, tmp_path, caplog):
    train(data, tmp_path / "whole")
    with pytest.raises(Killed):
        train(data, tmp_path / "killed", writes=7)
    description = tmp_path / "killed" / "training.json"
    assert '"device": "cpu"' in description.read_text()
    description.write_text(description.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    with caplog.at_level(logging.INFO):
        train(data, tmp_path / "killed")
    assert "training.json: of other data or options, or not on cpu: beginning anew" in caplog.text
    assert "carrying on" not in caplog.text
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.parametrize("remove_low_count", [False, True])
def test_every_option_reaches_what_it_is_for(data, tmp_path, monkeypatch, remove_low_count):
    drawn, subsamples, selections, removals, selectors = [], [], [], [], []

    class Reader(FrameReader):
        def sample(self, num_frames, seed):
            drawn.append((num_frames, seed))
            return super().sample(num_frames, seed)

        def blocks(self, subsample=1, **others):
            subsamples.append(subsample)
            return super().blocks(subsample, **others)

    class Diagonal(ubm_training.DiagonalStatistics):
        def add(self, frames, num_gselect=None):
            selections.append(num_gselect)
            super().add(frames, num_gselect)

        def estimate(self, *, min_weight, remove):
            removals.append((min_weight, remove))
            return super().estimate(min_weight=min_weight, remove=remove)

    class Full(ubm_training.FullStatistics):
        def add(self, frames, diagonal, num_gselect):
            selections.append(num_gselect)
            selectors.append(diagonal.means)
            super().add(frames, diagonal, num_gselect)

        def estimate(self, *, min_weight, remove):
            removals.append((min_weight, remove))
            return super().estimate(min_weight=min_weight, remove=remove)

    monkeypatch.setattr(ubm_training, "DiagonalStatistics", Diagonal)
    monkeypatch.setattr(ubm_training, "FullStatistics", Full)
    config = dataclasses.replace(
        CONFIG, num_gselect_diag=5, num_gselect=3, subsample=4, seed=7, min_gaussian_weight=2e-4
    )
    config = dataclasses.replace(config, remove_low_count=remove_low_count)
    UbmTraining(tmp_path, config, Reader(data, FRAMES), {}).run()
    assert drawn == [(2000, 7)]
    assert subsamples == [4] * 4
    assert selections == [None] * 4 + [5] * 2 + [3] * 2  # a block an iteration
    assert [weight for weight, _ in removals] == [2e-4] * 8
    assert [remove for _, remove in removals] == [True] * 4 + [False, True] + [False, remove_low_count]
    initial = read_diagonal_gmm(tmp_path / "diag.2").means
    assert all(torch.equal(means, initial) for means in selectors)
    assert not torch.equal(read_full_gmm(tmp_path / "full.2").means, initial)


def test_each_iteration_says_the_log_likelihood_and_it_rises(data, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train(data, tmp_path)
    lines = re.findall(r"^(?:.* )?(\w+ \d) of \d: (-[\d.]+) nats a frame before it, (\d+) frames", caplog.text, re.M)
    assert [line[0] for line in lines] == [*(f"init {n}" for n in range(1, 5)), "diag 1", "diag 2", "full 1", "full 2"]
    assert [int(line[2]) for line in lines[:4]] == [2000] * 4
    values = np.array([float(line[1]) for line in lines])
    assert (np.diff(values[:4]) > 0).all()
    assert (np.diff(values[4:]) > 0).all()


def test_the_mixture_fits_the_frames_better_than_one_gaussian_and_its_parts_belong_together(data, tmp_path):
    train(data, tmp_path)
    full, diagonal = read_full_gmm(tmp_path / "final.ubm"), read_diagonal_gmm(tmp_path / "final.dubm")
    assert full.num_gaussians == 8
    assert float(full.weights.sum()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(diagonal.variances, full.diagonal().variances, rtol=1e-5)
    np.testing.assert_allclose(diagonal.means, full.means, rtol=1e-4, atol=1e-5)
    assert read_frame_config(tmp_path) == FRAMES
    frames = torch.cat([block.frames for block in FrameReader(data, FRAMES).blocks()]).double()
    everyone = torch.arange(8).expand(len(frames), 8)
    one = torch.distributions.MultivariateNormal(frames.mean(dim=0), frames.T.cov())
    gain = full.log_likelihoods(frames, everyone).logsumexp(dim=1).mean() - one.log_prob(frames).mean()
    assert gain > 0.3


def test_a_run_with_other_options_begins_anew(data, tmp_path):
    with pytest.raises(Killed):
        train(data, tmp_path / "ubm", writes=7)
    other = UbmConfig(**{**CONFIG.__dict__, "seed": 2})
    train(data, tmp_path / "ubm", other)
    train(data, tmp_path / "whole", other)
    assert content(tmp_path / "ubm") == content(tmp_path / "whole")
    train(data, tmp_path / "first")
    assert content(tmp_path / "first")["final.ubm"] != content(tmp_path / "whole")["final.ubm"]


def test_too_few_frames_are_an_error_with_the_number_that_will_do(data, tmp_path):
    write_data(tmp_path / "data", [100])
    with pytest.raises(InputError, match=r"\d\d voiced frames are too few for 8 Gaussians.*at most --num-gauss [67]$"):
        train(tmp_path / "data", tmp_path / "ubm")
    assert not (tmp_path / "ubm" / "final.ubm").exists()
    with pytest.raises(InputError, match="num_frames 100 is too few for 16 Gaussians"):
        UbmConfig(num_gauss=16, num_frames=100)


def test_data_without_voice_are_an_error(tmp_path):
    features, voices = write_data(tmp_path / "data", [200, 100])
    rewrite(tmp_path / "data", features, [0 * voice for voice in voices])
    with pytest.raises(InputError, match=r"feats\.scp: no utterance has a voiced frame"):
        train(tmp_path / "data", tmp_path / "ubm")
