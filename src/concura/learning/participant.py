"""What one hospital does in a study, as a plain generator that does no I/O.

It yields `Contribution`s and is sent their sums; it yields `RoundClosed` and is sent None; it
returns the `Model`. Every hospital runs the same generator on its own patients and computes the
server's update itself, so that all reach the same model bit by bit and the hub only adds.
Two engines drive it: `engine.run` in one process, and the consortium's rounds over the hub.

The steps: (1) counts, (2) standardising, (3) rounds, (4) selection of rates by out-of-fold loss,
(5) threshold from out-of-fold scores, (6) evaluation on held-out patients. Held-out patients are
touched in (6) only.

This module does NOT mask, send, sign or wait.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from concura.errors import ModelUnusable, ReplyInvalid, StudyAborted
from concura.learning.cohort import Array, Cohort, Split, split
from concura.learning.fedavg import Plan, client_delta, make_plan, server_start, server_step
from concura.learning.logistic import design, log_losses, sigmoid
from concura.learning.metrics import Metric, auc, within_weight
from concura.learning.model import Model
from concura.learning.moments import Standard, learn_standard
from concura.learning.scores import BINS, Scale, count_scores, pick_threshold, summary
from concura.learning.steps import RoundClosed, Steps, ask, parts
from concura.learning.study import SMALL_CELL, Study
from concura.types import Digest

__all__ = ["participant", "recipe", "step_names"]

_SETTLED_ROUNDS, _SETTLED_SHARE = 3, 0.02  # converged: the last 3 rounds brought <= 2 % of all


@dataclass(frozen=True, slots=True)
class _Counts:
    """Sums over all hospitals; weight float64[K] of each model's training."""

    hospitals: int
    train: int
    train_events: int
    held: int
    held_events: int
    weight: Array


@dataclass(frozen=True, slots=True)
class _Trained:
    theta: Array  # float64[K, d + 1]
    losses: tuple[Array, ...]  # one float64[pairs] per round, before it
    digest: Digest


def participant(study: Study, cohort: Cohort) -> Steps[Model]:
    """Take part in a study.

    Args:
        study: what all participants agreed on.
        cohort: this hospital's consenting patients; may be empty.

    Returns:
        The model, the same at every hospital.

    Raises:
        StudyRefused: the cohort does not fit the study.
        StudyAborted: too few hospitals, patients, events or usable features.
        ReplyInvalid: a total has the wrong shape.

    Example:
        >>> steps = participant(study, cohort)
        >>> first = next(steps); first.step
        'counts'
    """
    return (yield from recipe(study, split(study, cohort), least=study.minimum_hospitals))


def recipe(study: Study, data: Split, *, least: int) -> Steps[Model]:
    """Train on patients already split, from at least `least` hospitals.

    `participant` asks for three or more; `baselines` for one, in a memory that holds all patients
    anyway. Nothing else MUST call this.
    """
    plan = make_plan(study)
    counts = yield from _count(study, plan, data, least)
    standard = yield from learn_standard(data.train_x, minimum=least)
    if all(standard.dropped):
        raise StudyAborted("features")
    x = design(standard.apply(data.train_x))
    trained = yield from _train(study, plan, data, x=x, counts=counts)
    pair, curve = yield from _select(study, plan, data, x=x, trained=trained, train=counts.train)
    each = 1 + study.folds
    chosen = trained.theta[pair * each : (pair + 1) * each]
    scale = Scale.of(chosen[0])
    histogram = _counted((yield from ask("threshold", _out_of_fold(chosen, data, x, scale))))
    number = pick_threshold(histogram.reshape(2, BINS), study.sensitivity)
    metrics = yield from _evaluate(
        chosen[0], data, standard, scale=scale, number=number, least=least
    )
    moving = _still_moving(curve)
    model = Model(
        study=study,
        standard=standard,
        theta=tuple(chosen[0].tolist()),
        threshold=float(sigmoid(np.array(scale.edge(number)))),
        client_rate=study.pairs[pair][0],
        server_rate=study.pairs[pair][1],
        loss_curve=curve,
        converged=moving <= _SETTLED_SHARE,
        still_moving=moving,
        rounds_digest=trained.digest,
        hospitals=counts.hospitals,
        patients=_stated(counts),
        metrics=metrics,
    )
    return _sound(model)


def step_names(study: Study) -> Iterator[str]:
    """Name the contributions of a study in order: what a coordinator may expect."""
    yield from ("counts", "magnitudes", "means", "spreads", "ranges")
    yield from (f"round-{number}" for number in range(1, study.rounds + 1))
    yield from ("selection", "threshold", "evaluation")


def _count(study: Study, plan: Plan, data: Split, least: int) -> Steps[_Counts]:
    """(1): count hospitals, patients and events; stop where there are too few."""
    sizes = plan.member(data).sum(axis=0)
    weight = _weights(study, sizes)
    total = yield from ask(
        "counts",
        float(len(data.train_y) > 0),
        float(len(data.train_y)),
        float(data.train_y.sum()),
        float(len(data.held_y)),
        float(data.held_y.sum()),
        weight,
    )
    head, weight_sum = parts(np.rint(total), (5,), weight.shape)
    hospitals, train, train_events, held, held_events = (int(value) for value in head)
    counts = _Counts(hospitals, train, train_events, held, held_events, weight_sum)
    if counts.hospitals < least:
        raise StudyAborted("few", minimum=least)
    if min(counts.train_events, counts.train - counts.train_events) < SMALL_CELL:
        raise StudyAborted("events", minimum=SMALL_CELL)
    if not (weight_sum > 0).all():
        raise StudyAborted("folds")
    return counts


def _train(study: Study, plan: Plan, data: Split, *, x: Array, counts: _Counts) -> Steps[_Trained]:
    """(3): the rounds; all rate pairs and folds move together."""
    server = server_start(plan, x.shape[1] - 1)
    member, y = plan.member(data), data.train_y[:, None].astype(np.float64)
    weight = _weights(study, member.sum(axis=0))[:, None]
    losses: list[Array] = []
    digest = Digest("")
    for number in range(1, study.rounds + 1):
        delta = client_delta(study, plan, theta=server.theta, x=x, y=y, member=member)
        loss = _full_losses(study, server.theta, x=x, data=data)
        total = yield from ask(f"round-{number}", weight * delta, loss)
        delta_sum, loss_sum = parts(total, delta.shape, loss.shape)
        server = server_step(server, plan, delta_sum=delta_sum, weight_sum=counts.weight)
        losses.append(loss_sum / counts.train)
        digest = _digest(server.theta)
        yield RoundClosed(number, digest, {"loss": float(losses[-1].min())})
    return _Trained(server.theta, tuple(losses), digest)


def _select(
    study: Study, plan: Plan, data: Split, *, x: Array, trained: _Trained, train: int
) -> Steps[tuple[int, tuple[float, ...]]]:
    """(4): return the rate pair of least out-of-fold log loss, and its loss curve."""
    all_losses = log_losses(x @ trained.theta.T, data.train_y)
    outside = data.fold[:, None] == plan.left_out[None, :]
    fold_sums = (
        np.where(outside, all_losses, 0.0).sum(axis=0).reshape(len(study.pairs), -1).sum(axis=1)
    )
    full = _full_losses(study, trained.theta, x=x, data=data)
    total = yield from ask("selection", fold_sums, full)
    fold_total, full_total = parts(total, fold_sums.shape, full.shape)
    pair = int(fold_total.argmin())
    curve = [*(float(loss[pair]) for loss in trained.losses), float(full_total[pair]) / train]
    return pair, tuple(curve)


def _evaluate(
    theta: Array, data: Split, standard: Standard, *, scale: Scale, number: int, least: int
) -> Steps[dict[str, Metric]]:
    """(6): held-out metrics, from sums alone."""
    scores, y = design(standard.apply(data.held_x)) @ theta, data.held_y
    area, weight = auc(y, scores), within_weight(y)
    counts = count_scores(scores, y, scale)
    total = yield from ask(
        "evaluation",
        counts,
        float(((sigmoid(scores) - y) ** 2).sum()),
        float(log_losses(scores, y).sum()),
        weight * (area or 0.0),
        weight,
        float(weight > 0),
    )
    sums, rest = parts(total, counts.shape, (5,))
    brier_sum, loss_sum, within_sum, weight_sum, hospitals = (float(value) for value in rest)
    metrics = summary(_counted(sums), scale, number=number, brier_sum=brier_sum, loss_sum=loss_sum)
    stated = metrics["auc"].value is not None and hospitals > least - 0.5
    within = (
        Metric(within_sum / weight_sum)
        if stated and weight_sum > 0
        else Metric(None, reason="small")
    )
    return {**metrics, "within_auc": within}


def _out_of_fold(chosen: Array, data: Split, x: Array, scale: Scale) -> Array:
    """(5): count each training patient's score by the model that did not see it."""
    scores = np.take_along_axis(x @ chosen[1:].T, data.fold[:, None], axis=1)[:, 0]
    return count_scores(scores, data.train_y, scale)


def _weights(study: Study, sizes: Array) -> Array:
    """Weigh a hospital for each model by its patients, or by being there."""
    result: Array = sizes if study.weighted else (sizes > 0).astype(np.float64)
    return result


def _full_losses(study: Study, theta: Array, *, x: Array, data: Split) -> Array:
    """Sum the log loss of each pair's full model over training patients, float64[pairs]."""
    full = theta[:: 1 + study.folds]
    result: Array = log_losses(x @ full.T, data.train_y).sum(axis=0)
    return result


def _still_moving(curve: tuple[float, ...]) -> float:
    """Share of all progress that came in the last three rounds; 1 where there was none."""
    gained = curve[0] - min(curve)
    late = abs(curve[-1 - min(_SETTLED_ROUNDS, len(curve) - 1)] - curve[-1])
    return min(late / gained, 1.0) if gained > 0 else 1.0


def _stated(counts: _Counts) -> dict[str, int | None]:
    """Counts that may be told: none that lets fewer than ten events or non-events be read off."""
    told: dict[str, int | None] = {"train": counts.train, "train_events": counts.train_events}
    small = min(counts.held_events, counts.held - counts.held_events) < SMALL_CELL
    return {
        **told,
        "held_out": None if small else counts.held,
        "held_out_events": None if small else counts.held_events,
    }


def _sound(model: Model) -> Model:
    """Refuse a model that could not be read back: totals of an honest hub never lead to one."""
    try:
        return Model.decode(model.encode())
    except (ModelUnusable, ValueError) as error:
        raise ReplyInvalid("total", step="evaluation") from error


def _counted(total: Array) -> Array:
    """Round sums of counts to whole numbers; fixed point leaves them exact, a dishonest hub not."""
    result: Array = np.rint(total).clip(0.0)
    return result


def _digest(theta: Array) -> Digest:
    return Digest(hashlib.sha256(theta.astype("<f8").tobytes()).hexdigest())
