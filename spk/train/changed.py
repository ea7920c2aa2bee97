"""Go on from a checkpoint with a config that differs in what the weights do not depend on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spk.errors import InputError
from spk.train.experiment import config_differences

if TYPE_CHECKING:
    from spk.train.trainer import Trainer


def is_changed(trainer: Trainer, state: Mapping[str, Any]) -> bool:
    """Whether the checkpoint was written under another config. (Those of older versions do not say.)"""
    now = trainer.config.as_dict()
    return bool(config_differences(state.get("config", now), now, "the checkpoint's config"))


def go_on_with_changes(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Load the weights and what the optimiser knows of them; its options and the schedule are those of the config now.

    Batches go on where they were; when they have another size now, the epoch ends. Raises InputError when nothing is
    left to train, or the weights do not fit.
    """
    step, total_steps = state["step"], trainer.total_steps
    if step >= total_steps:
        raise InputError(
            f"{trainer.exp_dir}: its last checkpoint is of step {step}, and the run now has {total_steps} steps; give "
            "it more (train.steps or train.epochs)"
        )
    options = trainer.optimizer.state_dict()["param_groups"]
    try:
        trainer.embedder.load_state_dict(state["embedder"])
        trainer.loss.load_state_dict(state["loss"])
        trainer.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": options})
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{trainer.exp_dir}: its checkpoints do not fit the network and the loss as they are now ({reason}); name "
            "another directory"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimiser made no step before
        for _ in range(step):
            trainer.schedule.step()
    trainer.sampler.go_on_from(state["sampler"])
