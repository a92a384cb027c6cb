"""The study: what its digest fixes, and how patients are split."""

import dataclasses

import numpy as np
import pytest

from concura.errors import StudyRefused
from concura.learning import PRESETS, Cohort, Study, make_study, sides, split, step_names
from concura.learning.study import SPLIT_SHARE


def study(**settings):
    given = {
        "study_id": "11" * 16,
        "seed": 7,
        "features": ("a", "b"),
        "features_digest": "22" * 32,
        "outcome": "death",
        "horizon_days": 365,
    }
    return make_study(settings.pop("preset", "default"), **{**given, **settings})


def test_a_study_is_read_back_as_it_was_written():
    one = study(horizon_days=None, rounds=12)

    assert Study.decode(one.encode()) == one
    assert Study.decode(one.encode()).digest == one.digest


def test_the_digest_changes_with_every_setting():
    one = study()
    others = [
        dataclasses.replace(one, **change)
        for change in (
            {"seed": 8},
            {"rounds": 3},
            {"local_steps": 2},
            {"weighted": False},
            {"l2": 0.5},
            {"client_rates": (0.2,)},
            {"server_rates": (0.2,)},
            {"features": ("b", "a")},
            {"folds": 3},
            {"sensitivity": 0.8},
            {"minimum_hospitals": 4},
            {"consent_height": 5},
        )
    ]

    assert len({s.digest for s in (one, *others)}) == len(others) + 1


def test_the_mission_preset_has_the_rates_of_the_article_and_the_plain_mean():
    mission = study(preset="mission")

    assert mission.pairs == ((0.01, 0.001),)
    assert mission.weighted is False


def test_every_preset_has_at_least_ten_rounds():
    assert all(settings["rounds"] >= 10 for settings in PRESETS.values())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"features": ()},
        {"features": ("a", "a")},
        {"rounds": 0},
        {"local_steps": 0},
        {"client_rates": ()},
        {"server_rates": (0.0,)},
        {"l2": -1.0},
        {"folds": 1},
        {"minimum_hospitals": 2},
        {"sensitivity": 1.0},
        {"horizon_days": 0},
    ],
)
def test_a_setting_out_of_range_is_refused(change):
    with pytest.raises(StudyRefused) as caught:
        study(**change)

    assert caught.value.why == "range"
    assert str(caught.value)
    assert caught.value.hint("zh")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(StudyRefused, match="mission"):
        make_study("fast", study_id="")


@pytest.mark.parametrize(
    "change",
    [
        {"rounds": 1.5},
        {"rounds": True},
        {"weighted": 1},
        {"client_rates": ["x"]},
        {"seed": "1"},
        {"features": [1]},
        {"horizon_days": "x"},
        {"extra": 1},
        {"study_id": None},
    ],
)
def test_a_study_with_a_member_of_the_wrong_kind_is_refused(change):
    with pytest.raises(StudyRefused):
        Study.from_json({**study().to_json(), **change})


def test_bytes_that_are_no_canonical_study_are_refused():
    for data in (b"", b"[]", study().encode() + b" "):
        with pytest.raises(StudyRefused):
            Study.decode(data)


def test_about_a_fifth_of_the_patients_is_held_out_and_folds_are_even():
    held, fold = sides(study(), [str(i) for i in range(20_000)])

    assert abs(held.mean() - SPLIT_SHARE) < 0.01
    assert np.abs(np.bincount(fold) / 20_000 - 0.2).max() < 0.01


def test_a_patient_never_changes_side_when_another_leaves():
    records = [str(i) for i in range(500)]
    held, fold = sides(study(), records)

    held_less, fold_less = sides(study(), records[100:])

    assert (held[100:] == held_less).all()
    assert (fold[100:] == fold_less).all()


def test_another_seed_holds_out_other_patients():
    records = [str(i) for i in range(500)]

    assert (sides(study(seed=1), records)[0] != sides(study(seed=2), records)[0]).any()


def test_the_name_of_the_run_does_not_move_a_patient():
    records = [str(i) for i in range(500)]

    assert (sides(study(), records)[0] == sides(study(study_id="33" * 16), records)[0]).all()


def test_an_empty_cohort_splits_into_two_empty_sides():
    found = split(study(), Cohort(np.zeros((0, 2)), np.zeros(0, dtype=bool), ()))

    assert found.train_x.shape == found.held_x.shape == (0, 2)


@pytest.mark.parametrize(
    ("x", "y", "records"),
    [
        (np.zeros((2, 2)), np.zeros(3, dtype=bool), ("1", "2")),
        (np.zeros((2, 2)), np.zeros(2), ("1", "2")),
        (np.zeros((2, 2)), np.zeros(2, dtype=bool), ("1", "1")),
        (np.full((2, 2), np.inf), np.zeros(2, dtype=bool), ("1", "2")),
        (np.zeros(2), np.zeros(2, dtype=bool), ("1", "2")),
    ],
)
def test_a_cohort_that_does_not_fit_together_is_refused(x, y, records):
    with pytest.raises(StudyRefused):
        Cohort(x, y, records)


def test_a_cohort_with_other_features_is_refused():
    with pytest.raises(StudyRefused, match="3 features"):
        split(study(), Cohort(np.zeros((1, 3)), np.zeros(1, dtype=bool), ("1",)))


def test_the_steps_are_named_once_each():
    names = list(step_names(study(rounds=10)))

    assert len(names) == len(set(names)) == 18
    assert names[0] == "counts"
    assert names[-1] == "evaluation"
