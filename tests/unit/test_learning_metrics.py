"""Metrics against independent implementations and published figures."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from concura.learning import (
    auc,
    auc_from_histogram,
    auc_interval,
    brier,
    calibration,
    calibration_bins,
    logit,
    roc,
    wilson,
    within_auc,
)
from concura.learning.scores import Scale, count_scores, operating_point, pick_threshold, summary


def some_scores(n=400, seed=1, digits=None):
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 4, size=n)
    y = rng.random(n) < p
    return y, p if digits is None else p.round(digits)


@pytest.mark.parametrize("digits", [None, 2, 1])
def test_the_auc_is_that_of_scikit_learn_also_with_ties(digits):
    y, p = some_scores(digits=digits)

    assert auc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-12)


def test_the_auc_of_one_outcome_alone_is_unknown():
    assert auc(np.ones(3, dtype=bool), np.arange(3.0)) is None
    assert auc(np.zeros(0, dtype=bool), np.zeros(0)) is None


def test_the_brier_score_is_that_of_scikit_learn():
    y, p = some_scores()

    assert brier(y, p) == pytest.approx(brier_score_loss(y, p), abs=1e-12)


def test_the_roc_curve_encloses_the_auc_and_is_that_of_scikit_learn():
    y, p = some_scores(digits=2)
    corners = np.array(roc(y, p))
    false, true, _ = roc_curve(y, p, drop_intermediate=False)

    assert np.trapezoid(corners[:, 1], corners[:, 0]) == pytest.approx(auc(y, p), abs=1e-12)
    assert np.allclose(corners, np.stack([false, true], axis=1))


def test_calibration_is_the_logistic_fit_of_the_outcome_on_the_logit():
    y, p = some_scores(seed=3)
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(logit(p)[:, None], y)

    slope, intercept = calibration(y, logit(p))

    assert slope == pytest.approx(fit.coef_[0, 0], abs=1e-4)
    assert intercept == pytest.approx(fit.intercept_[0], abs=1e-4)


def test_true_probabilities_are_calibrated():
    y, p = some_scores(n=50_000)

    slope, intercept = calibration(y, logit(p))

    assert abs(slope - 1) < 0.05
    assert abs(intercept) < 0.05


def test_calibration_finds_the_slope_of_scores_that_hardly_differ():
    y, p = some_scores(n=5_000)

    slope, _ = calibration(y, 0.001 * logit(p))

    assert slope == pytest.approx(1_000 * calibration(y, logit(p))[0], rel=1e-6)


def test_separated_or_equal_scores_have_no_calibration():
    y = np.array([False] * 5 + [True] * 5)

    assert calibration(y, np.arange(10.0)) is None
    assert calibration(y, np.ones(10)) is None
    assert calibration(np.zeros(0, dtype=bool), np.zeros(0)) is None


def test_weights_count_rows_as_often_as_they_say():
    y, p = some_scores(60)
    w = np.arange(60) % 4

    weighted = calibration(y, logit(p), weights=w.astype(float))

    repeated = calibration(np.repeat(y, w), logit(np.repeat(p, w)))
    assert np.allclose(weighted, repeated)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_of_an_auc_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(300):
        y = np.arange(80) < 30
        score = rng.normal(size=80) + 1.0 * y
        low, high = auc_interval(auc(y, score), 30, 50)
        hits += low <= 0.7602 <= high  # Phi(1 / sqrt 2)

    assert 0.91 <= hits / 300 <= 0.99


def test_the_auc_within_hospitals_ignores_differences_between_them():
    y, p = some_scores(200)
    shifted = [(y[:100], p[:100]), (y[100:], p[100:] + 5.0)]

    inside = within_auc(shifted)

    assert inside == pytest.approx(within_auc([(y[:100], p[:100]), (y[100:], p[100:])]))
    assert within_auc([(y[:100], p[:100])]) == pytest.approx(auc(y[:100], p[:100]))
    assert within_auc(shifted, minimum=1_000) is None


def test_calibration_groups_hold_every_patient_once():
    y, p = some_scores(103)

    groups = calibration_bins(y, p, bins=5)

    assert sum(n for _, _, n in groups) == 103
    assert [m for m, _, _ in groups] == sorted(m for m, _, _ in groups)


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0])
def test_the_histogram_tells_the_auc_within_two_thousandths(size):
    rng = np.random.default_rng(9)
    theta = size * np.array([0.3, 1.0, -0.8, 0.5, 0.2, 0.1])
    x = np.concatenate([np.ones((300, 1)), rng.normal(size=(300, 5))], axis=1)
    logits = x @ theta
    y = rng.random(300) < 1 / (1 + np.exp(-logits / size))
    scale = Scale.of(theta)

    counts = count_scores(logits, y, scale)

    assert counts.sum(axis=1).tolist() == [(~y).sum(), y.sum()]
    assert abs(auc_from_histogram(counts) - auc(y, logits)) < 0.002


def test_the_threshold_catches_the_wanted_share_and_the_next_bin_would_not():
    rng = np.random.default_rng(10)
    counts = rng.integers(0, 4, size=(2, 3_000)).astype(float)

    number = pick_threshold(counts, 0.9)

    assert counts[1, number:].sum() >= 0.9 * counts[1].sum()
    assert counts[1, number + 1 :].sum() < 0.9 * counts[1].sum()


def test_the_operating_point_counts_the_four_cells():
    counts = np.zeros((2, 3_000))
    counts[0, 10], counts[0, 20], counts[1, 10], counts[1, 20] = 30, 20, 5, 45

    point = operating_point(counts, 15)

    assert point["sensitivity"].value == 0.9
    assert point["specificity"].value == 0.6
    assert point["ppv"].value == 45 / 65
    assert (point["ppv"].low, point["ppv"].high) == wilson(45, 65)


@pytest.mark.parametrize(("others", "events"), [(9, 50), (50, 9)])
def test_small_cells_state_no_metric_but_the_reason(others, events):
    counts = np.zeros((2, 3_000))
    counts[0, 0], counts[1, 1] = others, events

    found = summary(counts, Scale(0.0, 1.0), number=1, brier_sum=1.0, loss_sum=1.0)

    assert all(metric.value is None and metric.reason == "small" for metric in found.values())
