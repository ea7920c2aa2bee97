"""Learning-rate schedules, stepped once a batch; torch keeps them. The optimiser's `lr` is the highest rate of each."""

from __future__ import annotations

from typing import Annotated

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR, StepLR

from spk.registry import Registry
from spk.schema import FRACTION, POSITIVE, Range

SCHEDULES = Registry("schedule", given=("optimizer", "total_steps", "steps_per_epoch"))


@SCHEDULES.register("constant")
def constant(optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
    """The same rate throughout."""
    return LambdaLR(optimizer, lambda step: 1.0)


@SCHEDULES.register("step")
def step(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    factor: Annotated[float, Range(above=0, most=1)] = 0.95,
    every_epochs: Annotated[float, POSITIVE] = 10,
) -> LRScheduler:
    """Times `factor` every so many epochs: 'In defence of metric learning', section 3.3."""
    return StepLR(optimizer, step_size=max(1, round(every_epochs * steps_per_epoch)), gamma=factor)


@SCHEDULES.register("one_cycle")
def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    rise: Annotated[float, FRACTION] = 0.3,
    first_divisor: Annotated[float, POSITIVE] = 25.0,
    last_divisor: Annotated[float, POSITIVE] = 1e4,
) -> LRScheduler:
    """Up from lr / first_divisor over the fraction `rise`, then down to that / last_divisor.

    Smith and Topin, Super-Convergence (arXiv:1708.07120).
    """
    return OneCycleLR(
        optimizer,
        max_lr=optimizer.param_groups[0]["lr"],
        total_steps=total_steps + 1,  # one more than is used: it is stepped after the last batch too
        pct_start=rise,
        div_factor=first_divisor,
        final_div_factor=last_divisor,
    )


@SCHEDULES.register("cosine")
def cosine(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    last: Annotated[float, FRACTION] = 0.0,
) -> LRScheduler:
    """Half a cosine from lr to `last` times lr: Loshchilov and Hutter (arXiv:1608.03983) without restarts."""
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=last * optimizer.param_groups[0]["lr"])
