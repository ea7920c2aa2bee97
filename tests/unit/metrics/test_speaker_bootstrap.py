"""Resampling speakers: against repeated trials, against the closed form of its variance, and what must not matter."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from unit.metrics.test_rates import SCORES

from spk.errors import InputError
from spk.metrics.error_rates import error_rates
from spk.metrics.json_numbers import without_infinities
from spk.metrics.paired import compare
from spk.metrics.speaker_bootstrap import TRIALS_AT_ONCE, bootstrap, draw_metrics, interval, num_threads
from spk.metrics.summary import summary
from spk.metrics.weighted_trials import METRICS, WeightedTrials, nested

BOTH_ARE_THERE = {"eer", "min_dcf", "min_cllr", "cllr", "act_dcf"}


def drawn_trials(num_speakers: int = 12, num_trials: int = 600, seed: int = 0):
    """Scores of two systems, is_target, and the speakers of both sides; speakers differ in how well they are known."""
    random = np.random.default_rng(seed)
    is_target = np.arange(num_trials) % 3 == 0
    enroll = random.integers(num_speakers, size=num_trials)
    test = np.where(is_target, enroll, (enroll + random.integers(1, num_speakers, size=num_trials)) % num_speakers)
    speaker = random.standard_normal(num_speakers)
    common = np.where(is_target, 4, -4) + speaker[enroll] + speaker[test] + 2 * random.standard_normal(num_trials)
    a, b = common + random.standard_normal((2, num_trials))
    return a, b, is_target, enroll, test


def few_speakers(num_speakers: int):
    """Scores, is_target, and speakers of both sides, in very different roles: one enrols, few are tested."""
    random = np.random.default_rng(num_speakers)
    is_target = np.arange(240) % 4 == 0
    enroll = np.where(is_target, random.integers(num_speakers, size=240), random.integers(num_speakers - 2, size=240))
    test = np.where(is_target, enroll, num_speakers - 1 - (enroll == 0) * random.integers(2, size=240))
    skill = 2 * np.arange(num_speakers) / num_speakers
    values = np.where(is_target, 1.5, -1) + skill[enroll] - 1.5 * skill[test] + random.standard_normal(240)
    return values, is_target, enroll, test


def drawn_by_repeating_trials(values, is_target, enroll, test, num_draws: int, seed: int):
    """[num_draws] summaries: every copy of a speaker has its target trials, and meets every copy of the others."""
    num_speakers = len({*enroll.tolist(), *test.tolist()})
    for draw in range(num_draws):
        for attempt in range(1000):
            copies = np.random.default_rng([seed, attempt, draw]).integers(num_speakers, size=num_speakers).tolist()
            targets = [v for copy in copies for v in values[is_target & (enroll == copy)]]
            nontargets = [
                value
                for first in copies
                for second in copies
                for value in values[~is_target & (enroll == first) & (test == second)]
            ]
            if targets and nontargets:
                yield summary(error_rates(targets, nontargets))
                break


@pytest.mark.parametrize("num_speakers", [4, 6])
def test_draws_and_intervals_are_those_of_trials_that_are_literally_repeated(num_speakers):
    trials = few_speakers(num_speakers)
    values, is_target = trials[:2]
    slow = list(drawn_by_repeating_trials(*trials, num_draws=40, seed=7))
    whole = summary(error_rates(values[is_target], values[~is_target]))
    result = bootstrap(*trials, num_draws=40, seed=7)
    fast = draw_metrics([values], *trials[1:], num_draws=40, seed=7)
    assert result["num_speakers"] == num_speakers
    t = stats.t.ppf(0.975, num_speakers - 1)
    for column, (name, p_target) in enumerate(METRICS):

        def of(each, name=name, p_target=p_target):
            return each[name] if p_target is None else each[name][p_target]

        drawn = np.array([of(each) for each in slow])
        np.testing.assert_allclose(fast.drawn[:, 0, column], drawn, rtol=1e-9)
        if p_target is not None:
            continue
        # The sample variance of the draws times n / (n - 1), and their mean less the value as the bias.
        error = math.sqrt(drawn.var(ddof=1) * num_speakers / (num_speakers - 1))
        value = of(whole)
        center = 2 * value - drawn.mean()
        if name == "eer":
            reach, odds = t * error / (value * (1 - value)), center / (1 - center)
            limits = [odds * math.exp(way) / (1 + odds * math.exp(way)) for way in (-reach, reach)]
        else:
            limits = [center * math.exp(way * t * error / value) for way in (-1, 1)]
            limits[1] = min(limits[1], 1) if name == "min_cllr" else limits[1]
        assert center > 0 and abs(center - value) > 1e-3 * value
        assert of(result) == pytest.approx(limits, rel=1e-6)


@given(SCORES, st.data())
def test_weighted_metrics_are_those_of_repeated_trials(scores, data):
    kinds = [np.asarray(kind, dtype=np.float64) for kind in scores]
    counts = [
        np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(kind), max_size=len(kind)).filter(any)))
        for kind in kinds
    ]
    is_target = np.arange(len(kinds[0]) + len(kinds[1])) < len(kinds[0])
    system, weights = WeightedTrials(np.concatenate(kinds), is_target), np.concatenate(counts)
    found = nested(system.metrics(weights[system.target_order], weights[system.nontarget_order]).tolist())
    expected = summary(error_rates(*map(np.repeat, kinds, counts)))
    for name in BOTH_ARE_THERE:
        assert found[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12)


def test_the_variance_of_a_mean_of_scores_is_that_of_the_closed_form():
    """Cllr is half the sum of two means, so its influence function i is known. Products of weights have covariance 1
    for two trials of one common speaker, and 3 for two non-target trials of the same two speakers."""
    values, _, is_target, enroll, test = drawn_trials(num_speakers=60, num_trials=900)
    values = 0.1 * values
    costs = np.logaddexp(0, np.where(is_target, -values, values)) / math.log(2)
    means = np.where(is_target, costs[is_target].mean(), costs[~is_target].mean())
    influence = 0.5 * (costs - means) / np.where(is_target, is_target.sum(), (~is_target).sum())
    first, second = np.minimum(enroll, test), np.maximum(enroll, test)
    common = (first[:, None] == first) | (first[:, None] == second) | (second[:, None] == first)
    common |= second[:, None] == second
    same_pair = (first[:, None] == first) & (second[:, None] == second) & ~is_target & ~is_target[:, None]
    expected = math.sqrt(influence @ (common + 2 * same_pair) @ influence)
    draws = draw_metrics([values], is_target, enroll, test, num_draws=2000, seed=3)
    error = draws.standard_errors(draws.drawn[:, 0])[METRICS.index(("cllr", None))]
    assert error == pytest.approx(expected, rel=0.06)


def test_intervals_have_the_shape_of_the_summary_and_are_ready_for_json():
    values, _, is_target, enroll, test = drawn_trials()
    result = bootstrap(values, is_target, enroll, test, num_draws=50)
    assert json.loads(json.dumps(result)) == result
    assert (result["num_draws"], result["level"], result["num_speakers"]) == (50, 0.95, 12)
    whole = summary(error_rates(values[is_target], values[~is_target]))
    for name in BOTH_ARE_THERE:
        several = isinstance(whole[name], dict)
        for p_target, value in whole[name].items() if several else [(None, whole[name])]:
            low, high = result[name][p_target] if several else result[name]
            assert 0 < low < high and low < 1.5 * value


def test_a_higher_level_is_a_wider_interval():
    values, _, is_target, enroll, test = drawn_trials()
    levels = {level: bootstrap(values, is_target, enroll, test, 50, level=level)["eer"] for level in (0.8, 0.95)}
    assert levels[0.95][0] < levels[0.8][0] < levels[0.8][1] < levels[0.95][1]


def test_neither_order_nor_speakers_numbers_nor_processors_matter(monkeypatch):
    values, _, is_target, enroll, test = drawn_trials()
    expected = bootstrap(values, is_target, enroll, test, num_draws=20, seed=5)
    order = np.random.default_rng(1).permutation(len(values))
    shuffled = bootstrap(values[order], is_target[order], enroll[order], test[order], num_draws=20, seed=5)
    assert shuffled == expected
    assert bootstrap(values, is_target, 7 * enroll + 1000, 7 * test + 1000, num_draws=20, seed=5) == expected
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for processors in ({0}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, processors=processors: processors)
        assert bootstrap(values, is_target, enroll, test, num_draws=20, seed=5) == expected
    assert bootstrap(values, is_target, enroll, test, num_draws=20, seed=6) != expected


def test_no_more_draws_are_made_at_once_than_a_job_may_or_the_memory_holds(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    for share, expected in (("3", 3), ("64", 16), ("", 16), ("4,2", 16), ("0", 16)):
        monkeypatch.setenv("OMP_NUM_THREADS", share)
        assert num_threads(1000) == expected
    assert num_threads(TRIALS_AT_ONCE // 4) == 4
    assert num_threads(3 * TRIALS_AT_ONCE) == 1


def test_weights_of_one_byte_are_summed_without_overflow():
    values, _, is_target, *_ = drawn_trials()
    system, weights = WeightedTrials(values, is_target), np.random.default_rng(0).integers(256, size=len(values))
    large, small = (
        system.metrics(*(weights[order].astype(dtype) for order in (system.target_order, system.nontarget_order)))
        for dtype in (np.int64, np.uint8)
    )
    np.testing.assert_array_equal(large, small)


def test_a_draw_without_targets_or_non_targets_is_drawn_again():
    """Of two speakers every second draw is one of them twice, and of three some have no target trial."""
    values, is_target = np.array([3.0, -1, 1, 0, -2]), np.array([True, True, True, False, False])
    enroll, test = np.array([0, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 0])
    result = bootstrap(values, is_target, enroll, test, num_draws=40)
    assert result["num_speakers"] == 2
    assert all(np.isfinite(limit) for limit in result["eer"] or [0])


def test_where_no_draw_can_vary_there_is_no_interval():
    is_target, speakers = np.array([True, True, False, False]), np.array([0, 1, 0, 1])
    apart = bootstrap(np.array([30.0, 20, -20, -30]), is_target, speakers, np.array([0, 1, 1, 0]), num_draws=20)
    assert apart["eer"] is None and apart["min_dcf"]["0.01"] is None and apart["act_dcf"]["0.01"] is None
    wrong = bootstrap(np.array([-np.inf, 20, 0, 1]), is_target, speakers, np.array([0, 1, 1, 0]), num_draws=20)
    assert wrong["cllr"] is None


def test_an_interval_worked_by_hand():
    t = 2.228138851964939  # 97.5 % quantile of Student's t with 10 degrees of freedom
    assert interval(0.05, 0.01, 11, 0.95, "linear") == pytest.approx([0.05 - 0.01 * t, 0.05 + 0.01 * t])
    assert interval(0.05, 0.01, 11, 0.95, "log") == pytest.approx([0.05 * math.exp(-0.2 * t), 0.05 * math.exp(0.2 * t)])
    # logit(1/2) = 0, its slope 4: 1 / (1 + e^(0.4 t)) on either side of 1/2.
    reach = 1 / (1 + math.exp(0.4 * t))
    assert interval(0.5, 0.1, 11, 0.95, "logit") == pytest.approx([reach, 1 - reach])
    assert interval(0.9, 0.1, 11, 0.95, "log", largest=1)[1] == 1
    assert interval(0.05, 0.01, 11, 0.95, "linear", bias=0.02) == pytest.approx([0.03 - 0.01 * t, 0.03 + 0.01 * t])
    # Where the bias moves, the length on the scale stays: 0.2 t to either side.
    assert interval(0.05, 0.01, 11, 0.95, "log", bias=-0.01)[0] == pytest.approx(0.06 * math.exp(-0.2 * t))
    assert interval(0.05, 0.01, 11, 0.95, "log", bias=0.06) is None
    assert interval(0.0, 0.1, 11, 0.95, "log") is None
    assert interval(0.5, 0.0, 11, 0.95, "log") is None


def test_more_evidence_makes_shorter_intervals():
    lengths = []
    for num_speakers in (20, 320):
        values, _, is_target, enroll, test = drawn_trials(num_speakers, 50 * num_speakers)
        low, high = bootstrap(values, is_target, enroll, test, num_draws=100)["eer"]
        lengths.append(high - low)
    assert lengths[1] == pytest.approx(lengths[0] / 4, rel=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_draws": 1}, "draws: 1 is out of range"),
        ({"values": np.full(600, np.nan)}, "are NaN"),
        ({"is_target": np.ones(600, dtype=bool)}, "no non-target trials"),
        ({"is_target": np.zeros(600, dtype=bool)}, "no target trials"),
    ],
)
def test_what_has_no_answer_is_refused(change, message):
    names = ("values", "is_target", "enroll_speakers", "test_speakers")
    values, _, *rest = drawn_trials()
    with pytest.raises(InputError, match=message):
        bootstrap(**{**dict(zip(names, (values, *rest), strict=True)), **change})


def test_a_difference_is_that_of_the_two_summaries():
    a, b, *rest = drawn_trials()
    result = compare(a, b + 1, *rest, num_draws=30)
    assert json.loads(json.dumps(result)) == result
    is_target = rest[0]
    whole = [summary(error_rates(values[is_target], values[~is_target])) for values in (a, b + 1)]
    for name in ("eer", "cllr"):
        assert [result[name]["a"], result[name]["b"]] == pytest.approx([each[name] for each in whole])
        assert result[name]["difference"] == pytest.approx(whole[1][name] - whole[0][name])
    assert result["min_dcf"]["0.05"]["a"] == pytest.approx(whole[0]["min_dcf"]["0.05"])


def test_exchanging_the_systems_changes_signs_only():
    a, b, *rest = drawn_trials()
    forwards, backwards = compare(a, b, *rest, num_draws=30)["eer"], compare(b, a, *rest, num_draws=30)["eer"]
    assert backwards["difference"] == -forwards["difference"]
    assert backwards["interval"] == pytest.approx([-limit for limit in reversed(forwards["interval"])])
    assert backwards["p"] == pytest.approx(forwards["p"])


def test_p_and_interval_say_the_same():
    a, b, *rest = drawn_trials()
    result = compare(a, b, *rest, num_draws=30)["eer"]
    low, high = result["interval"]
    assert (low + high) / 2 == pytest.approx(result["difference"])
    # The level at which the interval would just reach 0 is 1 - p.
    reach = abs(result["difference"]) / ((high - low) / 2) * stats.t.ppf(0.975, 11)
    assert result["p"] == pytest.approx(2 * stats.t.sf(reach, 11))


def test_a_system_does_not_differ_from_itself_and_a_worse_one_does():
    a, _, *rest = drawn_trials(num_speakers=40, num_trials=4000)
    same = compare(a, 2 * a + 1, *rest, num_draws=50)["eer"]  # the same order, so the same errors
    assert (same["difference"], same["interval"], same["p"]) == (0, [0, 0], 1)
    noise = 3 * np.random.default_rng(0).standard_normal(len(a))
    worse = compare(a, a + noise, *rest, num_draws=50)["eer"]
    assert worse["difference"] > 0 and worse["p"] < 0.001


def test_of_infinite_metrics_nothing_is_said(recwarn):
    a, b, is_target, *speakers = drawn_trials()
    sure = np.where(np.arange(len(a)) == np.flatnonzero(is_target)[0], -np.inf, a)
    both = compare(sure, sure - 1, is_target, *speakers, num_draws=5)["cllr"]
    assert both == {"a": np.inf, "b": np.inf, "difference": None, "interval": None, "p": None}
    one = compare(b, sure, is_target, *speakers, num_draws=5)
    assert one["cllr"] == {"a": one["cllr"]["a"], "b": np.inf, "difference": np.inf, "interval": None, "p": None}
    assert np.isfinite(one["cllr"]["a"]) and one["eer"]["p"] is not None
    assert not recwarn.list
    text = json.dumps(without_infinities({"metrics": [one]}), allow_nan=False)
    assert json.loads(text)["metrics"][0]["cllr"] == one["cllr"] | {"b": None, "difference": None}


def test_shared_difficulty_cancels_out_of_the_difference():
    a, b, *rest = drawn_trials(num_speakers=40, num_trials=4000)
    low, high = compare(a, b, *rest, num_draws=100)["eer"]["interval"]
    alone = bootstrap(a, *rest, num_draws=100)["eer"]
    assert high - low < 0.7 * (alone[1] - alone[0])
