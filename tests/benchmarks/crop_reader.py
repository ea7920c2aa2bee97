"""Crops a second: FeatureReader against reading whole matrices with kaldiio and cutting the crop out.

Usage: python3 tests/benchmarks/crop_reader.py [--utterances 400] [--frames 800] [--dim 40] [--crop 200] [--batch 256]
Both read the same random batches from the same arks on one thread, by turns; the files are in the page cache. Prints
for each format the crops a second of both (median over rounds) and their ratio.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kaldiio
import numpy as np

from spk.data.ark import FeatureReader
from spk.data.ark_format import encode_matrix

METHODS = {"CM": 2, "CM3": 5, "CM2": 3, "FM": 0}


def write(folder: Path, method: int, options: argparse.Namespace) -> Path:
    random = np.random.default_rng(method)
    scp = folder / f"{method}.scp"
    with (folder / f"{method}.ark").open("wb") as ark, scp.open("w") as lines:
        for number in range(options.utterances):
            ark.write(f"utterance-{number:05d} ".encode())
            lines.write(f"utterance-{number:05d} {ark.name}:{ark.tell()}\n")
            ark.write(encode_matrix(random.normal(size=(options.frames, options.dim)), method))
    return scp


def seconds(read: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    crops = read()
    return time.perf_counter() - began, crops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (
        ("utterances", 400),
        ("frames", 800),
        ("dim", 40),
        ("crop", 200),
        ("batch", 256),
        ("rounds", 9),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    print(f"{options.crop} of {options.frames} frames x {options.dim}, batches of {options.batch} crops")
    print(f"{'format':8}{'FeatureReader':>16}{'kaldiio':>12}{'ratio':>8}   crops/s")
    with tempfile.TemporaryDirectory() as folder:
        for kind, method in METHODS.items():
            scp = write(Path(folder), method, options)
            ours, theirs = FeatureReader(scp), kaldiio.load_scp(str(scp), max_cache_fd=8)
            random = np.random.default_rng(0)
            taken: list[tuple[float, float]] = []
            for _ in range(options.rounds + 1):  # the first brings the files into the cache
                indices = random.integers(options.utterances, size=options.batch)
                starts = random.integers(options.frames - options.crop + 1, size=options.batch)

                def cut(indices=indices, starts=starts, ours=ours, theirs=theirs) -> np.ndarray:
                    wholes = (theirs[ours.utterances[index]] for index in indices)
                    return np.stack([w[s : s + options.crop] for w, s in zip(wholes, starts, strict=True)])

                ours_seconds, crops = seconds(lambda i=indices, s=starts, r=ours: r.crops(i, s, options.crop))
                their_seconds, expected = seconds(cut)
                np.testing.assert_allclose(crops, expected, rtol=1e-5, atol=1e-5)
                taken.append((ours_seconds, their_seconds))
            rates = [options.batch / statistics.median(column) for column in zip(*taken[1:], strict=True)]
            print(f"{kind:8}{rates[0]:16.0f}{rates[1]:12.0f}{rates[0] / rates[1]:8.1f}")


if __name__ == "__main__":
    main()
