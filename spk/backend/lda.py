"""Linear discriminant analysis: the directions in which training speakers differ most, relative to how each varies."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.data.ark import read_vector
from spk.data.files import whole_file
from spk.errors import InputError

MOST_AUTOMATIC_DIMENSIONS = 200


@dataclass(frozen=True)
class LinearTransform:
    """x -> matrix (x - mean), with mean [D] and matrix [L, D]. Kept as Kaldi keeps it: mean.vec and transform.mat.

    Without a matrix it is centring alone: x -> x - mean.
    """

    mean: NDArray[np.floating]
    matrix: NDArray[np.floating] | None

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """[..., D] -> [..., L]. Raises: InputError for another dimension."""
        if embeddings.shape[-1] != len(self.mean):
            raise InputError(
                f"embeddings have {embeddings.shape[-1]} dimensions, but the back-end was trained on {len(self.mean)}; "
                "train it on embeddings of this system"
            )
        centred = embeddings.astype(np.float64) - self.mean
        if self.matrix is None:
            return centred.astype(np.float32)
        return (centred @ self.matrix.astype(np.float64).T).astype(np.float32)


def write_transform(directory: str | os.PathLike[str], transform: LinearTransform) -> None:
    """Write mean.vec and transform.mat, float32, for Kaldi's ivector-subtract-global-mean and transform-vec too."""
    from kaldiio.matio import write_array

    for name, array in (("mean.vec", transform.mean), ("transform.mat", transform.matrix)):
        if array is None:
            continue
        with whole_file(Path(directory) / name, "wb") as file:
            write_array(file, array.astype(np.float32))


def read_transform(directory: str | os.PathLike[str], matrix_optional: bool = False) -> LinearTransform:
    """Read mean.vec and transform.mat. A matrix of D + 1 columns, as Kaldi writes, has an offset in its last column.

    matrix_optional: without transform.mat, centring alone. Raises: InputError if a file is missing or the dimensions do
    not fit.
    """
    paths = [Path(directory) / name for name in ("mean.vec", "transform.mat")]
    if matrix_optional and paths[0].is_file() and not paths[1].exists():
        return LinearTransform(read_vector(os.fspath(paths[0])).astype(np.float64), None)
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file; train the back-end first (steps/train_lda)")
    mean, matrix = (read_vector(os.fspath(path)).astype(np.float64) for path in paths)
    if matrix.ndim != 2 or mean.ndim != 1 or matrix.shape[1] not in (len(mean), len(mean) + 1):
        raise InputError(f"{paths[1]}: shape {list(matrix.shape)} does not fit the mean's {list(mean.shape)}")
    if matrix.shape[1] == len(mean) + 1:
        matrix, offset = matrix[:, :-1], matrix[:, -1]
        mean = mean - np.linalg.lstsq(matrix, offset, rcond=None)[0]
    return LinearTransform(mean, matrix)


def lda_dimensions(requested: int | None, num_speakers: int, embedding_dim: int) -> int:
    """The dimensions to keep: `requested`, or the most that are of use when None. At most D and speakers - 1 exist."""
    most = min(embedding_dim, num_speakers - 1)
    if num_speakers < 2:
        raise InputError(f"LDA needs at least 2 speakers, and here is {num_speakers}")
    if requested is None:
        return min(most, MOST_AUTOMATIC_DIMENSIONS)
    if not 1 <= requested <= most:
        raise InputError(
            f"--lda-dim {requested}: allowed are 1 to {most}, less than the {num_speakers} speakers and at most the "
            f"{embedding_dim} dimensions of the embeddings"
        )
    return requested


def train_lda(
    embeddings: NDArray[np.floating],
    speakers: NDArray[np.int64],
    dim: int,
    shrinkage: float | str | None = None,
) -> LinearTransform:
    """LDA of embeddings [N, D] with speaker numbers [N], down to `dim`, after which within-speaker covariance is 1.

    scikit-learn's LinearDiscriminantAnalysis with solver 'eigen': the generalised eigenvectors of the between- and the
    within-speaker covariance, both divided by N; it equals Kaldi's ivector-compute-lda with --total-covariance-factor=0
    up to the signs of the rows. `shrinkage` is the share, in 0 ... 1, that a multiple of the unit matrix gets in the
    within-speaker covariance; 'auto' estimates it (Ledoit and Wolf, 2004) from utterances less their speakers' means.
    Raises: InputError when the within-speaker covariance is singular.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    mean = embeddings.mean(axis=0, dtype=np.float64)
    if shrinkage == "auto":
        sums = np.zeros((speakers.max() + 1, embeddings.shape[1]))
        np.add.at(sums, speakers, embeddings)
        means = sums / np.maximum(np.bincount(speakers), 1)[:, None]
        shrinkage = ledoit_wolf_shrinkage(embeddings - means[speakers], assume_centered=True)
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage, n_components=dim)
    try:
        with warnings.catch_warnings():
            # A speaker with one utterance has no covariance within: it adds nothing, and that is no fault.
            warnings.filterwarnings("ignore", message="Only one sample available")
            lda.fit(embeddings - mean, speakers)
    except np.linalg.LinAlgError:
        raise InputError(
            f"the within-speaker covariance of {embeddings.shape[1]} dimensions is singular ({len(embeddings)} "
            f"utterances of {len(np.unique(speakers))} speakers); give more utterances, or --shrinkage auto"
        ) from None
    return LinearTransform(mean, lda.scalings_[:, :dim].T)
