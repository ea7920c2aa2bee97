"""LDA against its definition and against Kaldi's; its files against kaldiio."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from spk.backend.lda import (
    LinearTransform,
    lda_dimensions,
    ledoit_wolf_share,
    read_transform,
    train_lda,
    write_transform,
)
from spk.backend.speaker_statistics import SpeakerStatistics, speaker_statistics
from spk.errors import InputError

KALDI = Path(__file__).parents[2] / "data" / "kaldi"


@pytest.fixture
def speakers_data() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [N, D] of 12 speakers with 3 to 20 utterances each, and their speakers' numbers."""
    random = np.random.default_rng(0)
    speakers = np.repeat(np.arange(12), random.integers(3, 20, size=12))
    mix = random.standard_normal((10, 10))
    means = 3 * random.standard_normal((12, 10)) * np.linspace(0.1, 2, 10)
    return ((means[speakers] + random.standard_normal((len(speakers), 10))) @ mix + 5).astype(np.float32), speakers


def in_blocks(x: np.ndarray, size: int = 7) -> list[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(3).permutation(len(x))
    return [(order[first : first + size], x[order[first : first + size]]) for first in range(0, len(x), size)]


def statistics(x: np.ndarray, speakers: np.ndarray) -> SpeakerStatistics:
    return speaker_statistics(in_blocks(x), speakers)


def covariances(x: np.ndarray, speakers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within- and between-speaker covariance by their definition, sums over N utterances divided by N."""
    x = x.astype(np.float64)
    within, between = np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1],) * 2)
    for speaker in set(speakers.tolist()):
        own = x[speakers == speaker]
        for vector in own:
            within += np.outer(vector - own.mean(axis=0), vector - own.mean(axis=0))
        between += len(own) * np.outer(own.mean(axis=0) - x.mean(axis=0), own.mean(axis=0) - x.mean(axis=0))
    return within / len(x), between / len(x)


def test_directions_are_those_of_the_definition(speakers_data):
    """W^-1 B v = l v with the largest l, v' W v = 1, in falling order."""
    x, speakers = speakers_data
    transform = train_lda(statistics(x, speakers), dim=6)
    within, between = covariances(x, speakers)
    values, vectors = np.linalg.eig(np.linalg.solve(within, between))
    order = np.argsort(-values.real)[:6]
    assert transform.matrix.shape == (6, 10)
    for row, expected in zip(transform.matrix, vectors.real[:, order].T, strict=True):
        expected = expected / np.sqrt(expected @ within @ expected)
        np.testing.assert_allclose(row * np.sign(row @ expected), expected, rtol=1e-3, atol=1e-4)


def test_transformed_training_data_are_centred_with_unit_within_speaker_covariance(speakers_data):
    x, speakers = speakers_data
    transformed = train_lda(statistics(x, speakers), dim=4)(x)
    within, between = covariances(transformed, speakers)
    np.testing.assert_allclose(transformed.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(within, np.eye(4), atol=1e-3)
    np.testing.assert_allclose(between, np.diag(np.diag(between)), atol=1e-2)


def test_it_is_kaldis_lda_up_to_the_signs_of_rows():
    utterances, vectors = zip(*kaldiio.load_ark(str(KALDI / "train.ark")), strict=True)
    utt2spk = dict(line.split() for line in (KALDI / "train.utt2spk").read_text().splitlines())
    _, speakers = np.unique([utt2spk[utterance] for utterance in utterances], return_inverse=True)
    kaldi = kaldiio.load_mat(str(KALDI / "lda.mat"))
    transform = train_lda(statistics(np.stack(vectors), speakers), dim=len(kaldi))
    rows = transform.matrix * np.sign((transform.matrix * kaldi[:, :-1]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(rows, kaldi[:, :-1], atol=2e-4)
    np.testing.assert_allclose(transform.mean, kaldiio.load_mat(str(KALDI / "mean.vec")), atol=1e-5)


def test_kaldis_files_are_read_and_its_offset_applied(tmp_path):
    (tmp_path / "mean.vec").write_bytes((KALDI / "mean.vec").read_bytes())  # text
    matrix, mean = (kaldiio.load_mat(str(KALDI / name)).copy() for name in ("lda.mat", "mean.vec"))
    matrix[:, -1] = np.linspace(-1, 1, len(matrix))  # Kaldi's own offsets are almost 0
    kaldiio.save_mat(str(tmp_path / "transform.mat"), matrix)
    x = np.random.default_rng(0).standard_normal((5, 2, len(mean))).astype(np.float32)
    expected = (x - mean) @ matrix[:, :-1].T + matrix[:, -1]
    np.testing.assert_allclose(read_transform(tmp_path)(x), expected, atol=1e-5)


def test_what_is_written_is_read_here_and_by_kaldiio(tmp_path, speakers_data):
    transform = train_lda(statistics(*speakers_data), dim=3)
    write_transform(tmp_path, transform)
    np.testing.assert_array_equal(kaldiio.load_mat(str(tmp_path / "mean.vec")), transform.mean.astype(np.float32))
    np.testing.assert_array_equal(kaldiio.load_mat(str(tmp_path / "transform.mat")), transform.matrix.astype("f4"))
    read = read_transform(tmp_path)
    np.testing.assert_array_equal(read.mean, transform.mean.astype(np.float32))
    np.testing.assert_array_equal(read.matrix, transform.matrix.astype(np.float32))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["mean.vec", "transform.mat"])
@pytest.mark.parametrize("length", [0, 9])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, name, length):
    write_transform(tmp_path, LinearTransform(np.zeros(3), np.eye(3)))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])
    with pytest.raises(InputError, match=f"{name}: is empty, truncated or .*; train the back-end again"):
        read_transform(tmp_path)


def test_a_missing_or_unfitting_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"mean\.vec: no such file"):
        read_transform(tmp_path)
    write_transform(tmp_path, LinearTransform(np.zeros(4), np.zeros((2, 7))))
    with pytest.raises(InputError, match=r"transform\.mat: shape \[2, 7\] does not fit the mean's \[4\]"):
        read_transform(tmp_path)
    with pytest.raises(InputError, match="embeddings have 3 dimensions, but the back-end was trained on 4"):
        LinearTransform(np.zeros(4), np.zeros((2, 4)))(np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(("speakers", "dim", "kept"), [(10, 512, 9), (1000, 80, 80), (1000, 512, 200)])
def test_automatic_dimensions_are_as_many_as_there_are_and_at_most_200(speakers, dim, kept):
    assert lda_dimensions(None, speakers, dim) == kept


@pytest.mark.parametrize(("requested", "most"), [(10, 9), (0, 9), (512, 9)])
def test_more_dimensions_than_there_are_is_an_error_with_the_numbers(requested, most):
    with pytest.raises(InputError, match=f"--lda-dim {requested}: allowed are 1 to {most}, less than the 10 speakers"):
        lda_dimensions(requested, 10, 64)
    assert lda_dimensions(9, 10, 64) == 9


def test_one_speaker_is_an_error():
    with pytest.raises(InputError, match="at least 2 speakers"):
        lda_dimensions(None, 1, 64)


@pytest.mark.parametrize("shrinkage", [None, 0.1, 0.7])
def test_it_is_scikit_learns_lda_up_to_the_signs_of_rows(speakers_data, shrinkage):
    x, speakers = speakers_data
    theirs = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage).fit(x.astype(np.float64), speakers)
    rows, expected = train_lda(statistics(x, speakers), 6, shrinkage or 0.0).matrix, theirs.scalings_[:, :6].T
    rows = rows * np.sign((rows * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-7)


def test_the_automatic_shrinkage_is_scikit_learns(speakers_data):
    x, speakers = speakers_data
    residuals = x.astype(np.float64)
    for speaker in range(12):
        residuals[speakers == speaker] -= residuals[speakers == speaker].mean(axis=0)
    share = ledoit_wolf_share(in_blocks(x), speakers, statistics(x, speakers))
    assert share == pytest.approx(ledoit_wolf_shrinkage(residuals, assume_centered=True), rel=1e-6)


def test_too_few_utterances_are_an_error_unless_the_covariance_is_shrunk():
    x = np.random.default_rng(0).standard_normal((8, 30)).astype(np.float32)
    speakers = np.repeat(np.arange(4), 2)
    with pytest.raises(InputError, match=r"singular \(8 utterances of 4 speakers\)"):
        train_lda(statistics(x, speakers), dim=3)
    share = ledoit_wolf_share(in_blocks(x), speakers, statistics(x, speakers))
    assert np.isfinite(train_lda(statistics(x, speakers), dim=3, shrinkage=share).matrix).all()


def test_speakers_that_do_not_vary_are_an_error_even_with_shrinkage():
    x = np.random.default_rng(0).standard_normal((4, 3))
    with pytest.raises(InputError, match=r"singular \(4 utterances of 4 speakers\)"):
        train_lda(statistics(x, np.arange(4)), dim=2, shrinkage=0.5)
