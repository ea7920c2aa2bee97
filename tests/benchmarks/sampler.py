"""Seconds and memory to plan a training epoch of VoxCeleb2's size: 1.1 M utterances of 6,000 speakers.

Usage: python3 tests/benchmarks/sampler.py
A row for each way of making batches, and the ratio to a plain shuffle of the utterances; then how often ten epochs use
each utterance of corpora with about as many speakers and utterances as VoxCeleb1 and 2.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
from measure import Table, parser, report

from spk.data.sampler import SpeakerSampler

UTTERANCES, SPEAKERS = 1_100_000, 6_000


def main() -> None:
    options = parser(__doc__, rounds=1).parse_args()
    table = Table(
        f"Plan of an epoch: {UTTERANCES:,} utterances of {SPEAKERS:,} speakers",
        ["batch", "speakers", "utterances each", "at most of a speaker", "batches", "seconds", "times a shuffle"],
    )
    random = np.random.default_rng(0)
    speakers = np.sort(np.concatenate([np.arange(SPEAKERS), random.integers(0, SPEAKERS, UTTERANCES - SPEAKERS)]))
    began = time.perf_counter()
    random.permutation(UTTERANCES)
    shuffle = time.perf_counter() - began
    for size, per_speaker, most in [(200, 1, 100), (200, 1, None), (64, 1, None), (400, 2, None)]:
        sampler = SpeakerSampler(
            speakers,
            num_speakers_per_batch=size // per_speaker,
            utterances_per_speaker=per_speaker,
            max_utterances_per_speaker=most,
        )
        began = time.perf_counter()
        next(sampler)
        seconds = time.perf_counter() - began
        batches = sampler.batches_per_epoch
        table.add(size, size // per_speaker, per_speaker, most, batches, seconds, seconds / shuffle)
    for corpus, counts in corpora().items():
        for per_speaker, most in itertools.product((1, 2, 5), (None, 100)):
            print_uses(corpus, counts, per_speaker, most)
    report(options, table)


def corpora() -> dict[str, np.ndarray]:
    """Utterances of each speaker: the published numbers of speakers, about the published numbers of utterances."""
    random = np.random.default_rng(1)
    return {
        "VoxCeleb1-like": np.clip(np.rint(45 + random.exponential(85, 1211)), 45, 250).astype(int),
        "VoxCeleb2-like": np.clip(np.rint(random.gamma(4, 45.5, 5994)), 20, 440).astype(int),
    }


def print_uses(corpus: str, counts: np.ndarray, per_speaker: int, most: int | None, size: int = 200) -> None:
    """Ten epochs: their lengths, the share of utterances with each number of uses, and what is left of what is due."""
    speakers = np.repeat(np.arange(len(counts)), counts)
    sampler = SpeakerSampler(
        speakers,
        num_speakers_per_batch=size // per_speaker,
        utterances_per_speaker=per_speaker,
        max_utterances_per_speaker=most,
    )
    used, lengths = np.zeros(len(speakers), dtype=int), np.zeros(10, dtype=int)
    for batch in itertools.takewhile(lambda batch: batch.epoch < 10, sampler):
        np.add.at(used, batch.utterances, 1)
        lengths[batch.epoch] += 1
    first, own = np.cumsum(counts) - counts, np.add.reduceat(used, np.cumsum(counts) - counts)
    spread = np.maximum.reduceat(used, first) - np.minimum.reduceat(used, first)
    left = 10 * np.minimum(counts, most or counts.max()) - own
    shares = ", ".join(f"{uses}: {np.mean(used == uses):.3%}" for uses in np.unique(used))
    print(
        f"{corpus}, {len(speakers)} of {len(counts)}, {size // per_speaker} x {per_speaker}, at most {most}: epochs of "
        f"{lengths.min()}-{lengths.max()} batches, {lengths.sum()} in all; uses {used.min()}-{used.max()}, within a "
        f"speaker {spread.max()} apart at most ({shares}); not used of ten shares: {left.sum()} of "
        f"{np.count_nonzero(left)} speakers",
        flush=True,
    )


if __name__ == "__main__":
    main()
