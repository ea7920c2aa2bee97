"""Which utterances and speakers are a cohort."""

from __future__ import annotations

import numpy as np
import pytest

from spk.backend.cohort import read_cohort, refuse_shared_utterances
from spk.embed.write import write_embeddings
from spk.errors import InputError


@pytest.fixture
def folder(tmp_path):
    write_embeddings(str(tmp_path / "embedding"), list("abcd"), np.eye(4))
    return tmp_path


def test_without_models_every_utterance_is_a_member(folder):
    cohort = read_cohort(folder)
    assert cohort.models.names == cohort.models.utterances == list("abcd")
    assert cohort.models.num_utterances.tolist() == [1, 1, 1, 1]
    assert len(cohort) == 4


def test_utterances_of_models_without_embedding_take_no_part_and_are_listed(folder):
    (folder / "spk2utt").write_text("s1 a z b\ns2 y\ns3 c\n")
    cohort = read_cohort(folder, folder / "spk2utt")
    assert cohort.missing == ["z", "y"]
    assert cohort.models.names == ["s1", "s3"]
    assert cohort.models.num_utterances.tolist() == [2, 1]


def test_models_of_other_embeddings_are_refused(folder):
    (folder / "spk2utt").write_text("s1 x\ns2 y\n")
    with pytest.raises(InputError, match=r"has no embedding of any utterance of .*spk2utt"):
        read_cohort(folder, folder / "spk2utt")


def test_a_directory_without_embeddings_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"embedding\.scp: no such file"):
        read_cohort(tmp_path)


def test_a_cohort_with_utterances_of_the_trials_is_refused(folder):
    refuse_shared_utterances(read_cohort(folder), {"x", "y"})
    with pytest.raises(InputError, match=r"has 2 utterances of the trials \(b, d\); a cohort is of other speakers"):
        refuse_shared_utterances(read_cohort(folder), {"x", "d", "b"})
