"""Kaldi's files of i-vector extractors, read, written, and damaged."""

from __future__ import annotations

import re

import pytest
import torch
from unit.ivector.kaldi_oracle import FILES

from spk.errors import InputError
from spk.ivector.extractor_files import read_extractor, write_extractor


def test_kaldis_text_is_read():
    extractor = read_extractor(FILES / "extractor.txt")
    assert (extractor.num_gaussians, extractor.feature_dim, extractor.ivector_dim) == (32, 39, 16)
    assert extractor.prior_offset == 43.93824
    text = (FILES / "extractor.txt").read_text()
    numbers = [float(number) for number in re.search(r"<M> 32 +\[([^]]*)\]", text)[1].split()]
    assert extractor.projections[0].flatten().tolist() == numbers
    triangle = [float(number) for number in re.search(r"<SigmaInv> \[([^]]*)\]", text)[1].split()]
    precision = torch.linalg.inv(extractor.covariances[0])
    assert precision[torch.tril_indices(39, 39).unbind()].tolist() == pytest.approx(triangle, rel=1e-8, abs=1e-10)
    assert extractor.weights.tolist() == [float(w) for w in re.search(r"<w_vec> +\[([^]]*)\]", text)[1].split()]


@pytest.mark.parametrize("binary", [True, False])
def test_what_is_written_reads_the_same(binary, tmp_path):
    extractor = read_extractor(FILES / "extractor.txt")
    write_extractor(tmp_path / "final.ie", extractor, binary=binary)
    assert (tmp_path / "final.ie").read_bytes()[:2] == (b"\0B" if binary else b"<I")
    again = read_extractor(tmp_path / "final.ie")
    assert torch.equal(again.projections, extractor.projections)
    assert torch.equal(again.weights, extractor.weights)
    assert again.prior_offset == extractor.prior_offset
    torch.testing.assert_close(again.covariances, extractor.covariances, rtol=1e-9, atol=1e-12)


DAMAGES = {
    "weight projections.*--use-weights false": (r"<w>  \[ \]", "<w>  [\n 1 2\n 3 4 ]"),
    "32 weights but 31 projections": ("<M> 32", "<M> 31"),
    "expected <SigmaInv>": ("<SigmaInv>", "<Sigma>"),
    "offset of the prior is -1": ("<IvectorOffset> 43.93824", "<IvectorOffset> -1"),
    "not finite": (r"(<M> 32 +\[\n +)\S+", r"\1nan"),
    "Gaussian 0 is not positive definite": (r"(<SigmaInv> \[\n)\S+", r"\g<1>-1"),
    "expected a packed symmetric matrix": (r"<IvectorOffset>[^$]*", ""),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_file_is_one_line_that_names_it(message, tmp_path):
    pattern, replacement = DAMAGES[message]
    text, count = re.subn(pattern, replacement, (FILES / "extractor.txt").read_text(), count=1)
    assert count == 1
    if not replacement:
        text = text[: text.rindex("[")]  # the last matrix is missing
    path = tmp_path / "final.ie"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: .*({message})") as error:
        read_extractor(path)
    assert "\n" not in str(error.value)


def test_a_truncated_binary_file_and_another_kind_of_file_are_refused(tmp_path):
    path = tmp_path / "final.ie"
    write_extractor(path, read_extractor(FILES / "extractor.txt"))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_extractor(path)
    with pytest.raises(InputError, match="expected <IvectorExtractor>"):
        read_extractor(FILES / "full_ubm.txt")
