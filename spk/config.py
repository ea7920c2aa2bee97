"""One YAML file tells a whole system: its sections, their defaults, and how a command line overrides them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml

from spk.errors import InputError
from spk.schema import AT_LEAST_ONE, FRACTION, NOT_NEGATIVE, POSITIVE, Range, check_arguments, check_value, nearest

log = logging.getLogger(__name__)


@dataclass
class BatchConfig:
    """What a training batch is made of."""

    # Crops: speakers times utterances_per_speaker. auto: the most that fit the memory, recorded when the run starts.
    size: Literal["auto"] | Annotated[int, AT_LEAST_ONE] = 200
    most: Annotated[int, AT_LEAST_ONE] = 800  # for size: auto; the largest batch in 'In defence of metric learning'
    utterances_per_speaker: Annotated[int, AT_LEAST_ONE] = 1
    crop_frames: Annotated[int, AT_LEAST_ONE] = 200
    max_utterances_per_speaker: Annotated[int, AT_LEAST_ONE] | None = None  # of one speaker in an epoch
    reuse_utterances: bool = True  # several crops of one utterance where a speaker has too few

    def __post_init__(self) -> None:
        if self.size == "auto":
            if self.most < self.utterances_per_speaker:
                raise InputError(
                    f"batch.most: {self.most} is less than the {self.utterances_per_speaker} utterances of one speaker"
                )
        elif self.size % self.utterances_per_speaker:
            raise InputError(
                f"batch.size: {self.size} is no multiple of its {self.utterances_per_speaker} utterances per speaker"
            )

    @property
    def num_speakers(self) -> int:
        """Of a batch; with size: auto, of the largest that it may become."""
        return (self.most if self.size == "auto" else self.size) // self.utterances_per_speaker


@dataclass
class TrainConfig:
    """How long and on what. Exactly one of `epochs` and `steps` is set."""

    epochs: Annotated[float, POSITIVE] | None = None
    steps: Annotated[int, AT_LEAST_ONE] | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on CUDA, else float32
    gradient_clip: Annotated[float, POSITIVE] | None = None  # largest norm of the whole gradient
    threads: Annotated[int, NOT_NEGATIVE] = 0  # of torch on the CPU; 0: one a core, recorded when the run starts
    workers: Annotated[int, NOT_NEGATIVE] = 0  # processes that read crops ahead
    # Features of the arks lie on the device that trains, as they are in the arks, and no process reads ahead. auto: on
    # CUDA, where they leave room for the network. Nothing of the result depends on it.
    resident: Literal["auto"] | bool = "auto"
    # torch.compile, and its modes: reduce-overhead replays CUDA graphs; max-autotune, too, and tries many kernels.
    compile: Literal["reduce-overhead", "max-autotune"] | bool = False
    # A batch goes through the network in so many parts, which takes the memory of one and a third more time. The loss
    # is that of the whole batch, with all its negatives; batch norm's statistics are those of a part.
    accumulate: Annotated[int, AT_LEAST_ONE] = 1
    # Activations are computed again in the backward pass, block by block: less memory, more time, the same bits.
    checkpoint_activations: bool = False
    shard_classifier: bool = (
        False  # of several processes, each holds the classification loss's weights of a part of the speakers
    )
    # Of the speakers that are not in a batch, the share that its classification loss compares it with, drawn for each.
    partial_softmax: Annotated[float, Range(above=0, most=1)] = 1.0
    sync_batch_norm: bool = True  # of several processes: batch statistics are those of the whole batch, as with one
    log_every: Annotated[int, AT_LEAST_ONE] = 20  # steps
    save_every: Annotated[int, AT_LEAST_ONE] = 500  # steps
    keep_checkpoints: Annotated[int, AT_LEAST_ONE] = 3

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise InputError("train: set exactly one of train.epochs and train.steps")
        if self.compile and self.checkpoint_activations:
            raise InputError(
                "train.checkpoint_activations: torch.compile chooses by itself what it computes again; set one of this "
                "and train.compile to false, or train.accumulate for still less memory"
            )
        if isinstance(self.compile, str) and self.accumulate > 1:
            raise InputError(
                f"train.compile: {self.compile} replays graphs whose results the next part of train.accumulate "
                "would overwrite; set train.compile to true"
            )


@dataclass
class ValidationConfig:
    """Training speakers held out to choose the checkpoint: never the test list."""

    speakers: Annotated[int, NOT_NEGATIVE] = 40  # 0: none, and the last step is the final model
    utterances_per_speaker: Annotated[int, Range(least=2)] = 10
    every: Annotated[int, AT_LEAST_ONE] = 500  # steps
    select: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        if self.speakers == 1:
            raise InputError("validation.speakers: 1 speaker makes no non-target trial; give at least 2, or 0 for none")


@dataclass
class EvaluationConfig:
    """What of an utterance is embedded, all of it or K crops at regular intervals, and how two are compared."""

    crops: Annotated[int, NOT_NEGATIVE] = 0  # 0: the whole utterance
    crop_frames: Annotated[int, AT_LEAST_ONE] = 400
    backend: str | dict[str, Any] | None = (
        None  # as in {name: euclidean, length_normalize: false}; None: the loss's own
    )


@dataclass
class Ramp:
    """A value of the loss that goes from `start` to its configured value over a part of the run, or jumps there."""

    start: float = 0.0
    begin: Annotated[float, NOT_NEGATIVE] = 0.0
    end: Annotated[float, NOT_NEGATIVE] = 0.4  # the same as begin: a jump
    unit: Literal["run", "epochs"] = "run"  # of begin and end: fractions of the run, or epochs
    curve: Literal["linear", "geometric"] = "linear"  # geometric: by equal factors

    def __post_init__(self) -> None:
        if self.end < self.begin:
            raise InputError(f"end {self.end:g} comes before begin {self.begin:g}")
        if self.unit == "run" and self.end > 1:
            raise InputError(f"end {self.end:g} is past the run; with unit: epochs, it counts epochs")

    def value(self, final: float, progress: float) -> float:
        """Its value when the run has gone so far, in its unit; `final` is the configured value."""
        if progress >= self.end:
            return final
        if progress <= self.begin:
            return self.start
        share = (progress - self.begin) / (self.end - self.begin)
        if self.curve == "geometric":
            return self.start * (final / self.start) ** share
        return self.start + share * (final - self.start)


@dataclass
class AugmentationConfig:
    """What is done to training crops, nothing by default. All but `spec_augment` takes features.online: true.

    `noises`, `music`, `babble`, `rirs` are data directories of recordings, each with wav.scp and utt2dur. A crop is
    augmented with the probability, by one kind, drawn from those that are given, each alike. Signal-to-noise ratios are
    in dB, of which one is drawn for each noise. A speaker at another speed is another speaker.
    """

    noises: str | None = None
    music: str | None = None
    babble: str | None = None
    rirs: str | None = None
    probability: Annotated[float, FRACTION] = 0.6
    noise_snrs: list[float] = (15.0, 10.0, 5.0, 0.0)
    music_snrs: list[float] = (15.0, 10.0, 8.0, 5.0)
    babble_snrs: list[float] = (20.0, 17.0, 15.0, 13.0)
    speeds: list[Annotated[float, Range(0.5, 2)]] = ()  # besides 1
    spec_augment: dict[str, Any] | None = None  # arguments of SpecAugment (spk/feats/spec_augment.py)

    def __post_init__(self) -> None:
        for name in ("noise_snrs", "music_snrs", "babble_snrs", "speeds"):
            setattr(self, name, list(getattr(self, name)))
            if name != "speeds" and not getattr(self, name):
                raise InputError(f"augmentation.{name}: is empty; give one ratio or more, in dB, as in [15, 10, 5, 0]")
        check_speeds(f"augmentation.speeds: {self.speeds}", self.speeds)
        if self.spec_augment is not None:
            from spk.feats.spec_augment import SpecAugment

            self.spec_augment = check_arguments("augmentation.spec_augment", self.spec_augment, SpecAugment)

    @property
    def data_dirs(self) -> dict[str, str]:
        """{kind: the data directory} of the kinds that are given."""
        return {kind: getattr(self, kind) for kind in AUGMENTATION_KINDS if getattr(self, kind) is not None}


def check_speeds(said: str, speeds: Sequence[float]) -> None:
    """InputError, which begins with what was `said`, for speeds that are no change, come twice or cannot be named.

    Hundredths are what names tell apart (sp0.95-NAME) and resampling does exactly.
    """
    if len(set(speeds)) < len(speeds):
        raise InputError(f"{said}: one of them stands there twice")
    for speed in speeds:
        if not 0.5 <= speed <= 2 or speed == 1 or round(speed, 2) != speed:
            raise InputError(f"{said}: {speed:.12g} is not from 0.5 to 2 in hundredths, or is no change")


AUGMENTATION_KINDS = ("noises", "music", "babble", "rirs")


@dataclass
class SystemConfig:
    """A whole system. Registry sections ({name, arguments}) are checked by the registry of their kind.

    `online` is features.online: training reads waveforms and works their features out, instead of reading arks. It is
    no argument of the front end, and changes nothing of what that makes.
    """

    features: dict[str, Any]
    network: dict[str, Any]
    loss: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    train: TrainConfig
    normalization: dict[str, Any] = field(default_factory=lambda: {"name": "instance"})
    batch: BatchConfig = field(default_factory=BatchConfig)
    curriculum: dict[str, Ramp] = field(default_factory=dict)  # attribute of the loss -> its ramp
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    init_from: str | None = None  # an experiment directory, or its final.pt, whose network this one starts from
    seed: Annotated[int, NOT_NEGATIVE] = 1
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    online: bool = False

    def as_dict(self) -> dict[str, Any]:
        """What `make_system` takes."""
        content = asdict(self)
        if content.pop("online"):
            content["features"]["online"] = True
        return content


SECTIONS = {
    "batch": BatchConfig,
    "train": TrainConfig,
    "validation": ValidationConfig,
    "augmentation": AugmentationConfig,
}
NAMED = ("features", "normalization", "network", "loss", "optimizer", "schedule")


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A YAML file that holds one mapping; an InputError names the file and the line otherwise."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold keys and values")
    return content


def override(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`content` with command-line pairs like ["--loss.margin", "0.3"] put in; values are read as YAML.

    Whatever their order, a section's name (--loss.name softmax, or --loss softmax) goes before what is in it. Another
    name begins the section anew: the old class's arguments are none of the new one's.
    """
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in content.items()}
    if len(overrides) % 2:
        raise InputError(f"{overrides[-1]}: has no value")
    pairs = [(key_path(option), text) for option, text in zip(overrides[::2], overrides[1::2], strict=True)]
    for (*path, last), text in sorted(pairs, key=lambda pair: len(pair[0]) - (pair[0][-1] == "name")):
        section = content
        for depth, name in enumerate(path, start=1):
            value = section.get(name)
            if value is not None and not isinstance(value, (str, Mapping)):
                raise InputError(f"{'.'.join(path[:depth])}: is a value, {value!r}, and has no {last!r}")
            section[name] = {"name": value} if isinstance(value, str) else dict(value or {})
            section = section[name]
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if last == "name" and section.get("name") != value:
            online = {key: section[key] for key in ("online",) if path == ["features"] and key in section}
            section.clear()
            section.update(online)  # no argument of the old front end
        other = {"epochs": "steps", "steps": "epochs"}.get(last)  # one length of the run takes the other's place
        if path == ["train"] and other and ["train", other] not in [key for key, _ in pairs]:
            section.pop(other, None)
        section[last] = value
    return content


def key_path(option: str) -> list[str]:
    """--loss.margin -> [loss, margin]. Ramps have dots of their own: [curriculum, first.margin, start]."""
    if not option.startswith("--"):
        raise InputError(f"{option!r}: an override looks like --loss.margin 0.3")
    first, *rest = option[2:].replace("-", "_").split(".")
    if first == "curriculum" and len(rest) > 1:
        ramp_key = [rest.pop()] if rest[-1] in {entry.name for entry in fields(Ramp)} else []
        rest = [".".join(rest), *ramp_key]
    return [first, *rest]


def make_system(content: Mapping[str, Any], source: str) -> SystemConfig:
    """Check a system's content and fill in every default. Errors begin with `source`, the file or directory."""
    # Registries are floors above this one knows; they are asked only when a whole system is read.
    from spk.feats import FRONT_ENDS
    from spk.losses import LOSSES
    from spk.nets import NETWORKS
    from spk.nets.normalization import NORMALIZATIONS
    from spk.train.optimizers import OPTIMIZERS
    from spk.train.schedules import SCHEDULES

    registries = {
        "features": FRONT_ENDS,
        "normalization": NORMALIZATIONS,
        "network": NETWORKS,
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
    }
    known = [entry.name for entry in fields(SystemConfig) if entry.name != "online"]
    try:
        for key in content:
            if key not in known:
                raise InputError(f"{key}: unknown key; {nearest(key, known)}")
        checked: dict[str, Any] = {}
        for name in NAMED:
            if name in content or name != "normalization":
                if name not in content:
                    raise InputError(f"{name}: missing; it has no default")
                section = content[name]
                if name == "features":
                    section, checked["online"] = split_online(section)
                checked[name] = registries[name].check(name, section)
        own_backend = LOSSES[checked["loss"]["name"]].backend
        checked["evaluation"] = make_evaluation(content.get("evaluation") or {}, own_backend)
        for name, kind in SECTIONS.items():
            section = content.get(name) or {}
            if not isinstance(section, Mapping):
                raise InputError(f"{name}: {section!r} must be a section of keys and values")
            checked[name] = kind(**check_arguments(name, section, kind))
        check_augmentation(checked["augmentation"], checked["online"], checked.get("normalization", {}))
        if checked["online"] and checked["train"].resident is True:
            raise InputError("train.resident: features.online reads no arks that could be; leave it out")
        if checked["online"] and checked["features"].get("dither"):
            raise InputError(
                "features.dither: features.online makes each crop by itself, so that its noise would not be that of "
                "features in archives; set dither to 0"
            )
        batch = checked["batch"]
        LOSSES[checked["loss"]["name"]].check_batch(batch.num_speakers, batch.utterances_per_speaker, checked["loss"])
        check_classifier(checked["train"], batch, checked["loss"])
        checked["curriculum"] = make_curriculum(content.get("curriculum") or {}, checked["loss"])
        hints = get_type_hints(SystemConfig, include_extras=True)
        for name in ("init_from", "seed"):  # they stand outside of sections
            if name in content:
                checked[name] = check_value(name, content[name], hints[name])
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return SystemConfig(**checked)


def split_online(section: Any) -> tuple[Any, bool]:
    """(a section `features` without the key `online`, its value)."""
    if not isinstance(section, Mapping):
        return section, False
    front_end = {name: value for name, value in section.items() if name != "online"}
    return front_end, check_value("features.online", section.get("online", False), bool)


def check_augmentation(augmentation: AugmentationConfig, online: bool, normalization: Mapping[str, Any]) -> None:
    """InputError for what needs waveforms where arks are read, and for masks where 0 is not what features are about."""
    for name in (*AUGMENTATION_KINDS, "speeds"):
        if getattr(augmentation, name) and not online:
            raise InputError(f"augmentation.{name}: needs waveforms; set features.online to true, or leave it out")
    if augmentation.spec_augment is not None and normalization.get("name") == "none":
        raise InputError(
            "augmentation.spec_augment: masks with 0, which is the mean of normalised features only; "
            "choose another normalization.name than none"
        )


def check_classifier(train: TrainConfig, batch: BatchConfig, loss: Mapping[str, Any]) -> None:
    """InputError for options of classification losses with a loss that is none, or with a batch size to be found."""
    from spk.losses import LOSSES

    wanted = {"train.shard_classifier": train.shard_classifier, "train.partial_softmax": train.partial_softmax < 1}
    for key in (key for key, is_wanted in wanted.items() if is_wanted):
        if not LOSSES[loss["name"]].classifies(loss):
            known = ", ".join(name for name in LOSSES if LOSSES[name].classifies(LOSSES.check("loss", name)))
            raise InputError(
                f"{key}: the loss {loss['name']} has no weights for each speaker; leave it out, or take one of {known}"
            )
    if train.shard_classifier and batch.size == "auto":
        raise InputError(
            "batch.size: auto is tried in one process, and train.shard_classifier shares the loss out to several; "
            "give a number"
        )


def make_evaluation(section: Any, own_backend: str | Mapping[str, Any] = "cosine") -> EvaluationConfig:
    """The checked section; `own_backend` stands in for a back-end that it does not name."""
    from spk.backend import BACKENDS

    if not isinstance(section, Mapping):
        raise InputError(f"evaluation: {section!r} must be a section of keys and values")
    evaluation = EvaluationConfig(**check_arguments("evaluation", section, EvaluationConfig))
    evaluation.backend = BACKENDS.check("evaluation.backend", evaluation.backend or own_backend)
    return evaluation


def read_evaluation(text: str, trained: Mapping[str, Any]) -> EvaluationConfig:
    """A protocol from YAML text like '{crops: 10, crop_frames: 300}'; what it does not say is as in `trained`."""
    try:
        section = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        section = text
    if not isinstance(section, Mapping):
        raise InputError(f"evaluation: {text!r} must be keys and values, like '{{crops: 10, crop_frames: 300}}'")
    return make_evaluation({**trained, **section})


def make_curriculum(section: Any, loss: Mapping[str, Any]) -> dict[str, Ramp]:
    """{argument of the loss: ramp}; only numbers that the loss really has, and does not learn, can change."""
    from spk.losses import LOSSES

    if not isinstance(section, Mapping):
        raise InputError(f"curriculum: {section!r} must be a section of keys and values")
    numbers = numbers_of(loss)
    ramps = {}
    for name, values in section.items():
        key = f"curriculum.{name}"
        if values is None:  # --curriculum.margin null takes it out of a file's
            continue
        if name not in numbers:
            raise InputError(
                f"{key}: {loss['name']} has no such number; {nearest(name, numbers)} (--{key} null leaves it out)"
            )
        if not isinstance(values or {}, Mapping):
            raise InputError(f"{key}: {values!r} must be a section of keys and values")
        arguments = check_arguments(key, values or {}, Ramp)
        try:
            ramp = Ramp(**arguments)
        except InputError as error:
            raise InputError(f"{key}: {error}") from None
        if ramp.curve == "geometric" and min(ramp.start, numbers[name]) <= 0:
            raise InputError(f"{key}: a geometric curve needs values above 0, not {ramp.start:g} to {numbers[name]:g}")
        LOSSES.check(f"{key}.start, as loss", with_number(loss, name, ramp.start))
        ramps[name] = ramp
    return ramps


def numbers_of(section: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a checked loss that may change as it trains; those of a loss in it as 'first.margin'.

    Whole numbers have nothing between them; those that the loss calls `fixed` would change nothing.
    """
    from spk.losses import LOSSES

    fixed = LOSSES[section["name"]].fixed(section)
    numbers: dict[str, float] = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            numbers |= numbers_of(value, f"{prefix}{name}.")
        elif isinstance(value, float) and name not in fixed:
            numbers[prefix + name] = value
    return numbers


def with_number(section: Mapping[str, Any], name: str, value: float) -> dict[str, Any]:
    """A copy of the section with the number of this (dotted) name replaced."""
    first, _, rest = name.partition(".")
    return {**section, first: with_number(section[first], rest, value) if rest else value}


def load_system(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> SystemConfig:
    """Read a system's YAML; command-line overrides win over the file.

    Ramps that the file has for its own loss are left out, and that is said, where another loss has no such number.
    """
    from spk.losses import LOSSES

    in_file = read_yaml(path)
    content = override(in_file, overrides)
    ramps = content.get("curriculum")
    if isinstance(ramps, Mapping) and in_file.get("curriculum") and loss_name(content) != loss_name(in_file):
        try:
            numbers = numbers_of(LOSSES.check("loss", content.get("loss", "")))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        foreign = [name for name in ramps if name not in numbers and ramps[name] == in_file["curriculum"].get(name)]
        if foreign:
            log.warning(
                "%s: its curriculum of %s is left out: %s has no such number",
                *(path, ", ".join(foreign), loss_name(content)),
            )
        content["curriculum"] = {name: ramp for name, ramp in ramps.items() if name not in foreign}
    return make_system(content, os.fspath(path))


def loss_name(content: Mapping[str, Any]) -> Any:
    loss = content.get("loss")
    return loss.get("name") if isinstance(loss, Mapping) else loss
