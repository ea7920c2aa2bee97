"""PLDA files: Kaldi's are read and written to the byte, ours come back, damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spk.backend.plda import Plda
from spk.backend.plda_files import read_plda, write_plda
from spk.errors import InputError

KALDI = Path(__file__).parents[2] / "data" / "plda"


@pytest.mark.parametrize("name", ["plda", "plda_lennorm", "plda_lda", "plda_smooth", "plda_adapted"])
def test_kaldis_file_read_and_written_is_the_same_bytes(tmp_path, name):
    write_plda(tmp_path / "plda", read_plda(KALDI / name))
    assert (tmp_path / "plda").read_bytes() == (KALDI / name).read_bytes()


def test_kaldis_text_is_its_binary_with_seven_digits(tmp_path):
    binary, text = read_plda(KALDI / "plda"), read_plda(KALDI / "plda.txt")
    for name in ("mean", "transform", "psi"):
        np.testing.assert_allclose(getattr(text, name), getattr(binary, name), rtol=1e-6)


def test_text_comes_back_to_the_last_bit_and_its_lines_are_kaldis(tmp_path):
    plda = read_plda(KALDI / "plda")
    write_plda(tmp_path / "plda.txt", plda, binary=False)
    read = read_plda(tmp_path / "plda.txt")
    for name in ("mean", "transform", "psi"):
        np.testing.assert_array_equal(getattr(read, name), getattr(plda, name))
    shapes = [
        [len(line.split()) for line in path.read_text().splitlines()]
        for path in (tmp_path / "plda.txt", KALDI / "plda.txt")
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("plda", "message"),
    [
        (Plda(np.zeros(2), np.eye(3), np.ones(2)), r"a mean of 2 dimensions, a transform of shape \[3, 3\] and 2"),
        (Plda(np.zeros(2), np.eye(2), np.ones(3)), r"of shape \[2, 2\] and 3 variances do not fit each other"),
        (Plda(np.zeros(2), np.eye(2), np.array([1, np.nan])), "has values that are not finite"),
        (Plda(np.zeros(2), np.eye(2), np.array([1, -0.5])), "has a negative variance, -0.5"),
    ],
)
def test_a_model_that_is_none_is_named(tmp_path, plda, message):
    write_plda(tmp_path / "plda", plda)
    with pytest.raises(InputError, match=f"plda: .*{message}"):
        read_plda(tmp_path / "plda")


def test_another_file_is_named(tmp_path):
    with pytest.raises(InputError, match="plda: no such file"):
        read_plda(tmp_path / "plda")
    with pytest.raises(InputError, match="expected <Plda>, found 'FM "):
        read_plda(KALDI.parent / "kaldi" / "lda.mat")
    (tmp_path / "cut").write_bytes((KALDI / "plda").read_bytes()[:3000])
    with pytest.raises(InputError, match="cut: a matrix ends at byte"):
        read_plda(tmp_path / "cut")
