"""Scoring trial lists from directories of embeddings."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest

import spk.backend.embedding_reader
from spk.backend import BACKENDS
from spk.backend.embedding_reader import MissingEmbeddings, map_embeddings
from spk.backend.lda import LinearTransform
from spk.backend.scoring import score_trials
from spk.data.trials import read_trials
from spk.embed.write import write_embeddings
from spk.errors import InputError

KALDI = Path(__file__).parents[2] / "data" / "kaldi"
COSINE = BACKENDS.build("backend", "cosine")


@pytest.fixture
def write(tmp_path):
    """write(name, utterances, embeddings) makes a directory of embeddings."""

    def write_directory(name: str, utterances: list[str], embeddings: np.ndarray) -> Path:
        write_embeddings(str(tmp_path / name / "embedding"), utterances, embeddings)
        return tmp_path / name

    return write_directory


@pytest.fixture
def trials(tmp_path):
    path = tmp_path / "trials"
    path.write_text("a b target\nb c nontarget\nc a nontarget\n")
    return read_trials(path)


def embeddings(num: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(num).standard_normal((num, *shape)).astype(np.float32)


def test_kaldis_dot_products_of_vectors_of_length_sqrt_dim(write):
    """Enrolled models and test utterances are in different directories, with names of their own."""
    directories, dim = [], 0
    for name in ("enroll", "eval"):
        names, vectors = zip(*kaldiio.load_ark(str(KALDI / f"{name}.ark")), strict=True)
        directories.append(write(name, list(names), np.stack(vectors)))
        dim = len(vectors[0])
    trials = read_trials(KALDI / "trials")
    expected = [line.split() for line in (KALDI / "scores_cosine_kaldi_scale").read_text().splitlines()]
    assert [trials.names(line) for line in range(len(trials))] == [" ".join(fields[:2]) for fields in expected]
    scores = dim * score_trials(trials, *directories, COSINE)
    np.testing.assert_allclose(scores, [float(fields[2]) for fields in expected], atol=1e-4)


def test_one_directory_for_both_sides_is_the_same_as_two(write, trials):
    x = embeddings(3, 8)
    both, other = write("both", list("abc"), x), write("other", list("cba"), x[::-1])
    one, two = score_trials(trials, both, both, COSINE), score_trials(trials, both, other, COSINE)
    assert one.tobytes() == two.tobytes()
    np.testing.assert_allclose(one[0], x[0] @ x[1] / np.linalg.norm(x[0]) / np.linalg.norm(x[1]), atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 5)])
@pytest.mark.parametrize("block", [1, 4, 512])
def test_embeddings_come_in_the_order_asked_for_whatever_the_blocks(write, monkeypatch, shape, block):
    monkeypatch.setattr(spk.backend.embedding_reader, "UTTERANCES_PER_BLOCK", block)
    names = [f"u{n}" for n in range(11)]
    x = embeddings(11, *shape)
    asked = np.random.default_rng(0).permutation(11)[:9]
    crops = map_embeddings(write("e", names, x), [names[n] for n in asked], lambda crops: crops)
    np.testing.assert_array_equal(crops, x[asked] if x.ndim == 3 else x[asked][:, None])


def test_several_arks_float64_and_text_are_read(tmp_path):
    x = embeddings(6, 4).astype(np.float64)
    for part, names in enumerate(("ab", "cd", "ef")):
        vectors = {name: x[ord(name) - ord("a")].astype([np.float32, np.float64, np.float32][part]) for name in names}
        kaldiio.save_ark(str(tmp_path / f"{part}.ark"), vectors, scp=str(tmp_path / f"{part}.scp"), text=part == 2)
    lines = "".join((tmp_path / f"{part}.scp").read_text() for part in range(3))
    (tmp_path / "embedding.scp").write_text(lines)
    got = map_embeddings(tmp_path, list("fabdce"), lambda crops: crops[:, 0])
    np.testing.assert_allclose(got, x[[5, 0, 1, 3, 2, 4]], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_arks_are_read_block_by_block_with_few_open(tmp_path, monkeypatch, dtype):
    x, names = embeddings(40, 3, 4).astype(dtype), [f"u{n:02d}" for n in range(40)]
    for part in range(10):
        own = dict(list(zip(names, x, strict=True))[part::10])
        kaldiio.save_ark(str(tmp_path / f"{part}.ark"), own, scp=str(tmp_path / f"{part}.scp"))
    (tmp_path / "embedding.scp").write_text("".join((tmp_path / f"{part}.scp").read_text() for part in range(10)))
    monkeypatch.setattr(spk.backend.embedding_reader, "MOST_MAPS", 3)
    monkeypatch.setattr(spk.backend.embedding_reader, "UTTERANCES_PER_BLOCK", 7)
    sizes, mapped = [], []

    def looked_at(crops):
        sizes.append(len(crops))
        lines = Path("/proc/self/maps").read_text().splitlines()
        mapped.append(len({line.split()[-1] for line in lines if str(tmp_path) in line}))
        return crops

    got = map_embeddings(tmp_path, names[::-1], looked_at)
    np.testing.assert_array_equal(got, x[::-1].astype(np.float32))
    assert sizes == [7] * 5 + [5]
    assert 0 < max(mapped) <= 3


def test_a_transform_comes_before_the_back_end_and_is_applied_to_every_crop(write, trials):
    x = embeddings(3, 2, 6)
    transform = LinearTransform(np.linspace(0, 1, 6), embeddings(4, 6))
    moved = ((x - transform.mean) @ transform.matrix.T).astype(np.float32)
    directory, expected_from = write("e", list("abc"), x), write("moved", list("abc"), moved)
    scores = score_trials(trials, directory, directory, COSINE, transform)
    np.testing.assert_allclose(scores, score_trials(trials, expected_from, expected_from, COSINE), atol=1e-6)


def test_trials_without_embedding_are_counted_and_listed(write, trials):
    directory = write("e", ["a"], embeddings(1, 4))
    with pytest.raises(MissingEmbeddings, match=r"3 of 3 trials cannot be scored: .*2 utterances \(b, c\)") as error:
        score_trials(trials, directory, directory, COSINE)
    assert error.value.utterances == ["b", "c"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "the embedding of 'b' has a value that is not finite"),
        (np.inf, "the embedding of 'b' has a value that is not finite"),
        (0, "the embedding of 'b' is all zeros"),
    ],
)
def test_an_embedding_without_direction_is_named(write, trials, value, message):
    x = embeddings(3, 4)
    x[1] = value
    directory = write("e", list("abc"), x)
    with pytest.raises(InputError, match=message):
        score_trials(trials, directory, directory, COSINE)


def test_embeddings_of_two_systems_are_refused(write, trials):
    enroll, test = write("enroll", list("abc"), embeddings(3, 4)), write("test", list("abc"), embeddings(3, 5))
    with pytest.raises(InputError, match=r"have the shape \[4\] and those in .*test \[5\]"):
        score_trials(trials, enroll, test, COSINE)


def test_a_vector_of_another_dimension_is_named(tmp_path, trials):
    vectors = {"a": np.ones(4, "f4"), "b": np.ones(4, "f4"), "c": np.ones(5, "f4")}
    kaldiio.save_ark(str(tmp_path / "e.ark"), vectors, scp=str(tmp_path / "embedding.scp"))
    with pytest.raises(InputError, match=r"'c'.*shape \[5\].*'a' has \[4\]"):
        score_trials(trials, tmp_path, tmp_path, COSINE)


def test_a_truncated_ark_is_named(write, trials):
    directory = write("e", list("abc"), embeddings(3, 4))
    ark = directory / "embedding.ark"
    ark.write_bytes(ark.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"'c'.*truncated"):
        score_trials(trials, directory, directory, COSINE)


def test_a_directory_without_embeddings_is_named(tmp_path, trials):
    with pytest.raises(InputError, match=r"embedding\.scp: no such file; extract"):
        score_trials(trials, tmp_path, tmp_path, COSINE)
