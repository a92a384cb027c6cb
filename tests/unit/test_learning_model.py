"""The model: read back as written, refused when anything is off, and predicting as its formula says."""

import dataclasses
import json

import numpy as np
import pytest

from concura import canonical
from concura.errors import ModelUnusable
from concura.learning import Cohort, Metric, Model, make_study, predict, run

FEATURES = ("a", "b", "c")


def study(**settings):
    return make_study(
        "default",
        study_id="00" * 16,
        seed=3,
        features=FEATURES,
        features_digest="11" * 32,
        outcome="death",
        horizon_days=365,
        rounds=4,
        **settings,
    )


def cohort(hospital, n=60):
    rng = np.random.default_rng(hospital)
    x = rng.normal(size=(n, 3)) * [1.0, 20.0, 0.1] + [hospital, 100.0, 0.0]
    y = rng.random(n) < 1 / (1 + np.exp(-(x[:, 0] - hospital)))
    x[rng.random((n, 3)) < 0.1] = np.nan
    return Cohort(x, y, tuple(f"{hospital}-{i}" for i in range(n)))


@pytest.fixture(scope="module")
def model():
    return run(study(), {f"h{i}": cohort(i) for i in range(3)})


def test_a_model_is_read_back_as_it_was_written(model):
    found = Model.decode(model.encode())

    assert found == model
    assert found.id == model.id
    assert model.id.startswith(model.version)


def test_the_prediction_is_the_formula_by_hand(model):
    x = np.array([[1.0, 130.0, np.nan]])
    s = model.standard
    z = [(1.0 - s.means[0]) / s.sds[0], (130.0 - s.means[1]) / s.sds[1], 0.0]
    by_hand = 1 / (
        1 + np.exp(-(model.theta[0] + sum(t * v for t, v in zip(model.theta[1:], z, strict=True))))
    )

    assert predict(model, x)[0] == pytest.approx(by_hand, abs=1e-12)


def test_values_for_other_features_are_refused(model):
    for x in (np.zeros((1, 2)), np.zeros(3)):
        with pytest.raises(ModelUnusable):
            predict(model, x)


def changed(model, change):
    value = json.loads(model.encode())
    change(value)
    return canonical.encode(value, floats=True)


@pytest.mark.parametrize("member", ["format", *(f.name for f in dataclasses.fields(Model))])
def test_a_model_without_one_of_its_members_is_refused(model, member):
    with pytest.raises(ModelUnusable):
        Model.decode(changed(model, lambda value: value.pop(member)))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(format=2),
        lambda v: v.update(extra=1),
        lambda v: v.update(theta=v["theta"][:-1]),
        lambda v: v.update(theta=[*v["theta"][:-1], "1"]),
        lambda v: v.update(theta=[*v["theta"][:-1], True]),
        lambda v: v.update(loss_curve=v["loss_curve"][1:]),
        lambda v: v.update(converged=1),
        lambda v: v.update(hospitals=1.5),
        lambda v: v.update(rounds_digest=7),
        lambda v: v.update(patients=[]),
        lambda v: v["study"].update(seed=-1),
        lambda v: v["standard"].update(sds=[0.0, 1.0, 1.0]),
        lambda v: v["standard"].update(dropped=[""]),
        lambda v: v["standard"].pop("lows"),
        lambda v: v["metrics"].update(auc={"value": 1}),
        lambda v: v["metrics"].update(auc={"value": "x", "low": None, "high": None, "reason": ""}),
    ],
)
def test_a_model_with_a_wrong_member_is_refused(model, change):
    with pytest.raises(ModelUnusable) as caught:
        Model.decode(changed(model, change))

    assert caught.value.hint("en")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"a":1}', b"\xff"])
def test_bytes_that_are_no_model_are_refused(data):
    with pytest.raises(ModelUnusable):
        Model.decode(data)


def test_a_model_holds_no_count_below_ten(model):
    assert all(value is None or value >= 10 for value in model.patients.values())


def test_the_metrics_of_a_model_carry_their_intervals(model):
    found = model.metrics["sensitivity"]

    assert found == Metric(None, reason="small") or found.low <= found.value <= found.high
