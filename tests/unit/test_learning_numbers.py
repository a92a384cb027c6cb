"""Logistic regression, Adam, federated averaging: against independent calculations."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from concura.learning import Cohort, make_study, split
from concura.learning.adam import adam_start, adam_step
from concura.learning.fedavg import client_delta, make_plan, server_start, server_step
from concura.learning.logistic import design, gradient, log_losses, sigmoid


def some_patients(n=60, d=3, seed=1):
    rng = np.random.default_rng(seed)
    x = design(rng.normal(size=(n, d)))
    y = rng.random(n) < 0.4
    return x, y


def test_the_sigmoid_is_exact_and_never_overflows():
    z = np.array([-1e6, -30.0, 0.0, 2.0, 1e6])

    assert np.allclose(sigmoid(z)[1:4], 1 / (1 + np.exp(-z[1:4])), rtol=1e-3, atol=1e-15)
    assert sigmoid(z)[0] == 0
    assert sigmoid(z)[4] == 1


def test_log_losses_are_minus_log_of_what_happened():
    z, y = np.array([-2.0, 0.5, 900.0]), np.array([True, False, True])
    p = sigmoid(z[:2])

    assert np.allclose(log_losses(z, y), [-np.log(p[0]), -np.log(1 - p[1]), 0.0])


def test_the_gradient_is_the_slope_of_the_penalised_loss():
    x, y = some_patients()
    theta, member, l2 = np.array([[0.3, -0.2, 0.5, 0.1]]), np.ones((60, 1)), 0.1
    member[::3] = 0

    def loss(t):
        inside = member[:, 0] > 0
        return log_losses(x @ t, y)[inside].mean() + l2 / 2 * (t[1:] ** 2).sum()

    step = 1e-6
    slopes = [
        (loss(theta[0] + step * e) - loss(theta[0] - step * e)) / (2 * step) for e in np.eye(4)
    ]

    found = gradient(theta, x, y=y[:, None].astype(float), member=member, l2=l2)
    assert np.allclose(found[0], slopes, atol=1e-8)


def test_many_models_side_by_side_move_as_each_would_alone():
    x, y = some_patients()
    theta = np.random.default_rng(2).normal(size=(5, 4))
    member = (np.random.default_rng(3).random((60, 5)) < 0.7).astype(float)
    column = y[:, None].astype(float)

    together = gradient(theta, x, y=column, member=member, l2=0.2)

    for k in range(5):
        alone = gradient(theta[k : k + 1], x, y=column, member=member[:, k : k + 1], l2=0.2)
        assert np.allclose(together[k], alone[0], rtol=1e-13)


def test_adam_follows_the_published_equations():
    rng = np.random.default_rng(4)
    theta, state = np.array([[1.0, -2.0]]), adam_start(np.zeros((1, 2)))
    expected, m, v = theta.copy(), np.zeros((1, 2)), np.zeros((1, 2))
    for t in range(1, 8):
        g = rng.normal(size=(1, 2))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        alpha = 0.05 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected = expected - alpha * m / (np.sqrt(v) + 1e-7)

        theta, state = adam_step(theta, state, gradient=g, rate=np.array([[0.05]]))

    assert np.allclose(theta, expected, rtol=1e-12)


def study(**settings):
    return make_study(
        "default",
        study_id="00",
        seed=1,
        features=("a", "b", "c"),
        features_digest="",
        outcome="o",
        horizon_days=1,
        **settings,
    )


def test_the_plan_holds_every_pair_with_its_full_model_and_its_folds():
    plan = make_plan(study(client_rates=(0.1, 0.2), server_rates=(0.3,), folds=4))

    assert plan.client.shape == (10, 1)
    assert plan.left_out.tolist() == [-1, 0, 1, 2, 3] * 2
    assert plan.client[:, 0].tolist() == [0.1] * 5 + [0.2] * 5


def test_a_fold_model_never_sees_its_fold():
    x, y = some_patients(200)
    s = study()
    cohort = Cohort(x[:, 1:], y, tuple(str(i) for i in range(200)))
    data, plan = split(s, cohort), make_plan(s)

    member = plan.member(data)

    assert (member[:, 0] == 1).all()
    assert (member[:, 1] == (data.fold != 0)).all()


def test_a_hospital_without_patients_for_a_model_does_not_move_it():
    x, y = some_patients(5)
    s = study()
    plan = make_plan(s)
    theta = np.ones((plan.client.shape[0], 4))

    delta = client_delta(
        s, plan, theta=theta, x=x, y=y[:, None].astype(float), member=np.zeros((5, len(theta)))
    )

    assert (delta == 0).all()


@pytest.mark.parametrize("weights", [(300.0, 100.0), (1.0, 1.0)])
def test_the_server_moves_along_the_weighted_mean_of_the_hospitals(weights):
    s = study(client_rates=(0.1,), server_rates=(0.3,), folds=2)
    plan = make_plan(s)
    server = server_start(plan, 3)
    rng = np.random.default_rng(5)
    deltas = [rng.normal(size=server.theta.shape) for _ in weights]
    mean = sum(w * d for w, d in zip(weights, deltas, strict=True)) / sum(weights)

    moved = server_step(
        server,
        plan,
        delta_sum=sum(w * d for w, d in zip(weights, deltas, strict=True)),
        weight_sum=np.full(len(server.theta), sum(weights)),
    )

    # The first step of Adam has the length of its rate, and the sign of the mean.
    assert np.allclose(moved.theta, 0.3 * np.sign(mean), atol=1e-4)
    assert np.allclose(moved.adam.m, -0.1 * mean)


def test_federated_averaging_of_one_hospital_reaches_the_optimum_that_scikit_learn_finds():
    x, y = some_patients(400, seed=6)
    s = study(client_rates=(0.01,), server_rates=(0.03,), folds=2, rounds=400, l2=0.05)
    plan, column = make_plan(s), y[:, None].astype(float)
    server, member = server_start(plan, 3), np.ones((400, 3))
    for _ in range(s.rounds):
        delta = client_delta(s, plan, theta=server.theta, x=x, y=column, member=member)
        server = server_step(server, plan, delta_sum=delta, weight_sum=np.ones(3))

    oracle = LogisticRegression(C=1 / (0.05 * 400), tol=1e-10).fit(x[:, 1:], y)
    assert np.allclose(server.theta[0], [*oracle.intercept_, *oracle.coef_[0]], atol=0.01)
