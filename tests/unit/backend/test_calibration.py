"""Calibration against drawn scores whose log-likelihood ratios are known, and against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logit

from spk.backend.calibration import separates, train_calibration
from spk.errors import InputError
from spk.metrics.cllr import cllr
from spk.metrics.min_cllr import min_cllr


def drawn(num_targets: int, num_nontargets: int, mean: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """LLRs [N] of unit slope, and is_target [N]: targets N(mean, 2 mean), non-targets N(-mean, 2 mean).

    The ratio of these two densities at x is exp(x): such scores are their own log-likelihood ratios.
    """
    random = np.random.default_rng(seed)
    is_target = np.arange(num_targets + num_nontargets) < num_targets
    signs = np.where(is_target, 1.0, -1.0)
    return signs * mean + np.sqrt(2 * mean) * random.standard_normal(len(signs)), is_target


@pytest.mark.parametrize("p_target", [0.01, 0.05, 0.5])
def test_scores_with_a_known_slope_and_offset_are_given_their_ratios_back(p_target):
    llrs, is_target = drawn(100_000, 300_000, mean=3)
    scores = 0.05 * llrs + 0.4  # so that llr = 20 score - 8
    calibration = train_calibration(scores[:, None], is_target, p_target, ["scores"])
    assert calibration.weights == pytest.approx([20], rel=0.02)
    assert calibration.offset == pytest.approx(-8, abs=0.1)


def test_calibrated_cllr_is_within_one_per_cent_of_the_least():
    llrs, is_target = drawn(2000, 40_000, mean=3)
    scores = 0.1 * llrs - 5
    unseen, unseen_is_target = drawn(100_000, 100_000, mean=3, seed=1)
    calibrated = train_calibration(scores[:, None], is_target, 0.05, ["scores"])(0.1 * unseen[:, None] - 5)
    targets, nontargets = calibrated[unseen_is_target], calibrated[~unseen_is_target]
    assert min_cllr(targets, nontargets) <= cllr(targets, nontargets) < 1.01 * min_cllr(targets, nontargets)


@pytest.mark.parametrize("p_target", [0.1, 1e-3, 1e-5, 0.999])
def test_weights_and_offset_minimise_the_cost_that_is_cited(p_target):
    random = np.random.default_rng(2)
    is_target = np.arange(500) < 60
    inputs = random.standard_normal((500, 2)) * [1, 100] + [3, -7] + is_target[:, None] * [1.5, 80]

    def cost(parameters):
        logits = inputs @ parameters[:2] + parameters[2] + logit(p_target)
        miss, false_alarm = np.logaddexp(0, -logits[is_target]), np.logaddexp(0, logits[~is_target])
        return (p_target * miss.mean() + (1 - p_target) * false_alarm.mean()) / min(p_target, 1 - p_target)

    found = minimize(
        cost, [1, 0.01, -2], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 10_000}
    )
    calibration = train_calibration(inputs, is_target, p_target, ["a", "b"])
    ours = [*calibration.weights, calibration.offset]
    assert ours == pytest.approx(found.x, rel=1e-3)
    assert cost(ours) == pytest.approx(found.fun, abs=1e-9)


def test_the_fusion_of_two_systems_beats_each():
    random = np.random.default_rng(3)
    is_target = np.arange(40_000) < 8000
    systems = is_target[:, None] * 2.0 + random.standard_normal((40_000, 2))  # their errors are independent
    half = random.permutation(40_000) < 20_000

    def cllr_of(columns):
        inputs = systems[:, columns]
        calibration = train_calibration(inputs[half], is_target[half], 0.5, ["a", "b"])
        llrs, labels = calibration(inputs[~half]), is_target[~half]
        return cllr(llrs[labels], llrs[~labels])

    # Two independent observations at distance 2 are worth one at distance 2 sqrt(2).
    assert cllr_of([0, 1]) < 0.7 * min(cllr_of([0]), cllr_of([1]))


def test_calibration_keeps_the_order_of_scores_and_repeats_itself():
    llrs, is_target = drawn(300, 900, mean=1)
    first, second = (train_calibration(llrs[:, None], is_target, 0.05, ["a"]) for _ in range(2))
    assert first.offset == second.offset
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(np.argsort(first(llrs[:, None]), kind="stable"), np.argsort(llrs, kind="stable"))


@pytest.mark.parametrize("p_target", [0.05, 1e-4])
def test_separable_classes_get_finite_weights(p_target):
    scores, is_target = np.array([0.9, 0.8, 0.2, 0.1, 0.15]), np.array([1, 1, 0, 0, 0], bool)
    calibration = train_calibration(scores[:, None], is_target, p_target, ["scores"])
    llrs = calibration(scores[:, None])
    assert separates(llrs, is_target)
    assert np.isfinite(llrs).all()
    assert llrs[is_target].min() > 3 and llrs[~is_target].max() < -3
    assert not separates(np.array([1.0, 0.0, 0.0]), np.array([True, True, False]))


def test_scores_the_wrong_way_round_get_a_negative_weight():
    llrs, is_target = drawn(300, 900, mean=2)
    assert train_calibration(-llrs[:, None], is_target, 0.05, ["a"]).weights[0] < 0


@pytest.mark.parametrize("p_target", [0, 1, -0.1, float("nan")])
def test_a_prior_out_of_range_is_refused(p_target):
    with pytest.raises(InputError, match=r"p_target: .* out of range"):
        train_calibration(np.array([[0.0], [1.0]]), np.array([False, True]), p_target, ["a"])


def test_what_tells_nothing_is_refused():
    with pytest.raises(InputError, match="there are no target trials"):
        train_calibration(np.array([[0.0], [1.0]]), np.array([False, False]), 0.05, ["a"])
    with pytest.raises(InputError, match="exp/b is the same for all 2 trials"):
        train_calibration(np.array([[0.0, 0.1], [1.0, 0.1]]), np.array([False, True]), 0.05, ["exp/a", "exp/b"])
