"""Posteriors of the selected Gaussians of a full-covariance UBM, against all Gaussians and against a loop over frames.

Usage: python3 tests/benchmarks/posteriors.py [--num-gauss 2048] [--dim 72] [--num-frames 20000] [--rounds R]
`spk`: frame_posteriors. `all Gaussians`: every full-covariance log-likelihood of a frame as one matrix product of
(x, vec xx'), the usual way without selection. `loop over frames`: the selected Gaussians of one frame after the other.
Frames a second, by turns; drawn models and frames; the ways are compared for equal results, too.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import torch
from measure import Table, parser, report
from torch import Tensor

from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.full_gmm import FullGmm
from spk.ivector.posteriors import frame_posteriors, prune, select_gaussians

FRAMES_OF_ALL = 1_000  # the other ways are slow, and take as long per frame for more
FRAMES_OF_LOOP = 300


def draw(num_gaussians: int, dim: int, num_frames: int) -> tuple[FullGmm, Tensor]:
    """A mixture with correlated dimensions, and frames [T, D] float32 drawn from it."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(num_gaussians, dim, dim, generator=generator, dtype=torch.float64) / math.sqrt(dim)
    covariances = factors @ factors.mT + torch.eye(dim, dtype=torch.float64)
    means = 0.3 * torch.randn(num_gaussians, dim, generator=generator, dtype=torch.float64)  # they overlap
    gmm = FullGmm(torch.full((num_gaussians,), 1 / num_gaussians, dtype=torch.float64), means, covariances)
    chosen = torch.randint(num_gaussians, (num_frames,), generator=generator)
    noise = torch.randn(num_frames, dim, generator=generator, dtype=torch.float64)
    return gmm, (means[chosen] + noise).float()


class AllGaussians:
    """log w N(x) of all Gaussians: linear in x and the products x_i x_j, j <= i."""

    def __init__(self, gmm: FullGmm) -> None:
        self.diagonal = gmm.diagonal()
        rows, columns = torch.tril_indices(gmm.dim, gmm.dim)
        self.rows, self.columns = rows, columns
        inverses = gmm.whitening.mT @ gmm.whitening
        natural = (inverses @ gmm.means[:, :, None])[:, :, 0]
        twice = torch.where(rows == columns, 1.0, 2.0)
        self.linear = torch.cat([natural, -0.5 * twice * inverses[:, rows, columns]], dim=1).float().T.contiguous()
        self.constants = (gmm.log_heights - 0.5 * (gmm.means * natural).sum(dim=1)).float()

    def __call__(self, frames: Tensor) -> Tensor:
        products = frames[:, self.rows] * frames[:, self.columns]
        return torch.addmm(self.constants, torch.cat([frames, products], dim=1), self.linear)


def loop_over_frames(diagonal: DiagonalGmm, gmm: FullGmm, whitening: Tensor, frames: Tensor) -> Tensor:
    """The values of frame_posteriors, gathering the matrices of each frame's Gaussians."""
    _, index = select_gaussians(diagonal, frames, 20)
    means, heights = gmm.means.float(), gmm.log_heights.float()
    values = []
    for frame, chosen in zip(frames, index, strict=True):
        whitened = (whitening[chosen] @ (frame - means[chosen])[:, :, None])[:, :, 0]
        values.append(heights[chosen] - 0.5 * whitened.square().sum(dim=1))
    return prune(torch.stack(values).softmax(dim=1), 0.025)


def rate(num_frames: int, function: Callable[[], object]) -> float:
    """Frames a second of one run."""
    start = time.perf_counter()
    function()
    return num_frames / (time.perf_counter() - start)


def main() -> None:
    options = parser(__doc__, rounds=3, num_gauss=2048, dim=72, num_frames=20_000).parse_args()
    gmm, frames = draw(options.num_gauss, options.dim, options.num_frames)
    diagonal, whitening, all_gaussians = gmm.diagonal(), gmm.whitening.float(), AllGaussians(gmm)

    few, fewer = frames[:FRAMES_OF_ALL], frames[:FRAMES_OF_LOOP]
    mine = frame_posteriors(diagonal, gmm, few)
    of_all = all_gaussians(few).gather(1, mine.index).softmax(dim=1)
    looped = loop_over_frames(diagonal, gmm, whitening, fewer)
    print(
        f"largest difference of the posteriors: {(mine.value - prune(of_all, 0.025)).abs().max():.1e} from all "
        f"Gaussians' ones, {(mine.value[: len(fewer)] - looped).abs().max():.1e} from the loop"
    )
    rates = [
        (
            rate(len(frames), lambda: frame_posteriors(diagonal, gmm, frames)),
            rate(len(few), lambda: all_gaussians(few).softmax(dim=1)),
            rate(len(fewer), lambda: loop_over_frames(diagonal, gmm, whitening, fewer)),
        )
        for _ in range(options.rounds)
    ]
    table = Table(
        f"Posteriors of {options.num_gauss} Gaussians x {options.dim}: {len(frames)} frames",
        ["way", "frames a second", "ratio"],
    )
    for what, column in zip(("spk", "all Gaussians", "loop over frames"), zip(*rates, strict=True), strict=True):
        ratio = statistics.median(mine / other for other, (mine, *_) in zip(column, rates, strict=True))
        table.add(what, statistics.median(column), None if what == "spk" else ratio)
    report(options, table)


if __name__ == "__main__":
    main()
