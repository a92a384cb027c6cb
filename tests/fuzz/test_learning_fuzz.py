"""The fuzz entry's invariant over spoilt models and studies; and a hub that answers anything."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concura import canonical
from concura.errors import ConcuraError
from concura.learning import BOUND, Cohort, Contribution, Model, make_study, participant, run

one = runpy.run_path(str(Path(__file__).parent / "fuzz_learning_model.py"))["one"]


def study(preset="mission"):
    return make_study(
        preset,
        study_id="00",
        seed=1,
        features=("a", "b"),
        features_digest="",
        outcome="o",
        horizon_days=None,
        rounds=3,
    )


def cohort(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(50, 2))
    return Cohort(x, rng.random(50) < 0.5, tuple(f"{seed}.{i}" for i in range(50)))


MODEL = run(study(), {f"h{i}": cohort(i) for i in range(3)})
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-9, 9)
    | st.text(max_size=3)
    | st.lists(st.integers(-9, 9), max_size=2)
)


@given(st.binary(max_size=60), st.integers(0, 10_000))
def test_a_model_with_spoilt_bytes_is_read_as_itself_or_refused(noise, place):
    for data in (MODEL.encode(), study().encode()):
        at = place % len(data)
        one(data[:at] + noise + data[at + len(noise) :])


@given(st.data())
def test_a_model_with_a_spoilt_member_is_read_as_itself_or_refused(data):
    value = json.loads(MODEL.encode())
    at = value
    while isinstance(at, dict):
        key = data.draw(st.sampled_from(sorted(at)))
        if not isinstance(at[key], dict) or data.draw(st.booleans()):
            at[key] = data.draw(VALUES)
            break
        at = at[key]

    one(canonical.encode(value, floats=True))


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1.0, 1e3, BOUND * 256]),
    st.integers(0, 10),
    st.sampled_from(["mission", "default"]),
)
def test_whatever_the_hub_answers_a_participant_ends_with_a_model_or_one_of_our_errors(
    seed, size, honest, preset
):
    rng, steps, answer, count = (
        np.random.default_rng(seed),
        participant(study(preset), cohort(1)),
        None,
        0,
    )
    try:
        while True:
            word = steps.send(answer)
            answer = None
            if isinstance(word, Contribution):
                count += 1
                noise = rng.uniform(-size, size, word.vector.size)
                answer = 3 * word.vector if count <= honest else noise
    except StopIteration as end:
        assert Model.decode(end.value.encode()) == end.value
    except ConcuraError as error:
        assert str(error)
        assert error.hint("zh")


@pytest.mark.parametrize("answer", [None, np.zeros(3), np.array([np.nan])])
def test_a_total_of_the_wrong_shape_ends_the_study(answer):
    steps = participant(study(), cohort(1))
    next(steps)

    with pytest.raises(ConcuraError, match="counts"):
        steps.send(answer)
