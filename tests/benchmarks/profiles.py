"""Where the remaining time goes: a training step by operator, the other stages by function.

Usage: python3 tests/benchmarks/profiles.py [--parts NAME,...] [--top N] [--json FILE]
A training step goes through torch.profiler: time in an operator itself, without those that it calls; on a GPU, the time
there. The other stages are commands on drawn data that run under cProfile, after a first run on little of it, so that
imports do not count: processor time in a function itself, on all threads. The profiler's own cost, a microsecond or two
a call, is in it: small functions look dearer than they are. What is not among the N largest is added up in one row.
"""

from __future__ import annotations

import contextlib
import cProfile
import io
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from growth_stages import STAGES
from measure import ROOT, Table, parser, report

TRAINING = "training step"
PARTS = {  # and the sizes
    "batches and crops": 0,
    "make_feats, one job": 3_000,
    "extract_embeddings": 10_000,
    "score cosine": 500_000,
    "score plda": 500_000,
    "train_plda": 50_000,
    "metrics": 500_000,
}
WARM_STEPS, STEPS, BATCH, CROP_FRAMES = 2, 4, 32, 200


def main() -> None:
    options = parser(
        __doc__, rounds=1, top=8, parts=",".join(["training", *PARTS]).replace(", one job", "")
    ).parse_args()
    wanted = [name for name in options.parts.split(",") if name]
    chosen = {name: size for name, size in PARTS.items() if any(one in name for one in wanted)}
    is_training = any(one in TRAINING for one in wanted)
    if not chosen and not is_training:
        raise SystemExit(f"profiles: no part is called {options.parts!r}; there are: {', '.join([TRAINING, *PARTS])}")
    sys.path.insert(0, os.fspath(ROOT))
    torch.set_num_threads(1)
    logging.disable()
    tables = [training_table(options.top)] if is_training else []
    for name, size in chosen.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            seconds = profile_crops(Path(folder)) if not size else profile_stage(name, size, Path(folder))
        title = f"Time of {name}" + (f": {size:,} {STAGES[name].unit}" if size else ": 200 batches of 100 crops of 2 s")
        tables.append(shares_table(title, "function", seconds, options.top))
    report(options, *tables)


def training_table(top: int) -> Table:
    """Fast ResNet-34 at half width with AM-softmax, in float32 on the CPU and bfloat16 on a GPU."""
    from torch.profiler import ProfilerActivity, profile

    from spk.losses import LOSSES
    from spk.nets.embedder import build_embedder
    from spk.train.step import TrainingStep

    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_cuda = device.type == "cuda"
    network = {"name": "fast_resnet34", "channels": 0.5, "embedding_dim": 256, "pooling": "asp"}
    embedder = build_embedder("instance", network, num_bins=40).to(device)
    loss = LOSSES.build("loss", "am_softmax", embedding_dim=256, num_speakers=5994).to(device)
    parameters = [*embedder.parameters(), *loss.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=is_cuda)
    step = TrainingStep(embedder, loss, "bfloat16" if is_cuda else "float32")
    features = torch.randn(BATCH, CROP_FRAMES, 40, device=device)
    labels = torch.randint(5994, (BATCH,), device=device)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            step.forward_backward(features, labels)
            optimizer.step()
        if is_cuda:
            torch.cuda.synchronize()

    train(WARM_STEPS)
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * is_cuda]
    with profile(activities=activities, acc_events=True) as recorded:
        train(STEPS)
    unit = "self_device_time_total" if is_cuda else "self_cpu_time_total"
    seconds = {event.key: getattr(event, unit) / 1e6 / STEPS for event in recorded.key_averages()}
    what = f"{torch.cuda.get_device_name()}, bfloat16" if is_cuda else "one core, float32"
    title = f"Time of a training step: Fast ResNet-34 at half width, {BATCH} crops of 2 s, {what}"
    return shares_table(title, "operator", seconds, top)


def profile_stage(name: str, size: int, folder: Path) -> dict[str, float]:
    stage = STAGES[name]
    for part, items in (("warm", stage.warm), ("data", size)):
        (folder / part).mkdir()
        stage.make(folder / part, items)
    with contextlib.suppress(SystemExit):
        stage.run(folder / "warm")
    return by_function(lambda: stage.run(folder / "data"))


def profile_crops(folder: Path) -> dict[str, float]:
    """Batches of a sampler, their crops out of an ark in 8 bits."""
    import drawn
    import numpy as np

    from spk.data.ark import FeatureReader
    from spk.data.sampler import SpeakerSampler

    utterances = drawn.write_data_dir(folder / "data", 100_000, num_frames=800)
    speakers = np.array([int(name[2:7]) for name in utterances])
    reader = FeatureReader(folder / "data" / "feats.scp")
    random = np.random.default_rng(0)

    def read(num_batches: int) -> None:
        sampler = SpeakerSampler(speakers, num_speakers_per_batch=100, seed=1)
        for _ in range(num_batches):
            chosen = next(sampler).utterances
            reader.crops(chosen, random.integers(0, 600, len(chosen)), CROP_FRAMES)

    read(2)
    return by_function(lambda: read(200))


def by_function(work: Callable[[], object]) -> dict[str, float]:
    """Processor seconds in each function itself, on all threads: 'spk/data/ark.py: crops', '<method of ...>' of C."""
    profiles: list[cProfile.Profile] = []

    def begin(*_: object) -> None:
        profiles.append(cProfile.Profile(time.thread_time))
        profiles[-1].enable()

    threading.setprofile(begin)  # in every thread that starts from now on
    begin()
    try:
        with contextlib.suppress(SystemExit):
            work()
    finally:
        profiles[0].disable()
        threading.setprofile(None)
    seconds: dict[str, float] = {}
    for profile in profiles:
        profile.snapshot_stats()  # threads that wait for more work are not ended
        for (path, _, name), (_, _, own, *_) in profile.stats.items():
            where = "" if path == "~" else f"{short(path)}: "
            seconds[where + name] = seconds.get(where + name, 0.0) + own
    return seconds


def short(path: str) -> str:
    """From the package on: spk/data/ark.py, numpy/lib/x.py, json/encoder.py."""
    parts = Path(path).parts
    if Path(path).is_relative_to(ROOT / "spk"):
        return str(Path(path).relative_to(ROOT))
    for folder in ("site-packages", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        if folder in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(folder) :])
    return "/".join(parts[-2:])


def shares_table(title: str, what: str, seconds: Mapping[str, float], top: int) -> Table:
    """The `top` largest with their shares of all, then the others together and all."""
    table = Table(title, [what, "seconds", "share, %"])
    total = sum(seconds.values())
    largest = sorted(seconds.items(), key=lambda item: -item[1])[:top]
    others = total - sum(value for _, value in largest)
    for name, value in [*largest, (f"{len(seconds) - len(largest)} others", others), ("all", total)]:
        table.add(name if len(name) <= 70 else name[:69] + "…", value, 100 * value / total)
    return table


if __name__ == "__main__":
    main()
