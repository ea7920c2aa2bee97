"""PLDA models as Kaldi's files, for ivector-plda-scoring and from ivector-compute-plda."""

from __future__ import annotations

import os

import numpy as np

from spk.backend.plda import Plda
from spk.data.files import whole_file
from spk.data.kaldi_objects import ObjectWriter, open_object
from spk.errors import InputError


def read_plda(path: str | os.PathLike[str]) -> Plda:
    """A model from a binary or a text file. Raises: InputError where it is missing, damaged or of another kind."""
    reader = open_object(path)
    reader.expect("<Plda>")
    plda = Plda(mean=reader.vector(), transform=reader.matrix(), psi=reader.vector())
    reader.expect("</Plda>")
    dim = plda.dim
    if dim == 0 or plda.transform.shape != (dim, dim) or plda.psi.shape != (dim,):
        raise InputError(
            f"{path}: a mean of {dim} dimensions, a transform of shape {list(plda.transform.shape)} and "
            f"{len(plda.psi)} variances do not fit each other; train the back-end again"
        )
    if not all(np.isfinite(part).all() for part in (plda.mean, plda.transform, plda.psi)):
        raise InputError(f"{path}: has values that are not finite; train the back-end again")
    if (plda.psi < 0).any():
        raise InputError(f"{path}: has a negative variance, {plda.psi.min():g}; train the back-end again")
    return plda


def write_plda(path: str | os.PathLike[str], plda: Plda, binary: bool = True) -> None:
    """Write a model in float64, as Kaldi does."""
    with whole_file(path, "wb") as file:
        writer = ObjectWriter(file, binary=binary, double=True)
        writer.token("<Plda>")
        writer.vector(plda.mean)
        writer.matrix(plda.transform)
        writer.vector(plda.psi)
        writer.token("</Plda>")
