"""Kaldi's files of Gaussian mixtures, <DiagGMM> and <FullGMM>, binary or text.

They hold means and covariances in natural parameters (inverse covariance times mean, inverse covariance) and each
Gaussian's constant (<GCONSTS>), which follows from the others and is not needed for reading.
"""

from __future__ import annotations

import os

import numpy as np
import torch

from spk.data.files import whole_file
from spk.data.kaldi_objects import ObjectReader, ObjectWriter, open_object
from spk.errors import InputError
from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.full_gmm import FullGmm


def read_diagonal_gmm(path: str | os.PathLike[str]) -> DiagonalGmm:
    """Raises InputError for a file that is damaged, of another kind, or holds no mixture."""
    reader = open_object(path)
    reader.expect("<DiagGMM>")
    weights = read_weights(reader)
    reader.expect("<MEANS_INVVARS>")
    means_over_variances = reader.matrix()
    reader.expect("<INV_VARS>")
    inverse = reader.matrix()
    reader.expect("</DiagGMM>")
    if means_over_variances.shape != inverse.shape or len(inverse) != len(weights):
        raise InputError(
            f"{path}: {len(weights)} weights, means of shape {list(means_over_variances.shape)} and variances of shape "
            f"{list(inverse.shape)} make no mixture; the file is damaged"
        )
    if not (np.isfinite(means_over_variances).all() and np.isfinite(inverse).all() and (inverse > 0).all()):
        raise InputError(f"{path}: a mean is not finite or a variance not positive; train the UBM again")
    return DiagonalGmm(*map(torch.from_numpy, (weights, means_over_variances / inverse, 1 / inverse)))


def write_diagonal_gmm(
    path: str | os.PathLike[str], gmm: DiagonalGmm, *, binary: bool = True, double: bool = False
) -> None:
    """As gmm-global-copy writes it; `double`: numbers of 8 bytes, which Kaldi's programs read, too."""
    gmm = gmm.to("cpu")
    with whole_file(path, "wb") as file:
        writer = ObjectWriter(file, binary=binary, double=double)
        writer.token("<DiagGMM>", "<GCONSTS>")
        writer.vector(gmm.constants().numpy())
        writer.token("<WEIGHTS>")
        writer.vector(gmm.weights.numpy())
        writer.token("<MEANS_INVVARS>")
        writer.matrix((gmm.means / gmm.variances).numpy())
        writer.token("<INV_VARS>")
        writer.matrix((1 / gmm.variances).numpy())
        writer.token("</DiagGMM>")


def read_full_gmm(path: str | os.PathLike[str]) -> FullGmm:
    """Raises InputError for a file that is damaged, of another kind, or holds no mixture."""
    reader = open_object(path)
    reader.expect("<FullGMM>")
    weights = read_weights(reader)
    reader.expect("<MEANS_INVCOVARS>")
    natural_means = reader.matrix()
    reader.expect("<INV_COVARS>")
    inverses = [reader.packed() for _ in weights]
    reader.expect("</FullGMM>")
    if len(natural_means) != len(weights) or {inverse.shape[0] for inverse in inverses} != {natural_means.shape[1]}:
        raise InputError(
            f"{path}: {len(weights)} weights and means of shape {list(natural_means.shape)} do not fit its "
            "covariances; the file is damaged"
        )
    factors, failed = torch.linalg.cholesky_ex(torch.from_numpy(np.stack(inverses)))
    if failed.any() or not np.isfinite(natural_means).all() or not factors.isfinite().all():
        raise InputError(f"{path}: a mean is not finite or a covariance not positive definite; train the UBM again")
    means = torch.cholesky_solve(torch.from_numpy(natural_means)[:, :, None], factors)[:, :, 0]
    return FullGmm(torch.from_numpy(weights), means, torch.cholesky_inverse(factors))


def write_full_gmm(path: str | os.PathLike[str], gmm: FullGmm, *, binary: bool = True, double: bool = False) -> None:
    """As fgmm-global-copy writes it; `double`: numbers of 8 bytes, which Kaldi's programs read, too."""
    gmm = gmm.to("cpu")
    inverses = gmm.whitening.mT @ gmm.whitening
    natural_means = (inverses @ gmm.means[:, :, None])[:, :, 0]
    constants = gmm.log_heights - 0.5 * torch.linalg.vecdot(gmm.means, natural_means)
    with whole_file(path, "wb") as file:
        writer = ObjectWriter(file, binary=binary, double=double)
        writer.token("<FullGMM>", "<GCONSTS>")
        writer.vector(constants.numpy())
        writer.token("<WEIGHTS>")
        writer.vector(gmm.weights.numpy())
        writer.token("<MEANS_INVCOVARS>")
        writer.matrix(natural_means.numpy())
        writer.token("<INV_COVARS>")
        for inverse in inverses.numpy():
            writer.packed(inverse)
        writer.token("</FullGMM>")


def read_weights(reader: ObjectReader) -> np.ndarray:
    """<WEIGHTS> [C], after <GCONSTS> where there are any; older files have none."""
    if reader.peek() == "<GCONSTS>":
        reader.token()
        reader.vector()
    reader.expect("<WEIGHTS>")
    weights = reader.vector()
    if len(weights) == 0 or not np.isfinite(weights).all() or (weights <= 0).any():
        raise InputError(f"{reader.path}: the weights are not all positive; train the UBM again")
    return weights
