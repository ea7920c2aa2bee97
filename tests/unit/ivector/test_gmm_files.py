"""Kaldi's GMM files: read, written and read again; damaged ones are named."""

from __future__ import annotations

import re

import numpy as np
import pytest
from unit.ivector.kaldi_oracle import FILES

from spk.errors import InputError
from spk.ivector.gmm_files import read_diagonal_gmm, read_full_gmm, write_diagonal_gmm, write_full_gmm

FORMS = [
    {"binary": True, "double": True},
    {"binary": True, "double": False},
    {"binary": False, "double": True},
    {"binary": False, "double": False},
]


def constants_in(path) -> np.ndarray:
    return np.array(re.search(r"<GCONSTS>\s+\[ ([^]]*)\]", path.read_text())[1].split(), np.float64)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_is_written_is_read_again(form, tmp_path):
    tolerance = 1e-9 if form["double"] else 1e-4
    diagonal, full = read_diagonal_gmm(FILES / "diag_ubm.txt"), read_full_gmm(FILES / "full_ubm.txt")
    write_diagonal_gmm(tmp_path / "dubm", diagonal, **form)
    write_full_gmm(tmp_path / "ubm", full, **form)
    again, full_again = read_diagonal_gmm(tmp_path / "dubm"), read_full_gmm(tmp_path / "ubm")
    for name in ("weights", "means", "variances"):
        np.testing.assert_allclose(getattr(again, name), getattr(diagonal, name), rtol=tolerance, atol=tolerance)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(full_again, name), getattr(full, name), rtol=tolerance, atol=tolerance)


def test_the_constants_in_the_files_are_kaldis(tmp_path):
    write_diagonal_gmm(tmp_path / "dubm", read_diagonal_gmm(FILES / "diag_ubm.txt"), binary=False)
    write_full_gmm(tmp_path / "ubm", read_full_gmm(FILES / "full_ubm.txt"), binary=False)
    for mine, kaldis in (("dubm", "diag_ubm.txt"), ("ubm", "full_ubm.txt")):
        np.testing.assert_allclose(constants_in(tmp_path / mine), constants_in(FILES / kaldis), atol=2e-4)


def test_a_file_without_constants_is_read(tmp_path):
    text = (FILES / "diag_ubm.txt").read_text()
    (tmp_path / "old").write_text(re.sub(r"<GCONSTS>\s+\[[^]]*\]", "", text))
    np.testing.assert_array_equal(
        read_diagonal_gmm(tmp_path / "old").means, read_diagonal_gmm(FILES / "diag_ubm.txt").means
    )


@pytest.mark.parametrize(
    ("read", "change", "message"),
    [
        (read_diagonal_gmm, lambda text: text[:20_000], "damaged"),
        (read_diagonal_gmm, lambda text: text.replace("DiagGMM", "FullGMM"), "expected <DiagGMM>"),
        (
            read_diagonal_gmm,
            lambda text: re.sub(r"(<WEIGHTS>\s+\[) \S+", r"\1 -0.5", text),
            "weights are not all posit",
        ),
        (read_diagonal_gmm, lambda text: re.sub(r"(<WEIGHTS>\s+\[) \S+", r"\1", text), "31 weights, means of shape"),
        (read_diagonal_gmm, lambda text: re.sub(r"(<INV_VARS>\s+\[\s+) \S+", r"\1 nan", text), "variance not positive"),
        (read_full_gmm, lambda text: text, "expected <FullGMM>"),
    ],
)
def test_a_damaged_file_is_named(read, change, message, tmp_path):
    (tmp_path / "ubm").write_text(change((FILES / "diag_ubm.txt").read_text()))
    with pytest.raises(InputError, match=rf"{tmp_path}/ubm: .*{message}"):
        read(tmp_path / "ubm")


def test_a_covariance_that_is_not_positive_definite_is_an_error(tmp_path):
    text = (FILES / "full_ubm.txt").read_text()
    (tmp_path / "ubm").write_text(re.sub(r"(<INV_COVARS>\s+\[\s*)\S+", r"\1-1", text))
    with pytest.raises(InputError, match="covariance not positive definite"):
        read_full_gmm(tmp_path / "ubm")
