"""Quality measures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spk.backend.cohort import Cohort, read_cohort
from spk.backend.models import Models, utterances_alone
from spk.backend.quality import (
    cohort_center,
    cohort_cosines,
    leave_out,
    log_durations,
    log_norms,
    smaller_and_larger,
)
from spk.embed.write import write_embeddings
from spk.errors import InputError

BOTH = Models(["m"], ["a", "b"], np.array([0, 1]), np.array([0, 2]))  # one model of two utterances


def test_both_sides_enter_alike():
    expected = [[1, 3], [2, 2], [0, 5]]
    np.testing.assert_array_equal(smaller_and_larger(np.array([1.0, 2, 5]), np.array([3.0, 2, 0])), expected)
    np.testing.assert_array_equal(smaller_and_larger(np.array([3.0, 2, 0]), np.array([1.0, 2, 5])), expected)


def test_durations_are_logarithms_and_those_of_a_model_add_up(tmp_path):
    (tmp_path / "utt2num_frames").write_text("a 100\nb 300\nc 7\n")
    path = tmp_path / "utt2num_frames"
    np.testing.assert_allclose(log_durations(path, utterances_alone(["b", "a"])), np.log([300, 100]))
    np.testing.assert_allclose(log_durations(path, BOTH), np.log([400]))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a 100\n", r"utt2dur: has no duration of 1 utterances \(b\)"),
        ("a 100\nb 0\n", "'b' has the duration '0'; it must be a number above 0"),
        ("a long\nb 1\n", "'a' has the duration 'long'"),
        ("a nan\nb 1\n", "'a' has the duration 'nan'"),
        ("a 1\nb inf\n", "'b' has the duration 'inf'"),
    ],
)
def test_a_duration_that_is_none_is_refused(tmp_path, table, message):
    (tmp_path / "utt2dur").write_text(table)
    with pytest.raises(InputError, match=message):
        log_durations(tmp_path / "utt2dur", BOTH)


def test_a_missing_table_of_durations_is_named(tmp_path):
    with pytest.raises(InputError, match="utt2dur: no such file"):
        log_durations(tmp_path / "utt2dur", BOTH)


def test_norms_are_logarithms_and_a_models_are_averaged(tmp_path):
    write_embeddings(str(tmp_path / "embedding"), ["a", "b"], np.array([[3.0, 4.0], [0.0, 1.0]]))
    np.testing.assert_allclose(log_norms(tmp_path, utterances_alone(["b", "a"])), np.log([1, 5]), rtol=1e-7)
    np.testing.assert_allclose(log_norms(tmp_path, BOTH), np.log([3]), rtol=1e-7)


def test_the_norm_of_an_utterance_with_crops_is_their_mean(tmp_path):
    write_embeddings(str(tmp_path / "embedding"), ["a"], np.array([[[3.0, 4.0], [0.0, 1.0]]]))
    np.testing.assert_allclose(log_norms(tmp_path, utterances_alone(["a"])), np.log([3]), rtol=1e-7)


def test_an_embedding_of_length_zero_is_named(tmp_path):
    write_embeddings(str(tmp_path / "embedding"), ["a", "b"], np.array([[3.0, 4.0], [0.0, 0.0]]))
    with pytest.raises(InputError, match="the embedding of 'b' is all zeros"):
        log_norms(tmp_path, utterances_alone(["a", "b"]))


@pytest.fixture
def cohort(tmp_path):
    """Three utterances: along the x axis, along the y axis, and between the two."""
    directory = tmp_path / "cohort"
    write_embeddings(str(directory / "embedding"), ["x", "y", "z"], np.array([[2.0, 0.0], [0.0, 5.0], [1.0, 1.0]]))
    return directory


def test_every_embedding_of_a_cohort_without_speakers_counts_as_one(tmp_path, cohort):
    write_embeddings(str(tmp_path / "embedding"), ["a", "b"], np.array([[9.0, 0.0], [0.0, -1.0]]))
    cosines = cohort_cosines(tmp_path, utterances_alone(["a", "b"]), cohort_center(read_cohort(cohort)))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(cosines, [(1 + 0 + half) / 3, -(0 + 1 + half) / 3], rtol=1e-6)


def test_speakers_of_a_cohort_count_alike_however_many_utterances_they_have(tmp_path, cohort):
    speakers = Models(["s", "t"], ["x", "y", "z"], np.array([0, 2, 1]), np.array([0, 2, 3]))  # s has x and z, t has y
    write_embeddings(str(tmp_path / "embedding"), ["a", "b"], np.array([[9.0, 0.0], [0.0, -1.0]]))
    center = cohort_center(Cohort(str(cohort), speakers, []))
    half = np.sqrt(0.5)
    a, b = ((1 + half) / 2 + 0) / 2, -((0 + half) / 2 + 1) / 2
    np.testing.assert_allclose(cohort_cosines(tmp_path, utterances_alone(["a", "b"]), center), [a, b], rtol=1e-6)
    np.testing.assert_allclose(cohort_cosines(tmp_path, BOTH, center), [(a + b) / 2], rtol=1e-6)


def test_a_cohort_of_another_dimension_is_refused(tmp_path, cohort):
    write_embeddings(str(tmp_path / "embedding"), ["a"], np.ones((1, 3)))
    with pytest.raises(InputError, match="its embeddings have 3 dimensions and those of the cohort 2"):
        cohort_cosines(tmp_path, utterances_alone(["a"]), cohort_center(read_cohort(cohort)))


def test_a_speaker_of_the_cohort_who_is_in_the_trials_is_left_out_with_all_utterances(tmp_path, cohort):
    (tmp_path / "spk2utt").write_text("s x z\nt y\n")
    speakers = read_cohort(cohort, tmp_path / "spk2utt")
    left = leave_out(speakers, {"z", "other"})
    assert (left.models.names, left.models.utterances) == (["t"], ["y"])
    np.testing.assert_allclose(cohort_center(left), [0, 1], atol=1e-7)
    assert leave_out(read_cohort(cohort), {"z"}).models.utterances == ["x", "y"]
    assert leave_out(speakers, {"other"}) is speakers
    with pytest.raises(InputError, match="each of its 2 members has utterances of the trials"):
        leave_out(speakers, {"x", "y"})


def test_an_utterance_of_the_cohort_without_embedding_takes_no_part(tmp_path, cohort):
    (tmp_path / "spk2utt").write_text("s x lost\nt y\n")
    np.testing.assert_allclose(cohort_center(read_cohort(cohort, tmp_path / "spk2utt")), [0.5, 0.5], rtol=1e-7)
