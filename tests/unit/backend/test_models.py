"""Models of several utterances: their files and their means."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spk.backend.embedding_reader
from spk.backend import BACKENDS
from spk.backend.embedding_reader import MissingEmbeddings
from spk.backend.models import Models, UnknownModels, average_embeddings, read_models
from spk.backend.scoring import self_trials
from spk.data.trials import read_trials
from spk.embed.write import write_embeddings
from spk.errors import InputError

DATA = Path(__file__).parents[2] / "data"
UTTERANCES = [f"u{n}" for n in range(9)]
LINES = "b u1 u0 u7\na u3\n\tc  u8 u3 u1 \n"


@pytest.fixture
def models(tmp_path) -> Models:
    (tmp_path / "spk2utt").write_text(LINES)
    return read_models(tmp_path / "spk2utt")


@pytest.fixture
def embeddings(tmp_path) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((9, 2, 4)).astype(np.float32)
    write_embeddings(str(tmp_path / "e" / "embedding"), UTTERANCES, x)
    return x


def as_dict(models: Models) -> dict[str, list[str]]:
    members = np.split(models.members, models.starts[1:-1])
    return {
        name: [models.utterances[member] for member in own] for name, own in zip(models.names, members, strict=True)
    }


def test_a_line_is_a_model_and_its_utterances(models):
    assert as_dict(models) == {"b": ["u1", "u0", "u7"], "a": ["u3"], "c": ["u8", "u3", "u1"]}
    assert sorted(models.utterances) == ["u0", "u1", "u3", "u7", "u8"]
    assert models.num_utterances.tolist() == [3, 1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a u1\n\nb u2\n", "spk2utt:2: empty line"),
        ("a u1\nb\n", "spk2utt:2: model 'b' has no utterance"),
        ("a u1\nb u2\na u3\n", "spk2utt:3: model 'a' stands on line 1 already"),
        ("a u1\nb u2 u3 u2\n", "spk2utt:2: utterance 'u2' stands twice in model 'b'"),
        ("u1 u1\nu2 u2 u2\n", "spk2utt:2: utterance 'u2' stands twice in model 'u2'"),
        ("", "spk2utt: empty"),
        (None, "spk2utt: no such file"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "spk2utt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_models(tmp_path / "spk2utt")


def test_models_are_selected_in_any_order_and_unknown_ones_counted(models):
    assert as_dict(models.select(["c", "b"])) == {"c": ["u8", "u3", "u1"], "b": ["u1", "u0", "u7"]}
    assert sorted(models.select(["a"]).utterances) == ["u3"]
    with pytest.raises(UnknownModels, match=r"has no line for 2 models \(x, y\)") as error:
        models.select(["x", "a", "y"])
    assert error.value.models == ["x", "y"]


def test_models_left_without_utterance_are_left_out(models):
    is_absent = np.array([utterance in ("u3", "u1") for utterance in models.utterances])
    assert as_dict(models.without(is_absent)) == {"b": ["u0", "u7"], "c": ["u8"]}


@pytest.mark.parametrize("block", [1, 2, 512])
def test_a_model_is_the_mean_of_what_its_utterances_are(tmp_path, monkeypatch, models, embeddings, block):
    monkeypatch.setattr(spk.backend.embedding_reader, "UTTERANCES_PER_BLOCK", block)
    means = average_embeddings(tmp_path / "e", models, lambda crops: crops[:, 0] ** 2)
    assert means.dtype == np.float32
    for row, utterances in enumerate(as_dict(models).values()):
        own = [embeddings[UTTERANCES.index(utterance), 0].astype(np.float64) ** 2 for utterance in utterances]
        np.testing.assert_allclose(means[row], np.mean(own, axis=0), rtol=1e-6)


@settings(max_examples=25)
@given(st.data())
def test_any_division_of_utterances_into_models_gives_their_means(tmp_path_factory, data):
    own = data.draw(st.lists(st.sets(st.integers(0, 8), min_size=1).map(sorted), min_size=1, max_size=6))
    folder = tmp_path_factory.mktemp("models")
    x = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    write_embeddings(str(folder / "embedding"), UTTERANCES, x)
    lines = [f"m{model} {' '.join(UTTERANCES[row] for row in rows)}\n" for model, rows in enumerate(own)]
    (folder / "spk2utt").write_text("".join(lines))
    means = average_embeddings(folder, read_models(folder / "spk2utt"), lambda crops: crops[:, 0])
    np.testing.assert_allclose(means, [x[rows].mean(axis=0) for rows in own], atol=1e-6)


def test_the_means_of_embeddings_are_those_of_kaldis_ivector_mean(tmp_path):
    names, vectors = zip(*kaldiio.load_ark(str(DATA / "kaldi" / "eval.ark")), strict=True)
    write_embeddings(str(tmp_path / "embedding"), list(names), np.stack(vectors))
    models = read_models(DATA / "plda" / "enroll.spk2utt")
    expected = dict(kaldiio.load_ark(str(DATA / "kaldi" / "enroll.ark")))
    means = average_embeddings(tmp_path, models, lambda crops: crops[:, 0])
    assert models.names == list(expected)
    np.testing.assert_allclose(means, list(expected.values()), atol=1e-5)
    counts = dict(line.split() for line in (DATA / "plda" / "num_utts.ark").read_text().splitlines())
    assert models.num_utterances.tolist() == [int(counts[name]) for name in models.names]


def test_the_cosine_of_a_model_is_the_mean_of_all_cosines(tmp_path, models, embeddings):
    backend = BACKENDS.build("backend", "cosine")
    enroll = average_embeddings(tmp_path / "e", models, backend.represent)
    test = backend.represent(embeddings)
    scores = np.concatenate(list(backend.all_pairs(enroll, test, models.num_utterances)))
    for row, utterances in enumerate(as_dict(models).values()):
        for column, other in enumerate(embeddings.astype(np.float64)):
            cosines = [
                x @ y / np.linalg.norm(x) / np.linalg.norm(y)
                for utterance in utterances
                for x in embeddings[UTTERANCES.index(utterance)].astype(np.float64)
                for y in other
            ]
            assert scores[row, column] == pytest.approx(np.mean(cosines), abs=1e-6)


@pytest.mark.parametrize("length_normalize", [False, True])
def test_the_euclidean_model_is_the_prototype_of_its_utterances(tmp_path, models, embeddings, length_normalize):
    backend = BACKENDS.build("backend", {"name": "euclidean", "length_normalize": length_normalize})
    enroll = average_embeddings(tmp_path / "e", models, backend.represent)
    scores = np.concatenate(list(backend.all_pairs(enroll, backend.represent(embeddings), models.num_utterances)))
    points = embeddings.astype(np.float64)
    if length_normalize:
        points /= np.linalg.norm(points, axis=2, keepdims=True)
    for row, utterances in enumerate(as_dict(models).values()):
        prototype = np.mean([points[UTTERANCES.index(utterance)] for utterance in utterances], axis=0)
        for column, other in enumerate(points):
            distances = [np.linalg.norm(x - y) for x in prototype for y in other]
            assert scores[row, column] == pytest.approx(-np.mean(distances), abs=1e-6)


def test_a_test_that_enrolled_its_own_model_is_found(tmp_path, models):
    (tmp_path / "trials").write_text("b u3 nontarget\nb u7 target\na u7 nontarget\nc u3 target\nc u2 nontarget\n")
    assert self_trials(read_trials(tmp_path / "trials"), models).tolist() == [1, 3]
    (tmp_path / "trials").write_text("u1 u2 nontarget\nu2 u2 target\n")
    assert self_trials(read_trials(tmp_path / "trials"), None).tolist() == [1]


def test_utterances_without_embedding_are_listed(tmp_path, models):
    write_embeddings(str(tmp_path / "e" / "embedding"), ["u1", "u3"], np.ones((2, 4)))
    with pytest.raises(MissingEmbeddings) as error:
        average_embeddings(tmp_path / "e", models, lambda crops: crops[:, 0])
    assert error.value.utterances == ["u0", "u7", "u8"]
