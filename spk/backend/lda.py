"""Linear discriminant analysis: the directions in which training speakers differ most, relative to how each varies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spk.backend.speaker_statistics import SpeakerStatistics
from spk.backend.training_set import Map, TrainingSet
from spk.data.ark import read_vector
from spk.data.files import whole_file
from spk.errors import InputError

log = logging.getLogger(__name__)

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


def read_array(path: Path) -> NDArray[np.float64]:
    """The vector or matrix of a back-end's file. Raises: InputError."""
    try:
        return read_vector(os.fspath(path)).astype(np.float64)
    except InputError:
        raise InputError(f"{path}: is empty, truncated or no array of Kaldi's; train the back-end again") from None


def read_transform(directory: str | os.PathLike[str], matrix_optional: bool = False) -> LinearTransform:
    """Read mean.vec and transform.mat. A matrix of D + 1 columns, as Kaldi writes, has an offset in its last column.

    matrix_optional: without transform.mat, centring alone. Raises: InputError if a file is missing or the dimensions do
    not fit.
    """
    paths = [Path(directory) / name for name in ("mean.vec", "transform.mat")]
    if matrix_optional and paths[0].is_file() and not paths[1].exists():
        return LinearTransform(read_array(paths[0]), None)
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file; train the back-end first (steps/train_lda)")
    mean, matrix = map(read_array, paths)
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


def train_lda(statistics: SpeakerStatistics, dim: int, shrinkage: float = 0.0) -> LinearTransform:
    """LDA down to `dim` dimensions, after which within-speaker covariance is 1 and between-speaker covariance diagonal.

    The rows are the v of B v = l W v with the largest l, in falling order, scaled to v' W v = 1, where W and B are the
    within- and the between-speaker covariance, both divided by the number of utterances (Fukunaga, Introduction to
    Statistical Pattern Recognition, 1990, chapter 10). It equals Kaldi's ivector-compute-lda with
    --total-covariance-factor=0, and scikit-learn's LinearDiscriminantAnalysis(solver="eigen"), up to the signs of rows.
    `shrinkage`, 0 ... 1, is the share of a multiple of the unit matrix, of the same trace, in W and, as scikit-learn
    has it, in B; ledoit_wolf_share estimates it.
    Raises: InputError when the within-speaker covariance is singular.
    """
    if statistics.within_is_singular() and not (shrinkage and statistics.speakers_vary()):
        raise InputError(
            f"the within-speaker covariance of {statistics.dim} dimensions is singular ({statistics.num_utterances} "
            f"utterances of {statistics.num_speakers} speakers); give more utterances, or --shrinkage auto"
        )
    within, between = shrunk(statistics.within, shrinkage), shrunk(statistics.between, shrinkage)
    from scipy.linalg import eigh  # slow to import, and scoring does without

    directions = eigh(between, within, subset_by_index=(statistics.dim - dim, statistics.dim - 1))[1]
    return LinearTransform(statistics.mean, np.ascontiguousarray(directions.T[::-1]))


def fit_lda(
    training: TrainingSet,
    statistics: SpeakerStatistics,
    dim: int,
    shrinkage: float | Literal["auto"] | None = None,
    function: Map | None = None,
) -> tuple[LinearTransform, float]:
    """train_lda on `statistics`, those of `function` of the embeddings of `training`; and the shrinkage that it had.

    'auto': as Ledoit and Wolf estimate it, which is also taken instead of None where the within-speaker covariance is
    singular. Raises: InputError when speakers do not vary.
    """
    if shrinkage is None and statistics.within_is_singular():
        log.info(
            "the within-speaker covariance of %d dimensions is singular: the unit matrix gets a share, as Ledoit and "
            "Wolf estimate it",
            statistics.dim,
        )
        shrinkage = "auto"
    if shrinkage == "auto":
        shrinkage = ledoit_wolf_share(training.blocks(function), training.speakers, statistics)
    return train_lda(statistics, dim, shrinkage or 0.0), shrinkage or 0.0


def shrunk(covariance: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """[D, D] -> (1 - share) covariance + share times the mean variance times the unit matrix."""
    mean_variance = np.trace(covariance) / len(covariance)
    return (1 - share) * covariance + share * mean_variance * np.eye(len(covariance))


def ledoit_wolf_share(
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.floating]]],
    speakers: NDArray[np.int64],
    statistics: SpeakerStatistics,
) -> float:
    """The shrinkage that brings the within-speaker covariance closest to the true one, 0 ... 1.

    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004, of utterances less
    their speakers' means: blocks and speakers as for speaker_statistics, whose `statistics` are of the same embeddings.
    """
    fourth_powers = 0.0
    for rows, values in blocks:
        residual = values - statistics.means[speakers[rows]]
        fourth_powers += np.square(np.square(residual).sum(axis=1)).sum()
    covariance = statistics.within
    distance = np.square(covariance).sum() - np.square(np.trace(covariance)) / statistics.dim
    error = (fourth_powers / statistics.num_utterances - np.square(covariance).sum()) / statistics.num_utterances
    return float(min(error / distance, 1.0)) if distance > 0 else 0.0
