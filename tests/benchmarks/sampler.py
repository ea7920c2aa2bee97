"""Seconds and memory to plan a training epoch of VoxCeleb2's size: 1.1 M utterances of 6,000 speakers.

Usage: python3 tests/benchmarks/sampler.py
Prints one line for each way of making batches, and the ratio to a plain shuffle of the utterances.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from spk.data.sampler import SpeakerSampler

UTTERANCES, SPEAKERS = 1_100_000, 6_000


def main() -> None:
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
        print(
            f"batch {size} = {size // per_speaker} x {per_speaker}, at most {most} a speaker: {batches} batches, "
            f"{seconds:.2f} s, {seconds / shuffle:.0f} times a shuffle"
        )
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
