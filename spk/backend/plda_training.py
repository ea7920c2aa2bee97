"""PLDA by expectation-maximisation: which covariances of speakers and of utterances made these embeddings?"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from spk.backend.plda import Plda
from spk.backend.speaker_statistics import SpeakerStatistics
from spk.errors import InputError

log = logging.getLogger(__name__)


def train_plda(statistics: SpeakerStatistics, num_iters: int = 10) -> Plda:
    """The model of Ioffe (ECCV 2006) with full covariances, by Kaldi's updates (ivector-compute-plda), from W = B = I.

    mu is the mean of the speakers' means. Per iteration, with n utterances of mean m of a speaker, S speakers and N
    utterances in all, the speaker's posterior is N(w, M), and
        M = (B^-1 + n W^-1)^-1      w = M n W^-1 (m - mu)
        B = sum (M + w w') / S      W = [scatter + sum n (M + (m - mu - w)(m - mu - w)')] / N
    In the basis where W = I and B = diag(psi), M is diagonal: psi / (1 + n psi), whatever n. So all is kept in this
    basis, which costs one eigenvalue problem per iteration and no inverse of a speaker's own. There
        r = m - mu - w = (m - mu) / (1 + n psi)      w = n psi r
    Raises: InputError where the covariances cannot be told.
    """
    refuse_too_little(statistics)
    mean = statistics.means.mean(axis=0)
    counts, means, num_speakers = condensed(statistics.counts, statistics.means - mean)
    roots, scatter = np.sqrt(counts), statistics.scatter
    transform, psi = np.eye(statistics.dim), np.ones(statistics.dim)
    for _ in range(num_iters):
        shrinkage = 1 / (1 + counts * psi)  # [S, D]: of M, the diagonals over psi; of r, over m - mu
        weighted = means * shrinkage
        weighted *= roots  # products of an array with itself cost half of others
        within = scatter + weighted.T @ weighted + np.diag((num_speakers * counts)[:, 0] @ shrinkage * psi)
        weighted *= roots
        weighted *= psi  # w
        between = (weighted.T @ weighted + np.diag(num_speakers[:, 0] @ shrinkage * psi)) / statistics.num_speakers
        step = Plda.from_covariances(mean, within / statistics.num_utterances, between)
        psi, transform = step.psi, step.transform @ transform
        means, scatter = means @ step.transform.T, step.transform @ scatter @ step.transform.T
    return Plda(mean, transform, psi)


def condensed(
    counts: NDArray[np.int64], means: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of counts [S] and means [S, D]: counts [R, 1], means [R, D], and for how many speakers each row stands [R, 1].

    Speakers of as many utterances come in by their sum of m m' alone; of more than D, D rows have the same sum.
    """
    rows = []
    for count in np.unique(counts):
        own = means[counts == count]
        kept = np.linalg.qr(own, mode="r") if len(own) > means.shape[1] else own
        rows.append((np.full((len(kept), 1), float(count)), kept, np.full((len(kept), 1), len(own) / len(kept))))
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))


def refuse_single_utterances(statistics: SpeakerStatistics) -> None:
    """Raise InputError unless there are 2 speakers, and one with 2 utterances."""
    if statistics.num_speakers < 2:
        raise InputError(f"PLDA needs at least 2 speakers; here is {statistics.num_speakers}")
    if statistics.num_utterances == statistics.num_speakers:
        raise InputError(
            f"every one of the {statistics.num_speakers} speakers has one utterance, which does not tell how a "
            "speaker varies; give speakers with several"
        )


def refuse_too_little(statistics: SpeakerStatistics) -> None:
    """Raise InputError where there is too little for two covariances; warn where there are few speakers."""
    refuse_single_utterances(statistics)
    num_utterances, num_speakers, dim = statistics.num_utterances, statistics.num_speakers, statistics.dim
    given = f"{num_utterances} utterances of {num_speakers} speakers"
    spare = num_utterances - num_speakers
    if spare < dim:
        raise InputError(
            f"{given} are too few for PLDA in {dim} dimensions, which needs {dim} utterances more than speakers; give "
            f"more, or reduce the dimensions (--lda-dim {min(spare, num_speakers - 1)} or less)"
        )
    if statistics.within_is_singular():
        raise InputError(
            f"the within-speaker covariance of {dim} dimensions is singular ({given}): some dimension is constant or "
            "follows from others; reduce the dimensions (--lda-dim), or give more and different utterances"
        )
    if num_speakers <= dim:
        log.warning(
            "warning: %d speakers differ in at most %d of the %d directions; --lda-dim %d or less is better founded",
            num_speakers,
            num_speakers - 1,
            dim,
            num_speakers - 1,
        )
