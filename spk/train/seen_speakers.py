"""Whom the network that a training starts from (`init_from`) has seen: held-out speakers should not be among them.

Somebody at another speed is nobody else here: speakers are voices (`Speakers.voices`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spk.config import ValidationConfig, split_online
from spk.data.files import file_digest
from spk.errors import InputError
from spk.schema import check_arguments
from spk.train.experiment import read_config, read_run
from spk.train.training_data import read_utterances, speakers_trained_on

log = logging.getLogger(__name__)
# The held-out speakers are drawn from those whose utterances have features, or online a duration; another list gives
# another draw.
DRAWN_FROM = ("utt2spk", "utt2num_frames", "utt2dur", "utt2uniq")


def speakers_seen(initial: Mapping[str, str] | None, data_dir: Path) -> set[str]:
    """The speakers whom the network `initial` was trained on, by its system or by one that this started from in turn.

    `initial` is what `describe_initial` says and run.json keeps. The draw of each system is repeated on its data: those
    of `data_dir` if they are the same, else where they lay. Raises: InputError when something of this is gone, changed
    or imported.
    """
    return set().union(*speakers_of_each(initial, data_dir))


def speakers_of_each(
    initial: Mapping[str, str] | None, data_dir: Path, *, with_held_out: bool = False
) -> Iterator[set[str]]:
    """`speakers_seen` of each of these systems in turn; with those held out, too, who chose among its networks."""
    while initial is not None:
        path = Path(initial["file"])
        if not path.is_file() or file_digest(path) != initial["digest"]:
            raise InputError(f"{path} is gone or another network now")
        config, run = read_config(path.parent), read_run(path.parent)
        if config is None or run is None or "imported" in run:
            raise InputError(f"{path} was not trained here (steps/train)")
        places = [place for place in (data_dir, Path(run["data"])) if not changed_since(run, place)]
        if not places:
            raise InputError(f"{run['data']}, which {path} was trained on, is gone or has changed")
        if with_held_out:
            yield set(read_utterances(places[0], is_online=is_online(config)).speakers.names.tolist())
        else:
            yield speakers_trained_on(places[0], validation_of(config), config["seed"], is_online=is_online(config))
        initial = run.get("init_from")


def changed_since(run: Mapping[str, Any], data_dir: Path) -> list[str]:
    """Those of DRAWN_FROM that are others in `data_dir` than those that this run (run.json) was trained with."""
    digests = run["data_digests"]
    counts = {*digests, "utt2uniq"} if (data_dir / "utt2uniq").exists() else digests  # it may have come since
    paths = [data_dir / name for name in DRAWN_FROM if name in counts]
    return [path.name for path in paths if not path.is_file() or file_digest(path) != digests.get(path.name)]


def is_online(config: Mapping[str, Any]) -> bool:
    return split_online(config["features"])[1]


def validation_of(config: Mapping[str, Any]) -> ValidationConfig:
    return ValidationConfig(**check_arguments("validation", config["validation"], ValidationConfig))


def warn_of_seen(initial: Mapping[str, str], data_dir: Path, held_out: Sequence[str]) -> None:
    """A warning when held-out speakers have, or may have, trained the network that a training starts from."""
    try:
        seen = speakers_seen(initial, data_dir) & set(held_out)
    except InputError as error:
        log.warning(
            "warning: init_from: whom the network was trained on is not known (%s); validation may flatter", error
        )
        return
    if seen:
        log.warning(
            "warning: init_from: %s was trained on %d of the %d held-out speakers, so that validation flatters; "
            "hold the same ones out in both (seed, validation.speakers)",
            *(initial["file"], len(seen), len(held_out)),
        )
