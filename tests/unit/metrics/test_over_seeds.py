"""Systems of several seeds on the same trials: means, deviations, differences to a reference, corrected p-values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spk.errors import InputError
from spk.metrics.eer import eer_from
from spk.metrics.error_rates import error_rates
from spk.metrics.over_seeds import compare_over_seeds, correct, spread
from spk.metrics.paired import compare

SPEAKERS, UTTERANCES = 30, 4


@pytest.fixture(scope="module")
def trials():
    """(is_target, enroll speakers, test speakers): all pairs of utterances."""
    speakers = np.repeat(np.arange(SPEAKERS), UTTERANCES)
    first, second = np.triu_indices(len(speakers), k=1)
    return speakers[first] == speakers[second], speakers[first], speakers[second]


def scores(trials, random, gap, of_speaker):
    """Targets `gap` above non-targets; some speakers are harder, the same ones for all systems."""
    is_target, enroll, test = trials
    noise = random.standard_normal(len(is_target))
    return noise + is_target * (gap + of_speaker[enroll]) + 0.1 * of_speaker[test]


@pytest.fixture(scope="module")
def result(trials):
    random = np.random.default_rng(0)
    of_speaker = 0.5 * random.standard_normal(SPEAKERS)
    gaps = {"ours": [2.0, 2.1, 1.9], "better": [3.0, 3.1, 2.9], "alike": [2.0, 2.05, 1.95], "once": [2.0]}
    runs = {name: [scores(trials, random, gap, of_speaker) for gap in own] for name, own in gaps.items()}
    return runs, compare_over_seeds(runs, "ours", *trials, num_draws=200)


def test_means_and_deviations_are_those_of_the_seeds(trials, result):
    runs, found = result
    for name, own in runs.items():
        values = [eer_from(error_rates(one[trials[0]], one[~trials[0]])) for one in own]
        assert found[name]["eer"]["values"] == pytest.approx(values)
        assert found[name]["eer"]["mean"] == pytest.approx(np.mean(values))
        if len(values) > 1:
            assert found[name]["eer"]["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert found["once"]["eer"]["deviation"] is None and found["once"]["num_seeds"] == 1


def test_a_better_system_is_told_and_an_equal_one_is_not(result):
    _, found = result
    assert found["better"]["eer"]["difference"] < 0 and found["better"]["eer"]["p_holm"] < 0.01
    assert found["better"]["eer"]["difference_interval"][1] < 0
    assert found["alike"]["eer"]["p_holm"] > 0.05
    assert found["ours"]["eer"]["p"] is None and found["ours"]["eer"]["difference"] is None


def test_seeds_make_intervals_longer(trials, result):
    """Of one seed there is the speakers' part alone, as in the paired test of two score files."""
    runs, _ = result
    one_each = {name: runs[name][:1] for name in ("ours", "better")}
    of_one = compare_over_seeds(one_each, "ours", *trials, num_draws=200)["better"]["eer"]
    paired = compare(one_each["ours"][0], one_each["better"][0], *trials, num_draws=200)["eer"]
    assert of_one["difference_interval"] == pytest.approx(paired["interval"])
    assert of_one["p"] == pytest.approx(paired["p"])


def test_one_seed_against_several_is_no_test(result):
    """Nobody knows how far that system's other seeds would have been."""
    once = result[1]["once"]["eer"]
    assert np.isfinite(once["difference"])
    assert once["p"] is None and once["p_holm"] is None and once["difference_interval"] is None


def test_the_sum_of_variances_has_satterthwaites_degrees_of_freedom():
    error, freedom = spread([(4.0, 10), (1.0, 2)])
    assert error == pytest.approx(5**0.5) and freedom == pytest.approx(25 / (16 / 10 + 1 / 2))
    equal = [(2.0, 5), (2.0, 5)]  # Welch's of two samples alike: twice the freedom
    assert spread(equal)[1] == pytest.approx(10)


def test_holms_correction():
    cells = [{"p": p} for p in (0.01, 0.04, 0.03, 0.005)]
    correct(cells)
    assert [cell["p_holm"] for cell in cells] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_equal_systems_are_called_different_no_more_often_than_said():
    """The same objective under two names, three seeds each, other speakers every time: 5 % of p below 0.05."""
    random = np.random.default_rng(1)
    speakers = np.repeat(np.arange(SPEAKERS), 2)
    first, second = np.triu_indices(len(speakers), k=1)
    trials = speakers[first] == speakers[second], speakers[first], speakers[second]
    found = []
    for _ in range(60):
        of_speaker = 0.7 * random.standard_normal(SPEAKERS)
        runs = {
            name: [scores(trials, random, 2 + 0.2 * random.standard_normal(), of_speaker) for _ in range(3)]
            for name in ("a", "b")
        }
        found.append(compare_over_seeds(runs, "a", *trials, num_draws=60)["b"]["eer"]["p"])
    rejected = sum(p < 0.05 for p in found)
    assert rejected <= stats.binom.ppf(0.999, len(found), 0.05)


def test_an_unknown_reference_is_refused(trials):
    with pytest.raises(InputError, match="'x' has no scores; there are a"):
        compare_over_seeds({"a": [np.zeros(len(trials[0]))]}, "x", *trials)
