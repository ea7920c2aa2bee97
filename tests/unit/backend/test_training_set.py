"""What a back-end is trained on: what is missing is listed, what is of no use is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spk.backend.length import length_sqrt_dim
from spk.backend.training_set import read_training_set, unlabelled_set
from spk.embed.write import write_embeddings
from spk.errors import InputError


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utt2spk").write_text("a-0 a\na-1 a\nb-0 b\nb-1 b\n")
    write_embeddings(str(tmp_path / "exp" / "embedding"), ["b-1", "a-0", "c-0", "b-0"], np.eye(4, 3))
    return tmp_path


def test_utterances_with_speaker_and_embedding_take_part_and_the_others_are_listed(work):
    (work / "missing").write_text("of before\n")
    training = read_training_set(work / "data", work / "exp", work / "missing")
    assert training.utterances == ["a-0", "b-0", "b-1"]
    assert training.speakers.tolist() == [0, 1, 1]
    assert (training.num_speakers, training.num_missing) == (2, 1)
    assert (work / "missing").read_text() == "a-1\n"
    statistics = training.statistics()
    np.testing.assert_allclose(statistics.means, [[0, 1, 0], [0.5, 0, 0]], atol=1e-12)
    doubled = training.statistics(lambda vectors: 2 * vectors)
    np.testing.assert_allclose(doubled.means, 2 * statistics.means, atol=1e-12)


def test_nothing_missing_leaves_no_list(work):
    (work / "missing").write_text("of before\n")
    (work / "data" / "utt2spk").write_text("a-0 a\nb-0 b\n")
    read_training_set(work / "data", work / "exp", work / "missing")
    assert not (work / "missing").exists()


def test_an_embedding_without_direction_is_named_where_a_direction_is_needed(work):
    unlabelled = unlabelled_set(work / "exp")
    assert unlabelled.statistics().num_utterances == 4
    with pytest.raises(InputError, match="the embedding of 'b-0' is all zeros"):
        unlabelled.statistics(length_sqrt_dim)


def test_no_embedding_of_any_utterance_is_an_error(work):
    (work / "data" / "utt2spk").write_text("d-0 d\n")
    with pytest.raises(InputError, match=r"exp has no embedding of any utterance of .*data"):
        read_training_set(work / "data", work / "exp", work / "missing")
