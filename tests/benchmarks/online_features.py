"""Crops a second: waveforms read by part and their features worked out, against crops of arks; and noise by its part.

Usage: python3 tests/benchmarks/online_features.py [--utterances 200] [--seconds 8] [--crops 100]
Waves are FLAC of noise, written to a temporary folder; one process, one thread, on the CPU. Ratios are of one run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from measure import Table, parser, report

from spk.data.ark import FeatureReader
from spk.data.augmentation import Addition, Augmentation, read_noise
from spk.data.features import Source
from spk.data.wave_crops import WaveReader
from spk.embed.write import write_embeddings
from spk.feats import FRONT_ENDS
from spk.train.wave_features import CropFeatures

LENGTH = 200  # frames of a crop


def seconds_of(action: Callable[[], object], times: int = 3) -> float:
    """The fastest of a few."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def main() -> None:
    options = parser(__doc__, rounds=3, utterances=200, seconds=8, crops=100).parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    front_end = FRONT_ENDS.build("features", "fbank40")
    with tempfile.TemporaryDirectory() as folder:
        names = [f"u{index:04}" for index in range(options.utterances)]
        sources, features = {}, []
        for name in names:
            wave = (0.1 * random.standard_normal(options.seconds * 16000)).astype(np.float32)
            sources[name] = Source(f"{folder}/{name}.flac")
            soundfile.write(sources[name].entry, wave, 16000)
            with torch.inference_mode():
                features.append(front_end(torch.from_numpy(wave)[None])[0].numpy())
        write_embeddings(f"{folder}/feats", names, features)
        waves = WaveReader(sources, names, np.full(len(names), float(options.seconds)), front_end)
        arks, make = FeatureReader(f"{folder}/feats.scp"), CropFeatures(front_end, torch.device("cpu"))
        indices = random.integers(0, len(names), options.crops)
        starts = random.integers(0, int(waves.num_frames[0]) - LENGTH, options.crops)
        noise = Augmentation(additions=(Addition(sources[names[0]].entry, 1.0, 10.0),))
        crops = waves.crops(indices, starts, LENGTH)
        whole = [0] * options.crops
        rows = {
            "crops of arks": lambda: arks.crops(indices, starts, LENGTH),
            "waveforms read by part": lambda: waves.crops(indices, starts, LENGTH),
            "the same with noise": lambda: waves.crops(indices, starts, LENGTH, [noise] * options.crops),
            "whole waveforms read": lambda: waves.crops(indices, whole, int(waves.num_frames[0])),
            "features of these crops": lambda: make(crops),
        }
        taken = {name: seconds_of(action) for name, action in rows.items()}
        table = Table(
            f"Crops of 2 s of {options.seconds} s of FLAC while training, one thread",
            ["what", "crops a second", "time over that of crops of arks"],
        )
        for name, seconds in taken.items():
            table.add(name, options.crops / seconds, seconds / taken["crops of arks"])
        parts = Table("A noise of 240 s, of which 2 s are used", ["way", "ms", "ratio"])
        recording = Path(folder) / "long.wav"
        soundfile.write(recording, 0.1 * random.standard_normal(240 * 16000), 16000)
        part = seconds_of(lambda: read_noise(str(recording), 120.0, 2 * 16000, 16000))
        all_of_it = seconds_of(lambda: soundfile.read(recording, dtype="float32"))
        parts.add("the part read", 1000 * part, None)
        parts.add("read whole", 1000 * all_of_it, all_of_it / part)
    report(options, table, parts)


if __name__ == "__main__":
    main()
