"""The draws of speakers of a score file, made once until its files change: of very many runs they take minutes."""

from __future__ import annotations

import functools
import zipfile

import numpy as np

from spk.data.files import whole_file
from spk.data.stamp import describe_inputs
from spk.metrics.speaker_bootstrap import Draws, draw_metrics
from spk.metrics.weighted_trials import METRICS
from spk.report.results import SEED, ScoreFile, measured_by, read_trials_once
from spk.report.speakers import Speakers, speakers_of_trials


def draws_of(scores: ScoreFile, num_draws: int) -> Draws:
    """Of this score file alone; score files of the same trials have the same draws. Kept in a hidden file beside it.

    Raises: InputError as `speakers_of_trials` and `draw_metrics`.
    """
    made_from = describe_inputs(scores.inputs(), {"metrics": str(METRICS), **measured_by(num_draws)})
    described = np.array(sorted(made_from.items()))
    kept_at = scores.path.with_name(f".{scores.path.name}.draws.npz")
    try:
        with np.load(kept_at, allow_pickle=False) as kept:
            if np.array_equal(kept["made_from"], described):
                return Draws(int(kept["num_speakers"]), kept["values"], kept["drawn"])
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # none yet, or damaged
    trials, values = scores.read()
    speakers = speakers_once(scores.trials, tuple(map(str, scores.utt2spk)), scores.enroll_models)
    draws = draw_metrics([values], trials.is_target, *speakers, num_draws, SEED)
    with whole_file(kept_at, "wb") as file:
        np.savez(file, made_from=described, num_speakers=draws.num_speakers, values=draws.values, drawn=draws.drawn)
    return draws


@functools.lru_cache(maxsize=2)
def speakers_once(trials: str, tables: tuple[str, ...], enroll_models: str) -> Speakers:
    return speakers_of_trials(read_trials_once(trials), tables, enroll_models)
