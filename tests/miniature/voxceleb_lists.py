"""The six trial lists of VoxCeleb1 in their published form: `1|0 <file> <file>`, and how many lines each has."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from miniature.celebrities import Celebrity
from miniature.voxceleb_corpus import Utterance

Trial = tuple[int, str, str]
LIST_FILES = {
    "o": "veri_test.txt",
    "o_cleaned": "veri_test2.txt",
    "e": "list_test_all.txt",
    "e_cleaned": "list_test_all2.txt",
    "h": "list_test_hard.txt",
    "h_cleaned": "list_test_hard2.txt",
}


def make_lists(utterances: Sequence[Utterance], per_side: int, generator: random.Random) -> dict[str, list[Trial]]:
    """Name of the list -> trials: O of the test speakers, E of all, H of all against the same gender and nationality.

    A cleaned list is the list without the trials of a test speaker's first utterance, as the published ones are without
    some utterances of doubtful speakers.
    """
    test = [one for one in utterances if one.celebrity.set == "test"]
    doubtful = f"{test[0].name}.wav"
    lists = {
        "o": make_trials(test, anyone, per_side, generator),
        "e": make_trials(utterances, anyone, per_side, generator),
        "h": make_trials(utterances, alike, per_side, generator),
    }
    cleaned = {
        f"{name}_cleaned": [trial for trial in trials if doubtful not in trial] for name, trials in lists.items()
    }
    return {name: (lists | cleaned)[name] for name in LIST_FILES}


def anyone(one: Celebrity, other: Celebrity) -> bool:
    return True


def alike(one: Celebrity, other: Celebrity) -> bool:
    return (one.gender, one.nationality) == (other.gender, other.nationality)


def make_trials(
    utterances: Sequence[Utterance],
    comparable: Callable[[Celebrity, Celebrity], bool],
    per_side: int,
    generator: random.Random,
) -> list[Trial]:
    """For each utterance `per_side` target and as many non-target trials in turn, or fewer where there are not as many.

    Non-targets are of speakers `comparable` with it; an utterance whose speaker has none is left out.
    """
    trials: list[Trial] = []
    for enroll in utterances:
        own = [one for one in utterances if one.celebrity == enroll.celebrity and one is not enroll]
        others = [
            one
            for one in utterances
            if one.celebrity != enroll.celebrity and comparable(enroll.celebrity, one.celebrity)
        ]
        number = min(per_side, len(own), len(others))
        pairs = zip(generator.sample(own, number), generator.sample(others, number), strict=True)
        for target, nontarget in pairs:
            trials.append((1, f"{enroll.name}.wav", f"{target.name}.wav"))
            trials.append((0, f"{enroll.name}.wav", f"{nontarget.name}.wav"))
    return trials


def list_text(trials: Sequence[Trial]) -> str:
    return "".join(f"{label} {enroll} {test}\n" for label, enroll, test in trials)
