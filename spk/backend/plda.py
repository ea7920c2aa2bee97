"""The two-covariance PLDA model: speakers vary with one covariance, utterances of a speaker with another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spk.errors import InputError


@dataclass(frozen=True)
class Plda:
    """x = mean + y + e, y ~ N(0, B) of the speaker, e ~ N(0, W) of the utterance, in the basis that makes both simple.

    After z = transform (x - mean), utterances of a speaker vary with covariance I and speakers with diag(psi), psi
    falling: transform W transform' = I, transform B transform' = diag(psi).
    Ioffe, Probabilistic Linear Discriminant Analysis, ECCV 2006; all float64: mean [D], transform [D, D], psi [D].
    """

    mean: NDArray[np.float64]
    transform: NDArray[np.float64]
    psi: NDArray[np.float64]

    @property
    def dim(self) -> int:
        return len(self.mean)

    @classmethod
    def from_covariances(
        cls, mean: NDArray[np.float64], within: NDArray[np.float64], between: NDArray[np.float64]
    ) -> Plda:
        """The model of covariances W and B [D, D]. Raises: numpy's LinAlgError unless W is positive definite.

        B is a sum of squares, so a negative eigenvalue is rounding, and becomes 0.
        """
        from scipy.linalg import eigh  # slow to import, and only training needs it

        psi, directions = eigh(between, within)  # B v = psi W v with v' W v = 1
        return cls(mean, np.ascontiguousarray(directions.T[::-1]), np.maximum(psi[::-1], 0.0))

    def covariances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Within- and between-speaker covariance W and B [D, D] of embeddings."""
        inverse = np.linalg.inv(self.transform)
        return inverse @ inverse.T, inverse * self.psi @ inverse.T

    def project(
        self,
        vectors: ArrayLike,
        num_utterances: int | NDArray[np.integer] = 1,
        normalize_length: bool = True,
        simple: bool = False,
    ) -> NDArray[np.float64]:
        """Vectors [N, D], each the mean of `num_utterances` (one number, or [N]) of a speaker's, -> z [N, D].

        `normalize_length` (Garcia-Romero and Espy-Wilson, Interspeech 2011, as Kaldi's ivector-plda-scoring has it):
        z is scaled such that z' (diag(psi) + I/n)^-1 z = D, what the model expects of the mean of n utterances;
        `simple`: such that z' z = D. A vector equal to the mean has no direction and stays 0.
        Raises: InputError for vectors of another dimension.
        """
        vectors = np.asarray(vectors, np.float64)
        if vectors.shape[-1] != self.dim:
            raise InputError(
                f"embeddings have {vectors.shape[-1]} dimensions, but the PLDA was trained on {self.dim}; "
                "give it embeddings of the same system, and the transform it was trained with"
            )
        z = (vectors - self.mean) @ self.transform.T
        if normalize_length and len(z):
            counts = np.unique(num_utterances)
            # One row of weights for each number of utterances, of which there are few.
            weights = 1 / (np.ones((1, self.dim)) if simple else self.psi + 1 / counts[:, None])
            squares = np.square(z) @ weights.T
            place = np.searchsorted(counts, num_utterances) if len(weights) > 1 else 0
            lengths = np.sqrt(squares[np.arange(len(z)), place] / self.dim)
            z /= np.where(lengths > 0, lengths, 1.0)[:, None]
        return z

    def smoothed(self, smoothing: float) -> Plda:
        """The model with `smoothing` (>= 0) times B added to W: a speaker's utterances are believed to vary more.

        Kaldi's ivector-copy-plda --smoothing: for few or noisy training data.
        """
        scale = 1 + smoothing * self.psi
        return Plda(self.mean, self.transform / np.sqrt(scale)[:, None], self.psi / scale)
