"""The chain of a PLDA back-end against Kaldi's commands, and what adaptation and CORAL make of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import kaldiio
import numpy as np
import pytest

from spk.backend.embedding_reader import scp_of
from spk.backend.plda import Plda
from spk.backend.plda_backend import adapt_plda_backend, read_backend, train_plda_backend, write_backend
from spk.backend.plda_files import read_plda, write_plda
from spk.backend.training_set import TrainingSet, read_training_set, unlabelled_set
from spk.data.data_dir import read_table
from spk.embed.write import write_embeddings
from spk.errors import InputError

DATA = Path(__file__).parents[2] / "data"
KALDI, ORACLE = DATA / "kaldi", DATA / "plda"


def embedding_dir(folder: Path, ark: Path) -> Path:
    utterances, vectors = zip(*kaldiio.load_ark(str(ark)), strict=True)
    write_embeddings(str(folder / "embedding"), utterances, np.stack(vectors))
    return folder


@pytest.fixture
def training(tmp_path: Path) -> TrainingSet:
    """Kaldi's training embeddings and speakers."""
    (tmp_path / "data").mkdir()
    shutil.copy(KALDI / "train.utt2spk", tmp_path / "data" / "utt2spk")
    directory = embedding_dir(tmp_path / "train", KALDI / "train.ark")
    return read_training_set(tmp_path / "data", directory, tmp_path / "missing")


@pytest.fixture
def in_domain(tmp_path: Path) -> TrainingSet:
    return unlabelled_set(embedding_dir(tmp_path / "adapt", ORACLE / "adapt.ark"))


def vectors_of(training: TrainingSet, function: Callable | None = None) -> np.ndarray:
    return np.concatenate([values for _, values in training.blocks(function)]).astype(np.float64)


def assert_equal_up_to_signs(plda: Plda, kaldi: Plda, tolerance: float) -> None:
    signs = np.sign((plda.transform * kaldi.transform).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(plda.transform * signs, kaldi.transform, atol=tolerance)
    np.testing.assert_allclose(plda.psi, kaldi.psi, atol=tolerance)


def test_mean_lda_length_normalisation_and_plda_are_kaldis(training, tmp_path):
    backend = train_plda_backend(training, lda_dim=16)
    lda, kaldi = kaldiio.load_mat(str(KALDI / "lda.mat")), read_plda(ORACLE / "plda_lda")
    signs = np.sign((backend.transform.matrix * lda[:, :-1]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(backend.transform.mean, kaldiio.load_mat(str(KALDI / "mean.vec")), atol=1e-5)
    np.testing.assert_allclose(backend.transform.matrix * signs, lda[:, :-1], atol=1e-6)
    # Kaldi's PLDA is in the dimensions of Kaldi's LDA, whose signs differ.
    assert_equal_up_to_signs(replace(backend.plda, transform=backend.plda.transform * signs[:, 0]), kaldi, 5e-6)
    np.testing.assert_allclose(backend.plda.mean * signs[:, 0], kaldi.mean, atol=1e-6)


def test_without_lda_and_length_normalisation_it_is_kaldis_plda_of_centred_embeddings(training):
    backend, kaldi = train_plda_backend(training, lda_dim=None, length_normalize=False), read_plda(ORACLE / "plda")
    assert backend.transform.matrix is None
    assert_equal_up_to_signs(backend.plda, kaldi, 1e-6)
    np.testing.assert_allclose(backend.plda.mean + backend.transform.mean, kaldi.mean, atol=1e-6)
    smooth = train_plda_backend(training, lda_dim=None, length_normalize=False, smoothing=0.1)
    assert_equal_up_to_signs(smooth.plda, read_plda(ORACLE / "plda_smooth"), 1e-6)


def test_what_is_written_is_read_and_a_transform_of_before_is_gone(training, tmp_path):
    write_backend(tmp_path / "backend", train_plda_backend(training, lda_dim=5))
    assert read_table(tmp_path / "train" / "embedding.scp").keys() == set(training.utterances)
    assert kaldiio.load_mat(str(tmp_path / "backend" / "transform.mat")).shape == (5, 24)
    assert read_backend(tmp_path / "backend").plda.dim == 5
    backend = train_plda_backend(training, lda_dim=None, length_normalize=False)
    write_backend(tmp_path / "backend", backend)
    assert sorted(path.name for path in (tmp_path / "backend").iterdir()) == ["mean.vec", "plda", "plda.json"]
    read = read_backend(tmp_path / "backend")
    assert (read.length_normalize, read.description) == (False, backend.description)
    assert backend.description["num_speakers"] == training.num_speakers
    x = vectors_of(training)[:3]
    np.testing.assert_array_equal(read(x), (x - backend.transform.mean.astype(np.float32)).astype(np.float32))


def test_several_crops_of_an_utterance_count_as_their_mean(training, tmp_path):
    x = vectors_of(training)
    crops = np.stack([x - 1, x, x + 1], axis=1)
    write_embeddings(str(tmp_path / "crops" / "embedding"), training.utterances, crops)
    backend = train_plda_backend(replace(training, embedding_dir=str(tmp_path / "crops")), lda_dim=8)
    assert_equal_up_to_signs(backend.plda, train_plda_backend(training, lda_dim=8).plda, 1e-4)


def test_adaptation_of_a_lone_plda_is_kaldis(tmp_path, in_domain):
    (tmp_path / "kaldi").mkdir()
    shutil.copy(ORACLE / "plda", tmp_path / "kaldi" / "plda")
    (tmp_path / "kaldi" / "plda.json").write_text('{"length_normalize": false}')
    adapted = adapt_plda_backend(tmp_path / "kaldi", in_domain, 0.75, 0.25)
    write_backend(tmp_path / "adapted", adapted)
    read, kaldi = read_backend(tmp_path / "adapted"), read_plda(ORACLE / "plda_adapted")
    assert read.transform is None
    assert read.description["adaptation"]["num_utterances"] == len(in_domain.utterances)
    assert_equal_up_to_signs(read.plda, kaldi, 1e-10)
    np.testing.assert_allclose(read.plda.mean, kaldi.mean, atol=1e-12)


def test_adaptation_centres_on_the_in_domain_mean_and_keeps_the_offset_of_kaldis_transform(tmp_path, in_domain):
    folder = tmp_path / "kaldi"
    folder.mkdir()
    lda, x = kaldiio.load_mat(str(KALDI / "lda.mat")).copy(), vectors_of(in_domain)
    lda[:, -1] = np.linspace(-1, 1, len(lda))  # Kaldi's own offsets are almost 0
    kaldiio.save_mat(str(folder / "transform.mat"), lda)
    shutil.copy(KALDI / "mean.vec", folder / "mean.vec")
    write_plda(folder / "plda", read_plda(ORACLE / "plda_lda"))
    (folder / "plda.json").write_text('{"length_normalize": false}')
    adapted = adapt_plda_backend(folder, in_domain)
    expected = (x - x.mean(axis=0)) @ lda[:, :-1].T + lda[:, -1]
    np.testing.assert_allclose(adapted(x), expected, atol=1e-5)
    np.testing.assert_allclose(adapted.plda.mean, expected.mean(axis=0), atol=1e-6)


def test_coral_gives_training_embeddings_the_covariance_and_the_mean_of_the_domain(training, in_domain):
    """What PLDA then finds, W + B, is that covariance, up to weighting speakers, not utterances, equally."""
    target = np.cov(vectors_of(in_domain).T, bias=True)
    options = {"lda_dim": None, "length_normalize": False, "num_iters": 50}
    coloured = train_plda_backend(training, coral=in_domain, coral_regularization=0, **options)
    np.testing.assert_allclose(coloured.transform.mean, vectors_of(in_domain).mean(axis=0), atol=1e-6)

    def distance(plda: Plda) -> float:
        return np.linalg.norm(sum(plda.covariances()) - target) / np.linalg.norm(target)

    assert distance(coloured.plda) < 0.1
    assert distance(train_plda_backend(training, **options).plda) > 0.3


def test_embeddings_of_another_dimension_are_refused(training, tmp_path):
    write_embeddings(str(tmp_path / "other" / "embedding"), ["a", "b"], np.eye(2, 7))
    other = unlabelled_set(tmp_path / "other")
    with pytest.raises(InputError, match="have 7 dimensions, but those to train on have 24"):
        train_plda_backend(training, coral=other)
    write_backend(tmp_path / "backend", train_plda_backend(training, lda_dim=5))
    with pytest.raises(InputError, match="have 7 dimensions, but the back-end was trained on 24"):
        adapt_plda_backend(tmp_path / "backend", other)


def test_one_embedding_has_no_covariance(tmp_path):
    write_embeddings(str(tmp_path / "embedding"), ["a"], np.ones((1, 7)))
    with pytest.raises(InputError, match="has 1 embeddings, which have no covariance"):
        unlabelled_set(tmp_path)


def test_more_dimensions_than_utterances_become_few_by_shrunk_lda(tmp_path):
    """30 utterances of 10 speakers in 64 dimensions: the automatic choice trains."""
    random = np.random.default_rng(0)
    utterances = [f"s{speaker}-{number}" for speaker in range(10) for number in range(3)]
    x = np.repeat(3 * random.standard_normal((10, 64)), 3, axis=0) + random.standard_normal((30, 64))
    write_embeddings(str(tmp_path / "embedding"), utterances, x)
    training = TrainingSet(str(tmp_path), scp_of(tmp_path, utterances), np.repeat(np.arange(10), 3))
    backend = train_plda_backend(training)
    assert backend.plda.dim == 9
    assert 0 < backend.description["lda_shrinkage"] <= 1
    with pytest.raises(InputError, match=r"too few for PLDA in 64 dimensions.*--lda-dim 9 or less"):
        train_plda_backend(training, lda_dim=None)


def test_the_automatic_dimensions_are_no_more_than_the_utterances_beyond_one_of_each_speaker(tmp_path):
    """14 utterances of 10 speakers: LDA could give 9 dimensions, but PLDA is trained in at most 4."""
    random = np.random.default_rng(0)
    speakers = np.array([*range(10), *range(4)])
    x = 3 * random.standard_normal((10, 16))[speakers] + random.standard_normal((14, 16))
    utterances = [f"u{number:02d}" for number in range(14)]
    write_embeddings(str(tmp_path / "embedding"), utterances, x)
    backend = train_plda_backend(TrainingSet(str(tmp_path), scp_of(tmp_path, utterances), speakers))
    assert (backend.plda.dim, backend.description["lda_dim"]) == (4, 4)
