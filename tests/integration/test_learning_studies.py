"""Whole studies in one process: same model everywhere, sums only, targets on real data."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from concura.errors import InternalFault, StudyAborted
from concura.learning import (
    Cohort,
    Contribution,
    Model,
    RoundClosed,
    alone,
    auc,
    compare,
    participant,
    pooled,
    predict,
    run,
    sides,
    split,
    step_names,
)
from concura.learning.engine import drive
from concura.learning.scores import auc_from_histogram

BENCH = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "learning_seeds.py"))
WHAS, study_of = BENCH["WHAS"], BENCH["study_of"]


@pytest.fixture(scope="module")
def cohorts():
    return BENCH["whas_cohorts"]()


@pytest.fixture(scope="module")
def model(cohorts):
    return run(study_of(WHAS, 3), cohorts)


def keys_of(cohorts):
    return {member: bytes([i + 1]) * 32 for i, member in enumerate(cohorts)}


def small(hospital, n=40, *, features=2, event_share=0.5):
    rng = np.random.default_rng(hospital)
    x = rng.normal(size=(n, features))
    y = x[:, 0] + rng.normal(size=n) > np.quantile(x[:, 0], 1 - event_share)
    return Cohort(x, y, tuple(f"{hospital}/{i}" for i in range(n)))


def study(features=("a", "b"), preset="mission", **settings):
    return study_of(list(features), 1, preset, rounds=3, **settings)


def test_masks_change_no_bit_of_the_model(cohorts, model):
    masked = run(study_of(WHAS, 3), cohorts, mask_keys=keys_of(cohorts))

    assert masked.encode() == model.encode()


def test_the_same_seed_gives_the_same_model_and_another_seed_another(cohorts, model):
    assert run(study_of(WHAS, 3), cohorts).id == model.id
    assert run(study_of(WHAS, 4), cohorts).id != model.id


def test_the_order_of_the_hospitals_does_not_matter(cohorts, model):
    turned = dict(reversed(cohorts.items()))

    assert run(study_of(WHAS, 3), turned).id == model.id


def test_every_round_is_closed_once_with_a_digest_and_the_loss(cohorts, model):
    closed: list[RoundClosed] = []

    run(study_of(WHAS, 3), cohorts, on_round=closed.append)

    assert [c.number for c in closed] == list(range(1, model.study.rounds + 1))
    assert len({c.digest for c in closed}) == len(closed)
    assert closed[-1].digest == model.rounds_digest
    assert closed[0].millionths == {"loss": 693147}


def test_the_contributions_are_those_named_and_small_enough(cohorts):
    s = study_of(WHAS, 3)
    running = [participant(s, cohort) for cohort in cohorts.values()]
    answer, steps = None, []
    try:
        while True:
            said = [generator.send(answer) for generator in running]
            answer = None
            if isinstance(said[0], Contribution):
                steps.append(said[0].step)
                assert said[0].vector.size < 20_000
                answer = np.sum([word.vector for word in said], axis=0)
    except StopIteration:
        pass

    assert steps == list(step_names(s))


def test_the_model_trains_and_predicts_nothing_from_held_out_patients(cohorts, model):
    s = study_of(WHAS, 3)
    spoilt = {}
    for member, c in cohorts.items():
        held = ~np.isin(np.arange(len(c.y)), _training_rows(s, c))
        x, y = c.x.copy(), c.y.copy()
        x[held], y[held] = 7.0, ~y[held]
        spoilt[member] = Cohort(x, y, c.records)

    found = run(s, spoilt)

    assert found.theta == model.theta
    assert found.threshold == model.threshold
    assert found.standard == model.standard
    assert found.metrics != model.metrics


def _training_rows(s, cohort):
    numbered = Cohort(
        np.repeat(np.arange(len(cohort.y), dtype=float)[:, None], len(s.features), axis=1),
        cohort.y,
        cohort.records,
    )
    return split(s, numbered).train_x[:, 0].astype(int)


def test_the_metrics_from_sums_are_the_exact_ones(cohorts, model):
    judged = compare(model.study, cohorts, model).federated
    sides = [split(model.study, c) for c in cohorts.values()]
    y = np.concatenate([side.held_y for side in sides])
    p = np.concatenate([predict(model, side.held_x) for side in sides])
    called = p >= model.threshold

    assert model.metrics["auc"].value == pytest.approx(judged.auc, abs=0.002)
    assert model.metrics["within_auc"].value == pytest.approx(judged.within, abs=1e-8)
    assert model.metrics["brier"].value == pytest.approx(judged.brier, abs=1e-8)
    assert model.metrics["calibration_slope"].value == pytest.approx(judged.slope, abs=0.005)
    assert model.metrics["sensitivity"].value == called[y].mean()
    assert model.metrics["specificity"].value == (~called[~y]).mean()
    assert model.metrics["ppv"].value == y[called].mean()


def test_the_threshold_catches_nine_in_ten_events_out_of_fold_or_nearly_so_in_training(
    cohorts, model
):
    sides = [split(model.study, c) for c in cohorts.values()]
    y = np.concatenate([side.train_y for side in sides])
    p = np.concatenate([predict(model, side.train_x) for side in sides])

    assert (p >= model.threshold)[y].mean() >= 0.88


def test_means_and_deviations_are_those_of_the_pooled_training_patients(cohorts, model):
    x = np.concatenate([split(model.study, c).train_x for c in cohorts.values()])

    assert np.allclose(model.standard.means, np.nanmean(x, axis=0), rtol=1e-8)
    assert np.allclose(model.standard.sds, np.nanstd(x, axis=0), rtol=1e-7)
    assert (np.array(model.standard.lows) < np.nanmean(x, axis=0)).all()
    assert (np.array(model.standard.highs) > np.nanmean(x, axis=0)).all()


def test_the_mission_preset_learns_but_has_not_settled(cohorts):
    mission = run(study_of(WHAS, 3, "mission"), cohorts)

    assert (mission.client_rate, mission.server_rate) == (0.01, 0.001)
    assert all(b < a for a, b in zip(mission.loss_curve, mission.loss_curve[1:], strict=False))
    assert mission.converged is False
    assert mission.still_moving > 0.1
    assert mission.metrics["auc"].value > 0.7


def test_the_default_preset_is_much_better_than_chance_and_says_so(model):
    assert model.loss_curve[-1] < 0.52
    assert model.metrics["auc"].low > 0.6
    assert len(model.loss_curve) == model.study.rounds + 1


def test_fewer_than_three_hospitals_cannot_learn_together(cohorts):
    two = {member: cohorts[member] for member in list(cohorts)[:2]}

    with pytest.raises(StudyAborted, match="3"):
        run(study_of(WHAS, 3), two)


def test_hospitals_without_patients_do_not_count_as_contributors():
    empty = Cohort(np.zeros((0, 2)), np.zeros(0, dtype=bool), ())
    cohorts = {"a": small(1), "b": small(2), "c": empty}

    with pytest.raises(StudyAborted) as caught:
        run(study(), cohorts)

    assert caught.value.why == "few"


def test_an_empty_hospital_beside_three_others_changes_nothing():
    three = {"a": small(1), "b": small(2), "c": small(3)}
    empty = Cohort(np.zeros((0, 2)), np.zeros(0, dtype=bool), ())

    assert (
        run(study(preset="default"), {**three, "d": empty}).theta
        == run(study(preset="default"), three).theta
    )


def test_too_few_events_end_the_study_before_any_training():
    cohorts = {name: small(i, 12, event_share=0.1) for i, name in enumerate("abc")}

    with pytest.raises(StudyAborted) as caught:
        run(study(), cohorts)

    assert caught.value.why == "events"


def test_small_held_out_cells_state_no_metric_and_no_count():
    cohorts = {name: small(i, 20) for i, name in enumerate("abc")}

    model = run(study(), cohorts)

    assert model.metrics["auc"].value is None
    assert model.metrics["auc"].reason == "small"
    assert model.metrics["within_auc"].value is None
    assert model.patients["held_out"] is None


def test_a_feature_that_only_two_hospitals_measure_is_dropped_with_the_reason():
    cohorts = {name: small(i, 60, features=4) for i, name in enumerate("abcd")}
    for name in "cd":
        cohorts[name].x[:, 1] = np.nan
    for cohort in cohorts.values():
        cohort.x[:, 2] = 5.0
        cohort.x[8:, 3] = np.nan
    cohorts["d"].x[:, 3] = cohorts["c"].x[:, 3] = cohorts["b"].x[2:, 3] = np.nan

    model = run(study(("x", "two", "same", "rare")), cohorts)

    assert model.standard.dropped[:3] == ("", "hospitals", "constant")
    assert model.standard.dropped[3] != ""
    assert model.theta[2:] == (0.0, 0.0, 0.0)


def test_a_feature_that_one_hospital_never_measures_is_filled_with_the_others_mean():
    cohorts = {name: small(i, 60) for i, name in enumerate("abcd")}
    cohorts["d"].x[:, 1] = np.nan

    model = run(study(), cohorts)

    known = np.concatenate([split(model.study, cohorts[n]).train_x[:, 1] for n in "abc"])
    assert model.standard.means[1] == pytest.approx(known.mean(), abs=1e-8)
    assert 0.1 < model.standard.missing[1] < 0.5


def test_columns_of_any_magnitude_fit_into_fixed_point():
    plain = {name: small(i, 80) for i, name in enumerate("abc")}
    scaled = {n: Cohort(c.x * [1e-9, 1e12], c.y, c.records) for n, c in plain.items()}

    assert np.allclose(run(study(), scaled).theta, run(study(), plain).theta, atol=1e-9)


def test_an_implausible_value_is_caught_before_it_can_overflow_the_sum():
    cohorts = {name: small(i) for i, name in enumerate("abc")}
    cohorts["a"].x[:, 0] = np.where(np.arange(40) < 4, 1e150, cohorts["a"].x[:, 0])

    with pytest.raises(StudyAborted) as caught:
        run(study(), cohorts)

    assert caught.value.why == "bound"


def test_weighted_hospitals_count_by_patients_and_unweighted_alike():
    cohorts = {"a": small(1, 300), "b": small(2, 60), "c": small(3, 60)}

    by_patients = run(study(preset="default", weighted=True), cohorts)
    alike = run(study(preset="default", weighted=False), cohorts)

    assert by_patients.theta != alike.theta


def test_a_hospital_with_too_few_events_has_no_model_of_its_own(cohorts):
    few = small(5, 12)

    assert alone(study(), few) is None
    assert pooled(study(), {"a": few}) is None
    assert (
        compare(
            study(), {"a": small(1, 10)}, run(study(), {n: small(i) for i, n in enumerate("abc")})
        ).federated.auc
        is None
    )


def test_a_histogram_of_one_outcome_has_no_auc():
    assert auc_from_histogram(np.zeros((2, 5))) is None
    assert auc(np.zeros(2, dtype=bool), np.zeros(2)) is None


def test_a_fold_that_would_leave_no_training_patients_ends_the_study():
    s = study(folds=2)
    names = [str(i) for i in range(2_000)]
    held, fold = sides(s, names)
    first = [n for n, h, f in zip(names, held, fold, strict=True) if not h and f == 0]
    cohorts = {h: small(i) for i, h in enumerate("abc")}
    same = {
        h: Cohort(c.x, c.y, tuple(first[40 * i : 40 * i + 40]))
        for i, (h, c) in enumerate(cohorts.items())
    }

    with pytest.raises(StudyAborted) as caught:
        run(s, same)

    assert caught.value.why == "folds"


def _play_a_hub_that_moves_the_means():
    steps, total, d = participant(study(), small(1)), None, 2
    while True:
        word = steps.send(total)
        total = None
        if isinstance(word, Contribution):
            total = 3 * word.vector + {"means": 1e11, "spreads": 100.0}.get(word.step, 0.0)
            if word.step == "magnitudes":
                total[:d] = 30 * total[d : 2 * d]  # a scale of 2^30


def test_absurd_totals_still_lead_to_a_model_that_can_be_read_back():
    with pytest.raises(StopIteration) as end:
        _play_a_hub_that_moves_the_means()

    model = end.value.value
    assert model.standard.means[0] > 2**53
    assert Model.decode(model.encode()) == model


def test_a_study_without_any_usable_feature_ends():
    cohorts = {n: small(i) for i, n in enumerate("abc")}
    for cohort in cohorts.values():
        cohort.x[:] = 1.0

    with pytest.raises(StudyAborted) as caught:
        run(study(), cohorts)

    assert caught.value.why == "features"


def test_participants_that_fall_out_of_step_or_disagree_are_a_fault_of_ours(model):
    def says(*words):
        yield from (word for word in words)  # a generator can be sent values
        return model

    def other():
        yield Contribution("counts", np.zeros(1))
        return run(study(), {n: small(i) for i, n in enumerate("abc")})

    word, closed = Contribution("counts", np.zeros(1)), RoundClosed(1, "00")
    with pytest.raises(InternalFault, match="lockstep"):
        drive(study(), {"a": says(word), "b": says(closed)})
    with pytest.raises(InternalFault, match="differ"):
        drive(study(), {"a": says(word), "b": other()})


@pytest.mark.slow
def test_over_twenty_seeds_federated_is_as_good_as_pooled_and_better_than_alone(cohorts):
    _meets_the_targets(BENCH["over_seeds"](WHAS, cohorts), least=0.78)


@pytest.mark.slow
@pytest.mark.data
def test_over_twenty_seeds_of_the_heart_data_federated_is_as_good_as_pooled(data_folder):
    cohorts = BENCH["heart_cohorts"](data_folder / "heart_disease")

    assert [len(c.y) for c in cohorts.values()] == [303, 294, 123, 200]
    assert np.isnan(cohorts["switzerland"].x[:, 6]).all()  # no Swiss cholesterol
    _meets_the_targets(BENCH["over_seeds"](BENCH["HEART"], cohorts), least=0.82)


@pytest.mark.slow
def test_the_pooled_model_is_no_strawman_beside_a_converged_fit(cohorts):
    gaps = []
    for seed in range(20):
        s = study_of(WHAS, seed)
        parted = [split(s, c) for c in cohorts.values()]
        whole = pooled(s, cohorts)
        x, y = (
            np.concatenate([getattr(side, n) for side in parted]) for n in ("train_x", "train_y")
        )
        held, outcome = (
            np.concatenate([getattr(side, n) for side in parted]) for n in ("held_x", "held_y")
        )
        converged = LogisticRegression(C=1 / (s.l2 * len(y)), max_iter=1_000)
        converged.fit(whole.standard.apply(x), y)
        best = auc(outcome, converged.decision_function(whole.standard.apply(held)))
        gaps.append(best - auc(outcome, predict(whole, held)))

    assert np.mean(gaps) <= 0.005


def _meets_the_targets(rows, *, least):
    federated = np.array([row.comparison.federated.auc for row in rows])
    whole = np.array([row.comparison.pooled.auc for row in rows])
    local = np.array([BENCH["local_mean"](row.comparison) for row in rows])

    assert len(rows) == 20
    assert (whole - federated).mean() <= 0.015
    assert (whole - federated).max() <= 0.05
    assert federated.mean() >= least
    assert federated.mean() > local.mean()
    assert np.median([row.seconds for row in rows]) < 1.0
