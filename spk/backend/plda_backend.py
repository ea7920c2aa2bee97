"""A PLDA back-end is a chain: less the mean, LDA, length normalisation, PLDA. Its training, adaptation and files."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spk.backend.coral import coral_matrix
from spk.backend.lda import LinearTransform, fit_lda, lda_dimensions, write_transform
from spk.backend.length import length_sqrt_dim
from spk.backend.plda import Plda
from spk.backend.plda_adaptation import adapt_plda
from spk.backend.plda_files import write_plda
from spk.backend.plda_scoring import read_plda_backend
from spk.backend.plda_training import refuse_single_utterances, train_plda
from spk.backend.training_set import TrainingSet
from spk.data.ark import read_vector
from spk.data.files import write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PldaBackend:
    """`transform` (None: none), vectors scaled to length sqrt(D) if `length_normalize`, `plda`; and how it was made."""

    transform: LinearTransform | None
    length_normalize: bool
    plda: Plda
    description: dict[str, Any] = field(default_factory=dict)

    def __call__(self, embeddings: NDArray[np.floating]) -> NDArray[np.floating]:
        """Embeddings [N, D] -> what the PLDA is trained on, [N, L]."""
        return prepare(embeddings, self.transform, self.length_normalize)


def prepare(
    embeddings: NDArray[np.floating], transform: LinearTransform | None, length_normalize: bool
) -> NDArray[np.floating]:
    vectors = embeddings if transform is None else transform(embeddings)
    return length_sqrt_dim(vectors) if length_normalize else vectors


def train_plda_backend(
    training: TrainingSet,
    lda_dim: int | Literal["auto"] | None = "auto",
    length_normalize: bool = True,
    num_iters: int = 10,
    smoothing: float = 0.0,
    coral: TrainingSet | None = None,
    coral_regularization: float = 1.0,
) -> PldaBackend:
    """Train the chain; embeddings are read in blocks, at most twice, and only sums are kept.

    lda_dim: None for no LDA; 'auto': as many as there are and PLDA can use, at most 200. coral: in-domain utterances,
    whose covariance the centred training embeddings are given first (coral_matrix); as what is scored is in-domain,
    the chain's mean is then theirs. smoothing: see Plda.smoothed. Raises: InputError where there is too little data.
    """
    raw = training.statistics()
    refuse_single_utterances(raw)
    colouring, mean = np.eye(raw.dim), raw.mean
    description = {
        "embedding_dim": raw.dim,
        "num_utterances": raw.num_utterances,
        "num_missing": training.num_missing,
        "num_speakers": raw.num_speakers,
    }
    if coral is not None:
        in_domain = coral.statistics()
        colouring = coral_matrix(raw.total, in_domain.total, coral_regularization)
        mean = in_domain.mean
        description["coral"] = {
            "embedding_dir": coral.embedding_dir,
            "num_utterances": in_domain.num_utterances,
            "regularization": coral_regularization,
        }

    # Centred and coloured: what stands for the training embeddings from here on.
    to_domain = LinearTransform(raw.mean, colouring)
    matrix = None
    if lda_dim is not None:
        statistics = raw.mapped(raw.mean, colouring)
        dim = lda_dimensions(None if lda_dim == "auto" else lda_dim, raw.num_speakers, raw.dim)
        if lda_dim == "auto":
            dim = min(dim, raw.num_utterances - raw.num_speakers)
        lda, shrinkage = fit_lda(training, statistics, dim, None, to_domain)
        matrix = lda.matrix
        description |= {"lda_dim": dim, "lda_shrinkage": shrinkage}
        log.info("LDA from %d to %d dimensions", raw.dim, dim)
    train_transform = LinearTransform(raw.mean, colouring if matrix is None else matrix @ colouring)

    if length_normalize:
        statistics = training.statistics(lambda vectors: prepare(vectors, train_transform, True))
    else:
        statistics = raw.mapped(raw.mean, train_transform.matrix)
    plda = train_plda(statistics, num_iters).smoothed(smoothing)
    description |= {
        "plda_dim": plda.dim,
        "length_normalize": length_normalize,
        "num_iters": num_iters,
        "smoothing": smoothing,
    }
    return PldaBackend(LinearTransform(mean, matrix), length_normalize, plda, description)


def read_backend(directory: str | os.PathLike[str]) -> PldaBackend:
    """A directory of train_plda, or Kaldi's. Raises: InputError for a missing or damaged file."""
    transform, given = read_plda_backend(directory)
    path = Path(directory) / "plda.json"
    description = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return PldaBackend(transform, given["scale_lengths"], given["plda"], description)


def adapt_plda_backend(
    directory: str | os.PathLike[str],
    in_domain: TrainingSet,
    within_covar_scale: float = 0.3,
    between_covar_scale: float = 0.7,
    mean_diff_scale: float = 1.0,
) -> PldaBackend:
    """The back-end of a directory, adapted to unlabelled embeddings: their mean is centred on, PLDA as adapt_plda says.

    Raises: InputError for a damaged file, or embeddings of another dimension.
    """
    backend = read_backend(directory)
    scales = {
        "within_covar_scale": within_covar_scale,
        "between_covar_scale": between_covar_scale,
        "mean_diff_scale": mean_diff_scale,
    }
    if backend.transform is not None:
        # The transform's mean is that of mean.vec but for the offset that Kaldi's matrices may have.
        offset = backend.transform.mean - read_vector(os.fspath(Path(directory) / "mean.vec"))
        centred = in_domain.statistics(LinearTransform(backend.transform.mean, None))
        backend = replace(
            backend, transform=replace(backend.transform, mean=backend.transform.mean + centred.mean + offset)
        )
    statistics = in_domain.statistics(backend)
    description = backend.description | {
        "plda_dim": backend.plda.dim,
        "length_normalize": backend.length_normalize,
        "adaptation": {
            "backend_dir": os.fspath(directory),
            "embedding_dir": in_domain.embedding_dir,
            "num_utterances": statistics.num_utterances,
            **scales,
        },
    }
    adapted = adapt_plda(backend.plda, statistics.mean, statistics.total, **scales)
    return replace(backend, plda=adapted, description=description)


def write_backend(directory: str | os.PathLike[str], backend: PldaBackend) -> None:
    """Write mean.vec, transform.mat and plda as Kaldi's programs read them, and plda.json."""
    folder = Path(directory)
    for name in ("mean.vec", "transform.mat"):
        (folder / name).unlink(missing_ok=True)
    if backend.transform is not None:
        write_transform(folder, backend.transform)
    write_plda(folder / "plda", backend.plda)
    write_json(folder / "plda.json", backend.description)
