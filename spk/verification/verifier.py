"""A trained system that answers: are these two recordings of one speaker? By the score of its recipe's table."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spk.backend import BACKENDS
from spk.backend.calibration import CALIBRATED, Calibration, read_calibration
from spk.backend.lda import LinearTransform, read_transform
from spk.backend.length import unit_length
from spk.backend.plda_scoring import read_plda_backend
from spk.backend.registry import Backend
from spk.data.files import file_digest
from spk.embed.waveforms import WaveformEmbedder
from spk.errors import InputError
from spk.metrics.act_dcf import bayes_threshold
from spk.verification.bundle import unpacked
from spk.verification.recordings import LONGEST_PART, Recording, is_silent, open_recording

# What a back-end is called in a recipe's --backends -> the name of the class, and the folder of EXP that it needs.
TRAINED = {"plda": ("plda", "backend_plda"), "lda_cosine": ("cosine", "backend_lda")}
UNTRAINED = ("cosine", "euclidean")
BACKEND_NAMES = ("own", *UNTRAINED, *TRAINED)
# Rows of a recipe's table that are no back-ends.
COHORT_ROWS = ("_z", "_t", "_s", "_as")

Input = str | os.PathLike[str] | tuple[Tensor | np.ndarray, int]  # a file, or (wave, its rate)


def refuse(path: str, error: InputError) -> None:
    """What becomes of a recording that cannot be used, where nobody says otherwise."""
    raise error


@dataclass(frozen=True)
class Verdict:
    """What is said of two recordings, or of a speaker and a recording.

    `llr`: natural-log likelihood ratio that one speaker spoke both; None where the score is not calibrated.
    `same_speaker`: the decision, by a threshold of llr or score; both None where nobody can say.
    """

    score: float
    llr: float | None = None
    threshold: float | None = None
    same_speaker: bool | None = None


@dataclass(frozen=True)
class Decision:
    """When to say 'the same speaker': a threshold of the score; without one, for calibrated scores, that of a prior.

    With the prior p_target and equal costs of both errors, deciding so costs least (bayes_threshold).
    """

    p_target: float = 0.01
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.p_target < 1:
            raise InputError(f"--p-target: {self.p_target:g} is out of range; allowed: above 0 and below 1")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise InputError(f"--threshold: {self.threshold} is no number that a score can be compared with")

    def of(self, score: float, calibration: Calibration | None) -> Verdict:
        llr = None if calibration is None else float(calibration(np.array([[score]]))[0])
        if self.threshold is not None:
            return Verdict(score, llr, self.threshold, score >= self.threshold)
        if llr is None:
            return Verdict(score)
        threshold = bayes_threshold(self.p_target)
        return Verdict(score, llr, threshold, llr >= threshold)


class Verifier:
    """`verifier = Verifier.load("exp/x")`; `verifier.verify("a.wav", "b.flac").score`.

    `name`: of the back-end, as tables have it. `calibration`: None, and then `not_calibrated` says why.
    `digest`: SHA-256 of the network's file, by which a gallery knows its system.
    """

    def __init__(
        self,
        embedder: WaveformEmbedder,
        backend: Backend,
        transform: LinearTransform | None = None,
        calibration: Calibration | None = None,
        *,
        name: str = "",
        not_calibrated: str = "",
        digest: str = "",
    ) -> None:
        self.embedder, self.backend, self.transform, self.calibration = embedder, backend, transform, calibration
        self.name, self.not_calibrated, self.digest = name or backend.label, not_calibrated, digest
        self.longest_part = LONGEST_PART

    @classmethod
    def load(cls, model: str | os.PathLike[str], backend: str = "own", device: torch.device | str = "cpu") -> Verifier:
        """An experiment directory, or a file of `spk export`, with a back-end out of BACKEND_NAMES.

        `own` is what its config names. Its calibration is EXP/calibration, where that is of this back-end's scores.
        Raises: InputError for what is missing or damaged.
        """
        with unpacked(model) as exp:
            embedder = WaveformEmbedder.load(exp, device, as_archived=True)
            scoring, transform, name = load_backend(exp, backend, embedder)
            calibration, reason = load_calibration(exp, name, model)
            digest = file_digest(exp / "final.pt")
        return cls(embedder, scoring, transform, calibration, name=name, not_calibrated=reason, digest=digest)

    @property
    def sample_rate(self) -> int:
        """In Hz, of what the network hears; recordings have it or a higher one."""
        return self.embedder.sample_rate

    def embed(self, wave: Tensor | np.ndarray | Sequence[Tensor | np.ndarray], rate: int) -> NDArray[np.float32]:
        """A wave, [samples] in ±1 at `rate` Hz -> [D]; a list of them -> [N, D]. [K, D] and [N, K, D] with K crops."""
        is_one = isinstance(wave, (Tensor, np.ndarray))
        embeddings = self.embedder([wave] if is_one else wave, rate)
        return embeddings[0] if is_one else embeddings

    def embed_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        refused: Callable[[str, InputError], object] = refuse,
    ) -> Iterator[tuple[Recording, NDArray[np.float32]]]:
        """Each recording and its crop or part embeddings [K, D], in the order of `paths`.

        As many at a time as are analysed together, long ones part by part: memory is that of `longest_part`, however
        many and long they are. What cannot be used is left out and given to `refused`, with the InputError that names
        it, which is raised where there is no such function.
        """
        features = self.embedder.features
        group: list[tuple[Recording, NDArray[np.float32]]] = []
        for path in map(os.fspath, paths):
            try:
                recording = open_recording(path, self.sample_rate, features.min_samples, self.longest_part)
                if not recording.is_long:
                    group.extend((recording, wave) for wave in recording.waves())
            except InputError as error:
                refused(path, error)
                continue
            if recording.is_long or sum(len(wave) for _, wave in group) >= features.samples_at_once:
                yield from self.embed_together(group, refused)
                group = []
            if recording.is_long:
                yield from self.embed_long(recording, refused)
        yield from self.embed_together(group, refused)

    def embed_together(
        self, group: list[tuple[Recording, NDArray[np.float32]]], refused: Callable[[str, InputError], object]
    ) -> Iterator[tuple[Recording, NDArray[np.float32]]]:
        """Of recordings that have been read; one by one where one of them cannot be embedded."""
        if not group:
            return
        recordings, waves = zip(*group, strict=True)
        try:
            embeddings = self.embedder(waves, self.sample_rate, [recording.path for recording in recordings])
        except InputError as error:
            if len(group) == 1:
                refused(recordings[0].path, error)
                return
            for one in group:
                yield from self.embed_together([one], refused)
            return
        for recording, embedding in zip(recordings, embeddings, strict=True):
            yield recording, np.atleast_2d(embedding)

    def embed_long(
        self, recording: Recording, refused: Callable[[str, InputError], object]
    ) -> Iterator[tuple[Recording, NDArray[np.float32]]]:
        """Of parts, the embedding of each. Crops are taken over all of it, and only these are read."""
        try:
            if self.embedder.evaluation.crops:
                next(recording.waves())  # raises where nobody is to be heard
                crops = self.embedder.crops_of_file(recording.path, recording.seconds)
            else:
                crops = np.concatenate(
                    [self.embedder([wave], self.sample_rate, [recording.path]) for wave in recording.waves()]
                )
        except InputError as error:
            refused(recording.path, error)
            return
        yield recording, crops

    def one_embedding(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """What steps/extract_embeddings writes of a recording: [D], or [K, D] with K crops.

        Of a long recording the mean of its parts' embeddings, each made of length 1.
        """
        if self.embedder.evaluation.crops:
            return crops
        return crops[0] if len(crops) == 1 else unit_length(crops).mean(axis=0)

    def represent(self, recordings: Sequence[NDArray[np.float32]]) -> NDArray[np.floating]:
        """Crop embeddings [K, D] of one speaker's recordings -> what the back-end keeps of that speaker, [...].

        The mean over recordings, as of a recipe's enrolled models. Parts of a long recording count as one recording.
        """
        kept = []
        with np.errstate(divide="ignore", invalid="ignore"):
            for crops in recordings:
                one = self.backend.represent((crops if self.transform is None else self.transform(crops))[None])[0]
                if one.ndim == 2 and not self.embedder.evaluation.crops:
                    one = one.mean(axis=0, keepdims=True)  # a back-end that keeps crops apart, and parts are no crops
                kept.append(one)
        return np.mean(kept, axis=0, dtype=np.float64).astype(kept[0].dtype)

    def scores(
        self,
        speakers: NDArray[np.floating],
        test: NDArray[np.floating],
        num_recordings: Sequence[int] | NDArray[np.int64],
    ) -> NDArray[np.floating]:
        """[S] of speakers [S, ...], each of so many recordings [S], against one recording [...], all represented."""
        counts = np.asarray(num_recordings, dtype=np.int64)
        rows = np.arange(len(speakers))
        scores = self.backend.score(speakers, test[None], rows, np.zeros_like(rows), counts)
        if not np.isfinite(scores).all():
            raise InputError("a score is not finite: an embedding has length 0 and no direction")
        return scores

    def verify(self, enroll: Input, test: Input, decision: Decision | None = None) -> Verdict:
        """Two recordings, files or (wave, rate): the score of the recipe's table, and what it says."""
        enrolled, tested = (self.represent([self.crops_of(side)]) for side in (enroll, test))
        score = float(self.scores(enrolled[None], tested, [1])[0])
        return (decision or Decision()).of(score, self.calibration)

    def crops_of(self, recording: Input) -> NDArray[np.float32]:
        if isinstance(recording, tuple):
            if is_silent(torch.as_tensor(recording[0]).detach().cpu().numpy()):
                raise InputError("a wave is silent; there is nobody to hear")
            return np.atleast_2d(self.embed(*recording))
        return next(self.embed_files([recording]))[1]


def load_backend(exp: Path, name: str, embedder: WaveformEmbedder) -> tuple[Backend, LinearTransform | None, str]:
    """A back-end, what to apply to embeddings before it, and its name in tables."""
    if name not in BACKEND_NAMES:
        raise InputError(f"--backend: {why_no_backend(name)}")
    section = embedder.evaluation.backend
    if name != "own" and name != section["name"]:
        section = {"name": TRAINED[name][0] if name in TRAINED else name}
    section = BACKENDS.check("--backend", section)
    transform, given = None, {}
    try:
        if section["name"] == "plda":
            transform, given = read_plda_backend(exp / TRAINED["plda"][1])
        elif name == "lda_cosine":
            transform = read_transform(exp / TRAINED["lda_cosine"][1])
    except InputError as error:
        raise InputError(f"--backend {name}: {error}") from None
    backend = BACKENDS.build("--backend", section, **given)
    return backend, transform, f"lda_{backend.label}" if name == "lda_cosine" else backend.label


def why_no_backend(name: str) -> str:
    """Why a name is none of BACKEND_NAMES, though it may stand in a recipe's table."""
    for norm in COHORT_ROWS:
        if (base := name.removesuffix(norm)) in BACKEND_NAMES and base != name:
            return (
                f"{name}: is normalised by the scores against a cohort, the training speakers, whom a trained system "
                f"does not bring along; take {base}"
            )
    if (base := name.removeprefix(CALIBRATED)) in BACKEND_NAMES and base != name:
        return f"{name}: take {base}, whose calibration is used where there is one, and gives the llr"
    return f"no back-end is named {name!r}; known: {', '.join(BACKEND_NAMES)}"


def load_calibration(exp: Path, name: str, model: str | os.PathLike[str]) -> tuple[Calibration | None, str]:
    """EXP/calibration where it was trained on the scores of this back-end alone; else why there is none."""
    folder = exp / "calibration"
    if not (folder / "calibration.json").exists():
        return None, f"{model} has no calibration (a recipe with calibrated_own in --backends trains one)"
    calibration, description = read_calibration(folder)
    if description["backends"] != [name] or description["quality"]:
        of = "+".join([*description["backends"], *description["quality"]])
        return None, f"the calibration of {model} is of {of}, not of {name}"
    return calibration, ""
