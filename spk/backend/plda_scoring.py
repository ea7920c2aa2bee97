"""PLDA scoring: how much likelier two utterances are if one speaker spoke both."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spk.backend.cosine import dot_products
from spk.backend.lda import LinearTransform, read_transform
from spk.backend.length import length_sqrt_dim
from spk.backend.plda import Plda
from spk.backend.plda_files import read_plda
from spk.backend.registry import BACKENDS, PAIRS_PER_BLOCK, blocks_of_rows
from spk.errors import InputError

# A block and what is worked out of it stay in the processor's cache at this size.
VALUES_PER_BLOCK = 1 << 16


@BACKENDS.register("plda")
class PldaScoring:
    """log p(test | speaker of enroll) / p(test), in nats; above 0 favours the same speaker.

    Ioffe, Probabilistic Linear Discriminant Analysis, ECCV 2006, the equation between (4) and (5); as Kaldi's
    ivector-plda-scoring has it. After Plda.project, with e the mean of n utterances and t one utterance, per dimension
        p(t | e) = N(g e, v)    g = n psi / (n psi + 1),  v = 1 + psi / (n psi + 1)        p(t) = N(0, u),  u = 1 + psi
        score = sum [ -log(v / u) - g^2 e^2 / v ] / 2  +  sum (g e / v) t  +  sum (1 / u - 1 / v) t^2 / 2
    where the first sum is of the enrolled side alone, the second a dot product and the last of n and the test alone.
    With n = 1 both sides are alike, g^2 / v = 1 / v - 1 / u: an utterance that enrols and is tested is projected once.
    All in float64. The model is trained on embeddings of a finished network (steps/train_plda), so that a system which
    is to be evaluated by it is validated by cosine while it trains.
    """

    label = "plda"

    def __init__(
        self,
        plda: Plda,
        scale_lengths: bool = True,
        normalize_length: bool = True,
        simple_length_normalization: bool = False,
    ) -> None:
        """`plda` and `scale_lengths`, whether to scale vectors to length sqrt(D) first, are of the trained back-end.

        `normalize_length` and `simple_length_normalization` are those of Kaldi's ivector-plda-scoring: whether to scale
        vectors within the model, and whether to length sqrt(D) rather than by their likelihood (Plda.project).
        """
        self.plda = plda
        self.scale_lengths = scale_lengths
        self.normalize_length = normalize_length
        self.simple = simple_length_normalization

    def represent(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, K, D] -> mean of the crop embeddings, [n, D]."""
        if crops.shape[2] != self.plda.dim:
            raise InputError(
                f"embeddings have {crops.shape[2]} dimensions, but the PLDA was trained on {self.plda.dim}; train it "
                "on embeddings of this system"
            )
        return crops.mean(axis=1)

    def score(
        self,
        enroll: NDArray[np.float32],
        test: NDArray[np.float32],
        enroll_index: NDArray[np.int64],
        test_index: NDArray[np.int64],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        if num_utterances is None and enroll is test:
            table, terms = self.either_side(test)
            scores = dot_products(table, table, enroll_index, test_index)
            scores += terms[enroll_index]
            scores += terms[test_index]
            return scores
        counts = utterance_counts(enroll, num_utterances)
        directions, offsets = self.enroll(enroll, counts)
        tests = self.test(test)
        scores = dot_products(directions, tests, enroll_index, test_index)
        scores += offsets[enroll_index]
        # Trials of models with one number of utterances together: there the last sum is of the test utterance alone.
        trial_counts = counts[enroll_index]
        order = np.argsort(trial_counts, kind="stable")
        distinct, starts = np.unique(trial_counts[order], return_index=True)
        for count, lines in zip(distinct, np.split(order, starts[1:]), strict=True):
            tested, place = np.unique(test_index[lines], return_inverse=True)
            scores[lines] += self.test_terms(tests, tested, count)[place]
        return scores

    def all_pairs(
        self,
        enroll: NDArray[np.float32],
        test: NDArray[np.float32],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> Iterator[NDArray[np.float64]]:
        counts = utterance_counts(enroll, num_utterances)
        tests = self.test(test)
        every_test = np.arange(len(tests))
        terms_of = {}
        for rows in blocks_of_rows(len(enroll), len(test), PAIRS_PER_BLOCK):
            directions, offsets = self.enroll(enroll[rows], counts[rows])
            scores = directions @ tests.T
            scores += offsets[:, None]
            distinct, place = np.unique(counts[rows], return_inverse=True)
            # Kept from block to block are only the terms that this block used, too.
            terms_of = {
                count: terms_of[count] if count in terms_of else self.test_terms(tests, every_test, count)
                for count in distinct.tolist()
            }
            if len(distinct) == 1:
                scores += terms_of[distinct[0]]
            else:
                scores += np.stack(list(terms_of.values()))[place]
            yield scores

    def either_side(self, vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of utterances [U, D] that stand alone on either side: rows [U, D] and terms [U].

        The score of two utterances is the dot product of their rows and the sum of their terms.
        """
        psi = self.plda.psi
        gain, variance = predictive(psi, 1)
        weights, scale = 0.5 * (1 / (1 + psi) - 1 / variance), np.sqrt(gain / variance)
        offset = -0.25 * np.log(variance / (1 + psi)).sum()  # half of the score's constant
        table, terms = np.empty(vectors.shape), np.empty(len(vectors))
        for rows in blocks_of_rows(*vectors.shape, VALUES_PER_BLOCK):
            projected = self.project(vectors[rows], np.ones(1, np.int64))
            terms[rows] = np.square(projected) @ weights + offset
            np.multiply(projected, scale, out=table[rows])
        return table, terms

    def enroll(
        self, vectors: NDArray[np.floating], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of vectors [E, D], means of `counts` [E] utterances: g e / v [E, D], and the first sum of the score [E]."""
        psi = self.plda.psi
        directions, offsets = np.empty(vectors.shape), np.empty(len(vectors))
        for rows in blocks_of_rows(*vectors.shape, VALUES_PER_BLOCK):
            projected = self.project(vectors[rows], counts[rows])
            gain, variance = predictive(psi, counts[rows, None])
            directions[rows] = gain * projected / variance
            offsets[rows] = -0.5 * (np.log(variance / (1 + psi)) + gain * projected * directions[rows]).sum(axis=1)
        return directions, offsets

    def test(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Vectors [T, D] of one utterance each, in the space of the model."""
        projected = np.empty(vectors.shape)
        for rows in blocks_of_rows(*vectors.shape, VALUES_PER_BLOCK):
            projected[rows] = self.project(vectors[rows], np.ones(1, np.int64))
        return projected

    def test_terms(self, tests: NDArray[np.float64], rows: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """The last sum of the score for tests[rows], against models of `count` utterances: [len(rows)]."""
        weights = 0.5 * (1 / (1 + self.plda.psi) - 1 / predictive(self.plda.psi, count)[1])
        terms = np.empty(len(rows))
        for block in blocks_of_rows(len(rows), tests.shape[1], VALUES_PER_BLOCK):
            terms[block] = np.square(tests[rows[block]]) @ weights
        return terms

    def project(self, vectors: NDArray[np.floating], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Vectors [N, D] in the space of the model, with all length normalisations; `counts` [N] or [1]."""
        vectors = vectors.astype(np.float64)
        if self.scale_lengths:
            with np.errstate(divide="ignore", invalid="ignore"):  # a vector of length 0 becomes NaN
                vectors = length_sqrt_dim(vectors)
        return self.plda.project(vectors, counts, self.normalize_length, self.simple)


def predictive(psi: NDArray[np.float64], counts: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain g and variance v, [..., D], of what is known of a speaker after `counts` [..., 1] utterances."""
    denominator = counts * psi + 1
    return counts * psi / denominator, 1 + psi / denominator


def utterance_counts(enroll: NDArray[np.floating], num_utterances: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.ones(len(enroll), np.int64) if num_utterances is None else num_utterances


def read_plda_backend(directory: str | os.PathLike[str]) -> tuple[LinearTransform | None, dict[str, Any]]:
    """What a directory of steps/train_plda, or Kaldi's, has: what comes before the model, and what BACKENDS is given.

    Its plda; mean.vec and transform.mat, or mean.vec alone, or neither; and `length_normalize` of its plda.json (true
    where there is none, as Kaldi's recipes have it). Raises: InputError for a missing or damaged file.
    """
    folder = Path(directory)
    if not (folder / "plda").is_file():
        raise InputError(f"{folder / 'plda'}: no such file; train the back-end first (steps/train_plda)")
    plda = read_plda(folder / "plda")
    has_transform = any((folder / name).exists() for name in ("mean.vec", "transform.mat"))
    transform = read_transform(folder, matrix_optional=True) if has_transform else None
    return transform, {"plda": plda, "scale_lengths": scales_lengths(folder)}


def scales_lengths(folder: Path) -> bool:
    """`length_normalize` of plda.json."""
    path = folder / "plda.json"
    if not path.is_file():
        return True
    try:
        value = json.loads(path.read_text(encoding="utf-8"))["length_normalize"]
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, bool):
        raise InputError(f"{path}: has no length_normalize, true or false; train the back-end again (steps/train_plda)")
    return value
