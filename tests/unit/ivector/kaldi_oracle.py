"""What Kaldi's i-vector programs made of 40 utterances: frames, posteriors of 32 Gaussians, i-vectors."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import torch

from spk.ivector.posteriors import Posteriors

FILES = Path(__file__).resolve().parents[2] / "data" / "kaldi_ivector"


def kaldi_ivectors() -> tuple[list[str], np.ndarray]:
    lines = [line.split() for line in (FILES / "ivectors.txt").read_text().splitlines()]
    return [line[0] for line in lines], np.array([line[2:-1] for line in lines], np.float64)


def kaldi_frames(utterances: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of all utterances [T, D], and how many each has."""
    frames = dict(kaldiio.load_ark(str(FILES / "feats.ark")))
    num_frames = [len(frames[utterance]) for utterance in utterances]
    return torch.from_numpy(np.concatenate([frames[utterance] for utterance in utterances])), torch.tensor(num_frames)


def kaldi_posteriors(utterances: list[str]) -> Posteriors:
    """Of all frames, padded with zeros to as many Gaussians as the frame with the most has."""
    lines = dict(line.split(maxsplit=1) for line in (FILES / "posteriors.txt").read_text().splitlines())
    text = [frame for utterance in utterances for frame in lines[utterance].replace("[", "").strip(" ]").split("]")]
    frames = [np.array(frame.split(), np.float64).reshape(-1, 2) for frame in text]
    padded = np.zeros((len(frames), max(map(len, frames)), 2))
    for row, frame in zip(padded, frames, strict=True):
        row[: len(frame)] = frame
    return Posteriors(torch.from_numpy(padded[..., 0]).long(), torch.from_numpy(padded[..., 1]).float())
