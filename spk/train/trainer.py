"""The training loop. A run that was stopped and resumed ends with the weights of a run that never stopped."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from spk.backend import BACKENDS
from spk.backend.registry import backend_while_training
from spk.collectives import ALONE, Group
from spk.config import EvaluationConfig, SystemConfig, numbers_of
from spk.data.crops import ResidentCropDataset, load_batches
from spk.data.files import whole_file
from spk.data.sampler import Batch, SpeakerSampler
from spk.data.share import Share
from spk.data.torch_files import load, save
from spk.embed.embeddings import embed
from spk.embed.model import save_model
from spk.errors import InputError
from spk.feats.spec_augment import SpecAugment
from spk.losses.classifier import classifiers
from spk.losses.loss import Loss
from spk.metrics.eer import eer
from spk.nets.embedder import Embedder
from spk.nets.sync_batch_norm import synchronize_batch_norms
from spk.out_of_memory import lower_when_out_of_memory
from spk.train.changed import go_on_with_changes, is_changed
from spk.train.checkpoint import RandomState, load_latest, load_step, save_checkpoint
from spk.train.clipping import clip_gradients, gradient_holders
from spk.train.cosine_histogram import NUM_BINS, CosineHistogram
from spk.train.crop_supply import open_crops
from spk.train.logbook import Logbook
from spk.train.looks import Looks
from spk.train.optimizers import OPTIMIZERS
from spk.train.parallel import StopSignal, add_up_gradients, copy_from_first, end_together, together
from spk.train.partial_softmax import draw_speakers, optimizer_step
from spk.train.schedules import SCHEDULES
from spk.train.shard_files import common_state, is_sharded, load_rows, save_rows
from spk.train.step import TrainingStep, check_parts, compiled, place
from spk.train.training_data import Utterances

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from spk.data.online_augmentation import OnlineAugmentation

log = logging.getLogger(__name__)
MASKS = 1  # which generator of a batch draws them


class Terminated(Exception):
    """SIGTERM came: the checkpoint is saved, and the run can be started again."""


class Trainer:
    """Fit one embedder with one loss. Parts are built outside and handed in; `state_dict` names all that is saved.

    In a group of processes each embeds its share of the batch, and all compute the loss of all of it. Only the first
    writes and validates. What is saved does not depend on how many there are.
    """

    def __init__(
        self,
        config: SystemConfig,
        exp_dir: Path,
        embedder: Embedder,
        loss: Loss,
        training: Utterances,
        validation: Utterances | None,
        augmentation: OnlineAugmentation | None,
        device: torch.device,
        group: Group = ALONE,
    ) -> None:
        if config.batch.crop_frames < embedder.min_frames:
            raise InputError(
                f"batch.crop_frames: {config.batch.crop_frames}, but {config.network['name']} needs crops of "
                f"{embedder.min_frames} frames or more"
            )
        evaluation = config.evaluation
        if evaluation.crops and evaluation.crop_frames < embedder.min_frames:
            raise InputError(
                f"evaluation.crop_frames: {evaluation.crop_frames}, but {config.network['name']} needs crops of "
                f"{embedder.min_frames} frames or more"
            )
        least = config.batch.num_speakers // group.size
        if least == 0:
            raise InputError(
                f"batch.size: {config.batch.size} is {config.batch.num_speakers} speakers, which {group.size} "
                "processes cannot share: each takes whole speakers; use fewer processes or a larger batch.size"
            )
        if group.size > 1 and least * config.batch.utterances_per_speaker == 1 and not config.train.sync_batch_norm:
            raise InputError(
                f"batch.size: {config.batch.size} leaves one crop to some of {group.size} processes, and batch norm "
                "needs two; use fewer processes, a larger batch.size or train.sync_batch_norm true"
            )
        check_parts(config, group.size)
        self.config = config
        self.exp_dir = exp_dir
        self.device = device
        self.group = group
        self.share = Share(group.rank, group.size, config.batch.utterances_per_speaker)
        if group.size > 1 and config.train.sync_batch_norm:
            synchronize_batch_norms(embedder, group)
        self.embedder = place(embedder, device)
        self.loss = loss.to(device)
        self.training, self.validation = training, validation
        self.dataset, self.features_of = self.crops(augmentation)
        masks = config.augmentation.spec_augment
        self.spec_augment = SpecAugment(**masks) if masks is not None else None
        self.sampler = SpeakerSampler(
            training.labels,
            num_speakers_per_batch=config.batch.num_speakers,
            utterances_per_speaker=config.batch.utterances_per_speaker,
            max_utterances_per_speaker=config.batch.max_utterances_per_speaker,
            reuse_utterances=config.batch.reuse_utterances,
            seed=config.seed,
        )
        self.steps_per_epoch = self.sampler.batches_per_epoch
        self.total_steps = config.train.steps or max(1, round(config.train.epochs * self.steps_per_epoch))
        self.refuse_ramps_past_the_end()
        self.parameters = [*self.embedder.parameters(), *self.loss.parameters()]
        self.optimizer = OPTIMIZERS.build("optimizer", config.optimizer, parameters=self.parameters)
        self.schedule = SCHEDULES.build(
            "schedule",
            config.schedule,
            optimizer=self.optimizer,
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
        )
        self.random = RandomState()
        self.embedder.network.recomputes = config.train.checkpoint_activations
        self.training_step = TrainingStep(
            self.embedder,
            self.loss,
            config.train.precision,
            config.train.accumulate,
            group,
            self.share,
            compiled(self.embedder, config.train.compile),
        )
        self.looks = Looks(lazily=device.type == "cuda", group=group)
        self.when_resumed: Callable[[int], None] = lambda step: None  # called with the step where a run goes on
        self.step = 0
        self.best_eer, self.best_step = math.inf, 0
        self.loss_sum, self.loss_count = 0.0, 0  # since the last logged step
        self.cosines = CosineHistogram(self.loss, device, group)  # since then, too
        self.last_batch: Batch | None = None

    def crops(self, augmentation: OnlineAugmentation | None) -> tuple[Dataset, Callable[[Any], Tensor]]:
        """What reads the crops of a batch, and what makes features on the device of what it has read."""
        training, crop_frames = self.training, self.config.batch.crop_frames
        if not self.config.online:
            return open_crops(self.config, training, self.device, self.share)
        from spk.data.wave_crops import WaveCropDataset
        from spk.train.wave_features import CropFeatures

        dataset = WaveCropDataset(training.reader, training.labels, crop_frames, augmentation, self.share)
        return dataset, CropFeatures(training.reader.framing, self.device)

    def refuse_ramps_past_the_end(self) -> None:
        """InputError for a curriculum that would not get to its configured value within the run."""
        num_epochs = self.total_steps / self.steps_per_epoch
        for name, ramp in self.config.curriculum.items():
            if ramp.unit == "epochs" and (ramp.end > num_epochs or ramp.begin >= num_epochs):
                raise InputError(
                    f"curriculum.{name}: begins at epoch {ramp.begin:g} and ends at {ramp.end:g}, but the run has "
                    f"{num_epochs:.3g} epochs; train longer, give the ramp other epochs, or unit: run"
                )

    # What is saved, and where a run goes on.

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "config": self.config.as_dict(),
            "embedder": self.embedder.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "sampler": self.sampler.state_after(self.last_batch),
            "random": self.random.state_dict(),
            "best": {"eer": self.best_eer, "step": self.best_step},
            "logged": {"sum": self.loss_sum, "count": self.loss_count, "cosines": self.cosines.state()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, also from one of a config that differed in what a checkpoint can go on with."""
        state = load_rows(self.exp_dir / "checkpoints", state, self.loss, self.optimizer)
        self.step = state["step"]
        if is_changed(self, state):
            go_on_with_changes(self, state)
        else:
            for name in ("embedder", "loss", "optimizer", "schedule", "sampler"):
                getattr(self, name).load_state_dict(state[name])
        self.random.load_state_dict(state["random"])
        self.best_eer, self.best_step = state["best"]["eer"], state["best"]["step"]
        self.loss_sum, self.loss_count = state["logged"]["sum"], state["logged"]["count"]
        self.cosines.load(state["logged"].get("cosines"))

    def save(self) -> None:
        directory, is_first = self.exp_dir / "checkpoints", self.group.rank == 0
        sharded = is_sharded(self.loss)
        state = self.state_dict() if is_first or sharded else {}
        if sharded:
            state, entry = together(self.group, lambda: save_rows(directory, state, self.loss, self.optimizer))
            state["row_files"] = self.group.gather_objects(entry)
        if is_first:
            save_checkpoint(directory, self.step, state, self.config.train.keep_checkpoints)

    # The run.

    def fit(self) -> None:
        """Train to the end, or from the newest checkpoint to the end; then write final.pt."""
        with StopSignal().caught() as stop:
            self.begin()
            batches = load_batches(
                self.dataset, self.sampler, workers=self.config.train.workers, pin_memory=self.device.type == "cuda"
            )
            with contextlib.closing(self.logbook) if self.logbook else contextlib.nullcontext():
                self.last_time, self.last_step = time.monotonic(), self.step
                while self.step < self.total_steps:
                    with self.out_of_memory_says_what_to_lower():
                        self.train_step(batches)
                        if not self.is_time_to_look():
                            continue
                        self.look()
                    self.after_look()
                    if self.group.any_rank(bool(stop)):
                        self.save()
                        raise Terminated(f"stopped at step {self.step}; start again to go on")
        if self.group.rank == 0:
            self.finish()

    def begin(self) -> None:
        """Where the newest checkpoint stops, or at the start, on all processes alike; and the logbook of the first."""
        is_first = self.group.rank == 0
        directory = self.exp_dir / "checkpoints"
        state = together(self.group, lambda: load_latest(directory) if is_first else None)
        step = self.group.broadcast_object(state and state["step"])
        if step is not None:
            together(self.group, lambda: self.load_state_dict(state or load_step(directory, step)))
            log.info("going on from step %d of %d", self.step, self.total_steps)
        if is_first:
            self.when_resumed(self.step)
        copy_from_first(self.group, [*self.embedder.state_dict().values(), *common_state(self.loss)])
        self.announce()
        columns = ["epoch", "loss", "lr", "gradient_norm", *self.config.curriculum, "crops_per_second"]
        columns.append("validation_eer")
        num_bins = NUM_BINS if self.cosines.parts else 0
        self.logbook = Logbook(self.exp_dir, columns, self.step, self.total_steps, num_bins) if is_first else None

    def train_step(self, batches: Iterator[tuple[Any, Tensor, Batch]]) -> None:
        """One batch: crops, forward, loss in float32, backward, update."""
        crops, labels, batch = together(self.group, lambda: next(batches))
        self.curriculum_now = self.curriculum_values()
        for name, value in self.curriculum_now.items():
            set_number(self.loss, name, value)
        self.embedder.train()
        features = self.features_of(crops)
        labels = labels.to(self.device, non_blocking=True)
        self.optimizer.zero_grad(set_to_none=True)
        masked = self.draw_masks(batch, features) if self.spec_augment is not None else None
        if self.config.train.partial_softmax < 1:
            draw_speakers(self.loss, batch, self.config.train.partial_softmax)
        loss = self.training_step.forward_backward(features, labels, masked)
        self.cosines.add()
        alike, _ = gradient_holders(self.loss.parameters(), self.loss)
        add_up_gradients(self.group, self.embedder.parameters(), alike)
        norm = clip_gradients(self.parameters, self.loss, self.config.train.gradient_clip)
        optimizer_step(self.optimizer, self.loss)
        self.schedule.step()
        self.step += 1
        self.last_batch = batch
        self.looks.add(self.step, loss, norm, batch)

    def draw_masks(self, batch: Batch, features: Tensor) -> Tensor:
        """bool [N, T, F] on the device: a function of the batch, so that a resumed run draws the same."""
        num_crops = len(batch.utterances)
        masked = self.spec_augment.draw(batch.random(MASKS), num_crops, *features.shape[1:])
        rows = self.share.rows(num_crops)
        masked = [mask[rows] for mask in masked]
        if self.device.type == "cuda":  # from other memory the copy would wait for all that the GPU was given
            masked = [mask.pin_memory() for mask in masked]
        in_time, in_frequency = (mask.to(self.device, non_blocking=True) for mask in masked)
        return in_time | in_frequency

    def is_time_to_look(self) -> bool:
        """Before anything is logged, chosen or saved, and once a second; the same on all processes."""
        train = self.config.train
        is_used = self.is_time(train.log_every) or self.is_time(train.save_every) or self.is_time_to_validate()
        return is_used or self.looks.is_due

    def is_time(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.total_steps

    def is_time_to_validate(self) -> bool:
        return self.validation is not None and self.is_time(self.config.validation.every)

    def look(self) -> None:
        """Take in what the steps since the last look came to. A loss or norm that is not finite ends the run."""
        for values in self.looks.look():
            for what, value in (("loss", values.loss), ("gradient's norm", values.gradient_norm)):
                if not math.isfinite(value):
                    self.stop_not_finite(what, value, values.step, values.batch)
            self.loss_sum, self.loss_count = self.loss_sum + values.loss, self.loss_count + 1
            self.gradient_norm = values.gradient_norm

    def after_look(self) -> None:
        """Log, validate and save when it is time; the last step is always validated and saved."""
        is_logged = self.is_time(self.config.train.log_every) or self.is_time_to_validate()
        cosines = self.cosines.take() if is_logged else []
        if self.logbook is not None:
            self.logbook.advance(self.step)
            values = {"validation_eer": self.validate()} if self.is_time_to_validate() else {}
            if is_logged:
                self.logbook.record(self.step, cosines, **self.logged_values(), **values)
        if self.is_time(self.config.train.save_every):
            self.save()
        self.looks.go_on()

    def curriculum_values(self) -> dict[str, float]:
        """The loss's scheduled values at this step."""
        final = numbers_of(self.config.loss)
        done = {"run": self.step / self.total_steps, "epochs": self.step / self.steps_per_epoch}
        return {name: ramp.value(final[name], done[ramp.unit]) for name, ramp in self.config.curriculum.items()}

    def logged_values(self) -> dict[str, float]:
        now = time.monotonic()
        crops = (self.step - self.last_step) * self.config.batch.size
        values = {
            "epoch": self.step / self.steps_per_epoch,
            "loss": self.loss_sum / max(1, self.loss_count),
            "lr": self.optimizer.param_groups[0]["lr"],
            "gradient_norm": self.gradient_norm,
            **self.curriculum_now,
            "crops_per_second": crops / max(1e-9, now - self.last_time),
        }
        self.last_time, self.last_step = now, self.step
        self.loss_sum, self.loss_count = 0.0, 0
        return values

    def validate(self) -> float:
        """EER over all pairs of held-out utterances, whole, by the system's back-end; keeps the best network.

        A system to be evaluated by PLDA is validated by cosine: PLDA is trained on embeddings of the finished network.
        """
        embeddings = embed(
            self.embedder,
            self.validation.reader,
            self.validation.num_frames,
            EvaluationConfig(),
            device=self.device,
        )
        backend = BACKENDS.build("evaluation.backend", backend_while_training(self.config.evaluation.backend))
        represented = backend.represent(embeddings[:, None, :])
        first, second = np.triu_indices(len(embeddings), k=1)
        scores = backend.score(represented, represented, first, second)
        same = self.validation.labels[first] == self.validation.labels[second]
        result = eer(scores[same], scores[~same])
        if result < self.best_eer:
            self.best_eer, self.best_step = result, self.step
            if self.config.validation.select == "best":
                save(self.exp_dir / "best.pt", {"step": self.step, "embedder": self.embedder.state_dict()})
        return result

    def finish(self) -> None:
        """Write final.pt: the weights that extraction uses, and the config that says what they are."""
        step, weights, note = self.step, self.embedder.state_dict(), "the last step"
        if self.validation is not None and self.config.validation.select == "best":
            best = load(self.exp_dir / "best.pt")
            if best["step"] != self.best_step:
                raise InputError(
                    f"{self.exp_dir / 'best.pt'} holds step {best['step']}, but step {self.best_step} was the "
                    "best of this run; delete the directory and train again"
                )
            step, weights = best["step"], best["embedder"]
            note = f"step {step}, validation EER {100 * self.best_eer:.2f} %"
        validation_eer = self.best_eer if self.validation is not None else None
        save_model(self.exp_dir, self.config, self.training.reader.dim, weights, step, validation_eer)
        log.info("%s: %s", self.exp_dir / "final.pt", note)

    # What a user reads.

    def announce(self) -> None:
        sampler, batch = self.sampler, self.config.batch
        held_out = f", {len(self.validation.speakers)} more held out" if self.validation is not None else ""
        log.info("%d utterances of %d speakers%s", len(self.training.labels), len(self.training.speakers), held_out)
        if len(sampler.reused_speakers) or len(sampler.left_out_speakers):
            log.info(
                "speakers with fewer than %d utterances: %d give several crops of one, %d are left out",
                batch.utterances_per_speaker,
                len(sampler.reused_speakers),
                len(sampler.left_out_speakers),
            )
        log.info(
            "%d steps of %d x %d crops of %d frames, %d steps an epoch; %d parameters; %s on %s, %d threads%s",
            self.total_steps,
            batch.num_speakers,
            batch.utterances_per_speaker,
            batch.crop_frames,
            self.steps_per_epoch,
            sum(parameter.numel() for parameter in self.embedder.parameters()),
            self.config.train.precision,
            self.device,
            torch.get_num_threads(),
            f" in each of {self.group.size} processes" if self.group.size > 1 else "",
        )
        for name, part in classifiers(self.loss).items():
            first, last = part.rows
            share = self.config.train.partial_softmax
            if part.shard or share < 1:
                log.info(
                    "loss %s: this process holds speakers %d to %d of %d; a batch meets its own and %s of the others",
                    *(name.rstrip(".") or self.config.loss["name"], first + 1, last, part.num_speakers),
                    "all" if share == 1 else f"{share:.3g}",
                )

    def stop_not_finite(self, what: str, value: float, step: int, batch: Batch) -> None:
        """End all processes: sums over processes are alike on each."""
        path = self.exp_dir / f"not_finite_step_{step}.txt"
        if self.group.rank == 0:
            with whole_file(path) as file:
                file.writelines(f"{self.training.reader.utterances[index]}\n" for index in batch.utterances)
        error = InputError(
            f"the {what} is {value} at step {step}; the batch's utterances are in {path}; "
            "lower optimizer.lr, set train.gradient_clip, or look at these utterances' features"
        )
        end_together(self.group, error)

    def out_of_memory_says_what_to_lower(self) -> contextlib.AbstractContextManager[None]:
        batch = self.config.batch
        more = "more GPUs (--ngpu)" if self.device.type == "cuda" else "a machine with more memory"
        first = "set train.resident to false, " if isinstance(self.dataset, ResidentCropDataset) else ""
        return lower_when_out_of_memory(
            f"{first}lower batch.size ({batch.size}) or batch.crop_frames ({batch.crop_frames}), or use {more}"
        )


def set_number(loss: Loss, name: str, value: float) -> None:
    """Set an argument of the loss; 'first.margin' is that of the first part of a sum."""
    part, _, attribute = name.rpartition(".")
    setattr(loss.get_submodule(part), attribute, value)
