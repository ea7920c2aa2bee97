"""I-vector extractors in Kaldi's files (final.ie), text or binary."""

from __future__ import annotations

import os

import numpy as np
import torch

from spk.data.files import whole_file
from spk.data.kaldi_objects import ObjectWriter, open_object
from spk.errors import InputError
from spk.ivector.extractor import IvectorExtractor


def read_extractor(path: str | os.PathLike[str]) -> IvectorExtractor:
    """Read what write_extractor or Kaldi's ivector-extractor-* wrote.

    Raises: InputError for a damaged file, shapes that do not fit together, values that are not finite, covariances that
    are not positive definite, and for an extractor whose Gaussian weights depend on the i-vector.
    """
    reader = open_object(path)
    reader.expect("<IvectorExtractor>", "<w>")
    if reader.matrix().size:
        raise InputError(
            f"{path}: has weight projections, which are not supported here: train it with --use-weights false"
        )
    reader.expect("<w_vec>")
    weights = reader.vector()
    reader.expect("<M>")
    count = reader.integer()
    if count < 1 or count != len(weights):
        raise InputError(f"{path}: has {len(weights)} weights but {count} projections; the file is damaged")
    projections = [reader.matrix() for _ in range(count)]
    reader.expect("<SigmaInv>")
    precisions = [reader.packed() for _ in range(count)]
    reader.expect("<IvectorOffset>")
    offset = reader.number()
    reader.expect("</IvectorExtractor>")

    shapes = {matrix.shape for matrix in projections}
    dims = {dim for dim, _ in shapes} | {len(matrix) for matrix in precisions}
    if len(shapes) > 1 or len(dims) > 1 or 0 in projections[0].shape:
        raise InputError(f"{path}: its projections and covariances do not fit together; the file is damaged")
    stacked = torch.from_numpy(np.stack(projections)), torch.from_numpy(np.stack(precisions))
    if not all(bool(part.isfinite().all()) for part in stacked) or not np.isfinite([*weights, offset]).all():
        raise InputError(f"{path}: holds values that are not finite; train the extractor again")
    if offset <= 0:
        raise InputError(f"{path}: the offset of the prior is {offset:g}, but must be above 0; the file is damaged")
    factors, failed = torch.linalg.cholesky_ex(stacked[1])
    if bool(failed.any()):
        gaussian = int(torch.nonzero(failed)[0])
        raise InputError(f"{path}: the covariance of Gaussian {gaussian} is not positive definite; the file is damaged")
    return IvectorExtractor(stacked[0], torch.cholesky_inverse(factors), torch.from_numpy(weights), offset)


def write_extractor(path: str | os.PathLike[str], extractor: IvectorExtractor, binary: bool = True) -> None:
    """Write all of it in float64, as Kaldi's programs read it; the file appears whole or not at all."""
    precisions = torch.cholesky_inverse(torch.linalg.cholesky(extractor.covariances))
    with whole_file(path, "wb") as file:
        writer = ObjectWriter(file, binary=binary, double=True)
        writer.token("<IvectorExtractor>", "<w>")
        writer.matrix(np.empty((0, 0)))
        writer.token("<w_vec>")
        writer.vector(extractor.weights.numpy())
        writer.token("<M>")
        writer.integer(extractor.num_gaussians)
        for matrix in extractor.projections:
            writer.matrix(matrix.numpy())
        writer.token("<SigmaInv>")
        for matrix in precisions:
            writer.packed(matrix.numpy())
        writer.token("<IvectorOffset>")
        writer.number(extractor.prior_offset)
        writer.token("</IvectorExtractor>")
