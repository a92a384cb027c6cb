"""From a model to a verdict: high, low, or cannot say; reasons that were measured."""

import math

import numpy as np
import pytest

from concura.decisions import Verdict, can_say, decide
from concura.errors import ModelUnusable
from concura.learning import Model, Standard, make_study, predict

NAMES = ("age", "pulse", "shock", "pain=1", "pain=2", "unused")


def model(threshold=0.3):
    study = make_study(
        "default",
        study_id="00" * 16,
        seed=1,
        features=NAMES,
        features_digest="11" * 32,
        outcome="one-year-death",
        horizon_days=365,
        rounds=10,
    )
    standard = Standard(
        means=(70.0, 80.0, 0.1, 0.3, 0.2, 0.0),
        sds=(10.0, 20.0, 0.3, 0.45, 0.4, 1.0),
        lows=(30.0, 30.0, -0.3, -0.5, -0.5, 0.0),
        highs=(100.0, 180.0, 1.3, 1.5, 1.5, 0.0),
        missing=(0.0,) * 6,
        dropped=("", "", "", "", "", "hospitals"),
    )
    return Model(
        study=study,
        standard=standard,
        theta=(-1.0, 0.9, 0.3, 0.5, 0.2, -0.4, 0.0),
        threshold=threshold,
        client_rate=0.1,
        server_rate=0.1,
        loss_curve=(0.7,) * 11,
        converged=True,
        still_moving=0.0,
        rounds_digest="22" * 32,
        hospitals=4,
        patients={"train": 400},
        metrics={},
    )


def patient(**values):
    return {
        "age": 85.0,
        "pulse": 110.0,
        "shock": 1.0,
        "pain=1": 0.0,
        "pain=2": 0.0,
        "unused": None,
        **values,
    }


def test_a_patient_at_or_above_the_threshold_is_high_risk():
    found = decide(model(), patient())

    assert found.verdict is Verdict.HIGH
    x = np.array([[math.nan if v is None else v for v in patient().values()]])
    assert found.probability == predict(model(), x)[0]
    assert decide(model(threshold=found.probability), patient()).verdict is Verdict.HIGH


def test_a_patient_below_the_threshold_is_low_risk():
    found = decide(model(), patient(age=50.0, pulse=60.0, shock=0.0))

    assert found.verdict is Verdict.LOW
    assert all(reason.direction == "lowers" for reason in found.reasons)


def test_the_reasons_are_the_three_strongest_towards_the_verdict():
    found = decide(model(), patient())

    assert [reason.feature for reason in found.reasons] == ["shock", "age", "pulse"]
    assert found.reasons[1].contribution == pytest.approx(0.9 * 1.5)
    assert all(reason.direction == "raises" for reason in found.reasons)


def test_a_reason_is_never_an_imputed_value():
    found = decide(model(), patient(age=None))

    assert found.verdict is Verdict.HIGH
    assert found.imputed == ("age",)
    assert "age" not in [reason.feature for reason in found.reasons]


def test_a_category_is_one_reason_named_by_its_level():
    found = decide(model(), patient(shock=0.0, age=70.0, pulse=180.0, **{"pain=1": 1.0}))

    named = {reason.feature: reason for reason in found.reasons}
    assert "pain=1" in named
    assert named["pain=1"].contribution == pytest.approx(0.2 * 0.7 / 0.45 + 0.4 * 0.2 / 0.4)


def test_the_reference_level_of_a_category_is_no_reason():
    found = decide(model(threshold=0.01), patient(age=None))

    assert not any(reason.feature.startswith("pain") for reason in found.reasons)


def test_a_category_without_a_value_counts_as_one_missing_input():
    found = decide(model(), patient(**{"pain=1": None, "pain=2": None}))

    assert found.imputed == ("pain",)
    assert found.inputs == 4


def test_too_many_missing_inputs_leave_no_verdict_no_probability_and_no_reason():
    found = decide(model(), patient(age=None, pulse=math.nan))

    assert found.verdict is Verdict.CANNOT_SAY
    assert found.probability is None
    assert found.reasons == ()
    assert found.imputed == ("age", "pulse")


def test_a_value_beyond_the_training_range_leaves_no_verdict():
    found = decide(model(), patient(pulse=250.0))

    assert found.verdict is Verdict.CANNOT_SAY
    assert found.out_of_range == ("pulse",)


def test_a_feature_that_the_model_does_not_use_plays_no_part():
    assert decide(model(), patient(unused=1e9)) == decide(model(), patient())


@pytest.mark.parametrize("values", [{}, {**patient(), "more": 1.0}, patient(age=math.inf)])
def test_values_that_are_not_the_models_are_refused(values):
    with pytest.raises(ModelUnusable):
        decide(model(), values)


def test_the_decision_names_its_model_outcome_and_horizon():
    found = decide(model(), patient())

    assert (found.model, found.outcome, found.horizon_days) == (model().id, "one-year-death", 365)


def test_the_patients_that_may_get_a_verdict_are_those_that_get_one():
    changes = [{}, {"age": None}, {"age": None, "pulse": None}, {"pulse": 250.0}, {"unused": 9e9}]
    patients = [patient(**change) for change in changes]
    x = np.array([[math.nan if v is None else v for v in p.values()] for p in patients])

    verdicts = [decide(model(), p).verdict for p in patients]

    assert can_say(model(), x).tolist() == [v is not Verdict.CANNOT_SAY for v in verdicts]
    assert can_say(model(), x).tolist() == [True, True, False, False, True]
