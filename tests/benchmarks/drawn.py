"""Drawn data with the sizes and names of real corpora that takes seconds to make: lists, arks, embeddings, trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from kaldiio.matio import write_array

RATE = 16000
# VoxCeleb2's development part, and VoxCeleb1-E: utterances, speakers, trials.
VOXCELEB2_UTTERANCES, VOXCELEB2_SPEAKERS = 1_092_009, 5_994
VOXCELEB1_UTTERANCES, VOXCELEB1_E_TRIALS = 145_160, 581_480
RECORDS = 64  # different feature matrices and recordings: of what is drawn, as many as keep the disk small
VIDEO_SIZE = 7  # utterances of a video


def speakers_of(num_utterances: int) -> int:
    """As many speakers as VoxCeleb2 has for so many utterances, but 20 or more."""
    return max(20, round(num_utterances * VOXCELEB2_SPEAKERS / VOXCELEB2_UTTERANCES))


def names(num_utterances: int, num_speakers: int | None = None, prefix: str = "id") -> tuple[list[str], list[str]]:
    """Sorted utterances [U] such as id00012-00034081723-00001, and their speakers [U]; all speakers have some."""
    num_speakers = num_speakers or speakers_of(num_utterances)
    utterances, speakers = [], []
    for speaker in range(num_speakers):
        first, last = (position * num_utterances // num_speakers for position in (speaker, speaker + 1))
        for number in range(last - first):
            video = number // VIDEO_SIZE
            mixed = (speaker * 2_654_435_761 + video * 40_503) % 10**7
            utterances.append(f"{prefix}{speaker:05d}-{video:04d}{mixed:07d}-{number % VIDEO_SIZE:05d}")
            speakers.append(f"{prefix}{speaker:05d}")
    return utterances, speakers


def write_lines(path: Path, lines: Iterator[str] | Sequence[str]) -> None:
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)


def write_data_dir(
    folder: Path,
    num_utterances: int,
    num_speakers: int | None = None,
    *,
    num_frames: int = 0,
    recordings: Sequence[Path] = (),
) -> list[str]:
    """A data directory: utt2spk, spk2utt, wav.scp, utt2dur, and with `num_frames` features and their tables.

    Its utterances share a few feature matrices, and the `recordings`, if any. Returns the utterances.
    """
    folder.mkdir(parents=True, exist_ok=True)
    utterances, speakers = names(num_utterances, num_speakers)
    pairs = list(zip(utterances, speakers, strict=True))
    write_lines(folder / "utt2spk", (f"{utterance} {speaker}" for utterance, speaker in pairs))
    groups: dict[str, list[str]] = {}
    for utterance, speaker in pairs:
        groups.setdefault(speaker, []).append(utterance)
    write_lines(folder / "spk2utt", (f"{speaker} {' '.join(group)}" for speaker, group in groups.items()))
    places = [str(path) for path in recordings]
    write_lines(
        folder / "wav.scp",
        (
            f"{utterance} {places[row % len(places)] if places else place_of(utterance)}"
            for row, utterance in enumerate(utterances)
        ),
    )
    frames = num_frames or 400
    write_lines(folder / "utt2dur", (f"{utterance} {(frames + 2) / 100:.2f}" for utterance in utterances))
    if num_frames:
        offsets = write_features(folder / "feats.ark", num_frames)
        ark = (folder / "feats.ark").resolve()
        rows = enumerate(utterances)
        write_lines(folder / "feats.scp", (f"{utterance} {ark}:{offsets[row % RECORDS]}" for row, utterance in rows))
        write_lines(folder / "utt2num_frames", (f"{utterance} {num_frames}" for utterance in utterances))
        (folder / "feats.yaml").write_text("name: fbank40\n")
        (folder / "vad.ark").write_bytes(b"all \0B" + vector_record(np.ones(num_frames, np.float32)))
        write_lines(folder / "vad.scp", (f"{utterance} {folder.resolve() / 'vad.ark'}:4" for utterance in utterances))
    return utterances


def place_of(utterance: str) -> str:
    """Where VoxCeleb2 keeps it."""
    return f"/corpora/voxceleb2/dev/aac/{'/'.join(utterance.split('-'))}.wav"


def write_features(path: Path, num_frames: int, num_bins: int = 40) -> list[int]:
    """An ark of matrices in 8 bits; the bytes where they begin."""
    random, offsets = np.random.default_rng(0), []
    with path.open("wb") as file:
        for record in range(RECORDS):
            file.write(f"record{record} ".encode())
            offsets.append(file.tell())
            write_array(file, random.normal(size=(num_frames, num_bins)).astype(np.float32), compression_method=2)
    return offsets


def write_recordings(folder: Path, seconds: float, suffix: str = "flac") -> list[Path]:
    """Noise that swells and fades, in files of 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    random, paths = np.random.default_rng(0), []
    swell = np.sin(np.arange(round(seconds * RATE)) / 800)
    for number in range(RECORDS):
        paths.append(folder / f"{number:02d}.{suffix}")
        soundfile.write(paths[-1], 0.1 * swell * random.normal(size=len(swell)), RATE)
    return paths


def vector_record(vector: np.ndarray) -> bytes:
    """Float32 as Kaldi writes it, behind the two bytes that say that it is binary."""
    return b"FV \x04" + np.int32(len(vector)).tobytes() + vector.tobytes()


def write_embeddings(folder: Path, utterances: Sequence[str], dim: int) -> None:
    """embedding.ark and .scp of float32 vectors: a speaker's own and twice as much noise; in blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    ark, random = (folder / "embedding.ark").resolve(), np.random.default_rng(1)
    position = 0
    with ark.open("wb") as values, (folder / "embedding.scp").open("w") as places:
        for first in range(0, len(utterances), 50_000):
            block = utterances[first : first + 50_000]
            speakers = np.array([int(name[2:7]) for name in block], dtype=np.uint32)
            own = np.random.default_rng(2).standard_normal((997, dim), dtype=np.float32)
            own = own[speakers % 997] + own[speakers // 997 % 991][:, ::-1]
            vectors = own + 2 * random.standard_normal((len(block), dim), dtype=np.float32)
            for name, vector in zip(block, vectors, strict=True):
                places.write(f"{name} {ark}:{position + len(name) + 1}\n")
                position += values.write(f"{name} \0B".encode() + vector_record(vector))


def write_trials(path: Path, utterances: Sequence[str], num_trials: int) -> None:
    """Half target trials: drawn pairs, of utterances sorted by speaker."""
    random = np.random.default_rng(3)
    speakers = [name[:7] for name in utterances]
    enroll = random.integers(len(utterances), size=num_trials)
    near = np.minimum(np.maximum(enroll + random.integers(-5, 6, size=num_trials), 0), len(utterances) - 1)
    far = random.integers(len(utterances), size=num_trials)
    test = np.where(np.arange(num_trials) % 2 == 0, near, far)
    test = np.where(test == enroll, (enroll + 1) % len(utterances), test)
    kinds = ("nontarget", "target")
    write_lines(
        path,
        (
            f"{utterances[one]} {utterances[other]} {kinds[speakers[one] == speakers[other]]}"
            for one, other in zip(enroll.tolist(), test.tolist(), strict=True)
        ),
    )
