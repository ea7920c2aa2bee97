"""Training of the UBM: a diagonal mixture grown from frames in memory, EM over all data, then full covariances.

The schedule of Kaldi's sid/train_diag_ubm.sh and train_full_ubm.sh. After every iteration the mixture is written, and
the next starts from what was written; so a run that was killed carries on, and on the CPU ends with the same bytes (a
GPU adds in no fixed order).
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch

from spk.data.feature_blocks import BLOCK_FRAMES
from spk.data.files import write_json
from spk.errors import InputError
from spk.ivector.diagonal_em import MIN_OCCUPANCY, DiagonalStatistics, initial_gmm, split
from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.frames import FrameReader, write_frame_config
from spk.ivector.full_em import FullStatistics
from spk.ivector.full_gmm import FullGmm
from spk.ivector.gmm_files import read_diagonal_gmm, read_full_gmm, write_diagonal_gmm, write_full_gmm
from spk.ivector.progress import Progress
from spk.schema import AT_LEAST_ONE, NOT_NEGATIVE, Range

log = logging.getLogger(__name__)
Count = Annotated[int, AT_LEAST_ONE]
WholeNumber = Annotated[int, NOT_NEGATIVE]
PHASES = ("init", "diag", "full")


@dataclass(frozen=True)
class UbmConfig:
    """Kaldi's names and, where its recipes give one, the values of egs/voxceleb/v1."""

    num_gauss: Count = 2048
    num_frames: Count = 500_000  # drawn for the iterations in memory
    num_init_iters: Count = 20  # in memory, from half the Gaussians; all are there after half of the iterations
    num_diag_iters: WholeNumber = 4  # over all data
    num_full_iters: WholeNumber = 4
    num_gselect_diag: Count = 30
    num_gselect: Count = 20
    subsample: Count = 5  # every so many-th frame, over all data
    min_gaussian_weight: Annotated[float, Range(above=0, most=1)] = 1e-4
    # In the last iteration with full covariances; else a Gaussian with few frames keeps mean and covariance.
    remove_low_count: bool = False
    seed: Annotated[int, Range(0, 10**9)] = 1

    def __post_init__(self) -> None:
        if self.num_frames < MIN_OCCUPANCY * self.num_gauss:
            raise InputError(
                f"num_frames {self.num_frames} is too few for {self.num_gauss} Gaussians; each needs {MIN_OCCUPANCY}"
            )


class UbmTraining:
    """`UbmTraining(ubm_dir, config, reader, made_from).run()` writes UBM_DIR/final.ubm, final.dubm and frames.yaml.

    final.dubm has the diagonals of final.ubm's covariances: it selects Gaussians for it. The mixtures on the way are
    init.N, diag.N and full.N, of which the last stays.
    """

    def __init__(self, ubm_dir: Path, config: UbmConfig, reader: FrameReader, made_from: Mapping[str, Any]) -> None:
        """`made_from`: what else decides the result; a run of other data or options is not carried on."""
        self.ubm_dir, self.config, self.reader = ubm_dir, config, reader
        self.device = reader.device
        self.made_from = {
            "options": asdict(config),
            "frames": asdict(reader.config),
            "data": dict(made_from),
            "device": self.device.type,
        }

    def run(self) -> None:
        self.take_up()
        if self.last("full") is None:
            if self.last("diag") is None:
                self.initialize()
            self.train_diagonal()
        self.train_full()
        gmm = read_full_gmm(self.path("full", self.config.num_full_iters))
        write_frame_config(self.ubm_dir, self.reader.config)
        write_diagonal_gmm(self.ubm_dir / "final.dubm", gmm.diagonal())
        write_full_gmm(self.ubm_dir / "final.ubm", gmm)
        log.info("%d Gaussians of %d dimensions", gmm.num_gaussians, gmm.dim)

    def take_up(self) -> None:
        """Keep what an earlier run of the same data and options on the same kind of device left, and nothing else."""
        path = self.ubm_dir / "training.json"
        for name in ("final.ubm", "final.dubm"):
            (self.ubm_dir / name).unlink(missing_ok=True)
        made_from = json.loads(json.dumps(self.made_from))
        try:
            same = json.loads(path.read_text(encoding="utf-8")) == made_from
        except (FileNotFoundError, ValueError):
            same = False
        if not same:
            if any(map(self.iterations, PHASES)):
                log.info("%s: of other data or options, or not on %s: beginning anew", path, self.device.type)
            for phase in PHASES:
                for iteration in self.iterations(phase):
                    self.path(phase, iteration).unlink()
            write_json(path, made_from)
        for phase in reversed(PHASES):
            if (last := self.last(phase)) is not None:
                log.info("%s: carrying on from there", self.path(phase, last))
                break

    def initialize(self) -> None:
        """init.0 to init.N, on frames in memory; the last becomes diag.0."""
        config, total = self.config, self.config.num_init_iters
        if self.last("init") != total:
            frames = self.reader.sample(config.num_frames, config.seed)
            if len(frames) == 0:
                raise InputError(f"{self.reader.features.scp.path}: no utterance has a voiced frame; look at vad.scp")
            if len(frames) < MIN_OCCUPANCY * config.num_gauss:
                raise InputError(
                    f"{self.reader.features.scp.path}: {len(frames)} voiced frames are too few for {config.num_gauss} "
                    f"Gaussians, for each needs {MIN_OCCUPANCY}; give more data, or at most --num-gauss "
                    f"{len(frames) // MIN_OCCUPANCY}"
                )
            log.info("%d frames in memory", len(frames))
            first = math.ceil(config.num_gauss / 2)
            if self.last("init") is None:
                self.write("init", 0, initial_gmm(frames, first, self.generator(0)))
            # All Gaussians are there after half of the iterations.
            step = math.ceil((config.num_gauss - first) / max(1, total // 2))
            for iteration in range(self.last("init") + 1, total + 1):
                gmm = self.read("init", iteration - 1)
                statistics = DiagonalStatistics(gmm)
                with Progress(f"init {iteration} of {total}", len(frames), "frames") as progress:
                    for part in frames.split(BLOCK_FRAMES):
                        statistics.add(part)
                        progress.update(len(part))
                estimated = statistics.estimate(min_weight=config.min_gaussian_weight, remove=True)
                self.report(progress, statistics, estimated.num_gaussians)
                wanted = min(config.num_gauss, gmm.num_gaussians + step)
                if wanted > estimated.num_gaussians:
                    estimated = split(estimated, wanted, self.generator(iteration))
                self.write("init", iteration, estimated)
        self.write("diag", 0, self.read("init", total))

    def train_diagonal(self) -> None:
        """diag.1 to diag.N over all data; the last, with full covariances, becomes full.0."""
        config, total = self.config, self.config.num_diag_iters
        for iteration in range(self.last("diag") + 1, total + 1):
            statistics = DiagonalStatistics(self.read("diag", iteration - 1))
            progress = self.over_all_data(f"diag {iteration} of {total}", statistics, config.num_gselect_diag)
            gmm = statistics.estimate(min_weight=config.min_gaussian_weight, remove=iteration == total)
            self.report(progress, statistics, gmm.num_gaussians)
            self.write("diag", iteration, gmm)
        self.write("full", 0, FullGmm.from_diagonal(self.read("diag", total)))

    def train_full(self) -> None:
        """full.1 to full.N over all data, Gaussians selected by the diagonal mixture that all began from."""
        config, total = self.config, self.config.num_full_iters
        for iteration in range(self.last("full") + 1, total + 1):
            diagonal = self.read("diag", config.num_diag_iters)
            statistics = FullStatistics(self.read("full", iteration - 1))
            progress = self.over_all_data(f"full {iteration} of {total}", statistics, diagonal, config.num_gselect)
            remove = config.remove_low_count and iteration == total
            gmm = statistics.estimate(min_weight=config.min_gaussian_weight, remove=remove)
            self.report(progress, statistics, gmm.num_gaussians)
            self.write("full", iteration, gmm)

    def over_all_data(self, what: str, statistics: DiagonalStatistics | FullStatistics, *arguments: Any) -> Progress:
        """Add the frames of all utterances to `statistics`, block by block."""
        with Progress(what, len(self.reader), "utterances") as progress:
            for block in self.reader.blocks(self.config.subsample):
                if len(block.frames):
                    statistics.add(block.frames, *arguments)
                progress.update(len(block.utterances))
        return progress

    def report(self, progress: Progress, statistics: DiagonalStatistics | FullStatistics, num_gaussians: int) -> None:
        few = int((statistics.occupancy <= statistics.min_occupancy).sum())
        removed = statistics.gmm.num_gaussians - num_gaussians
        log.info(
            "%s: %.4f nats a frame before it, %d frames, %d Gaussians%s%s; %.0f s",
            progress.what,
            statistics.log_likelihood / statistics.num_frames,
            statistics.num_frames,
            num_gaussians,
            f", {few} had too few frames" if few else "",
            f", {removed} removed" if removed else "",
            progress.seconds,
        )

    def generator(self, iteration: int) -> torch.Generator:
        """What an iteration draws from: its own numbers, so that a resumed run draws the same."""
        return torch.Generator().manual_seed(self.config.seed * 1000 + iteration)

    def path(self, phase: str, iteration: int) -> Path:
        return self.ubm_dir / f"{phase}.{iteration}"

    def iterations(self, phase: str) -> list[int]:
        """Of which there is a mixture."""
        found = [re.fullmatch(rf"{phase}\.(\d+)", path.name) for path in self.ubm_dir.glob(f"{phase}.*")]
        return sorted(int(match[1]) for match in found if match)

    def last(self, phase: str) -> int | None:
        return max(self.iterations(phase), default=None)

    def read(self, phase: str, iteration: int) -> DiagonalGmm | FullGmm:
        read = read_full_gmm if phase == "full" else read_diagonal_gmm
        return read(self.path(phase, iteration)).to(self.device)

    def write(self, phase: str, iteration: int, gmm: DiagonalGmm | FullGmm) -> None:
        """In numbers of 8 bytes; then the one of the iteration before is not needed any more."""
        write = write_full_gmm if phase == "full" else write_diagonal_gmm
        write(self.path(phase, iteration), gmm, double=True)
        for earlier in self.iterations(phase):
            if earlier < iteration:
                self.path(phase, earlier).unlink()
