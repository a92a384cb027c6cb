"""Run a whole study in one process: the same participants, the same fixed point, no network.

The participants move in lockstep; their contributions pass through fixed point exactly as over the
hub, so that the numbers are equal bit by bit, with or without masks.

This module does NOT protect anything from anyone: all cohorts stand in one memory.
"""

from collections.abc import Callable, Mapping

from concura.errors import InternalFault, StudyAborted
from concura.learning.cohort import Array, Cohort
from concura.learning.fixed import add_words, decode_fixed, encode_fixed, pack_words, unpack_words
from concura.learning.masking import mask, public_of, shared_seed
from concura.learning.model import Model
from concura.learning.participant import participant
from concura.learning.steps import Contribution, RoundClosed, Steps
from concura.learning.study import Study
from concura.types import MemberId

__all__ = ["drive", "run"]


def run(
    study: Study,
    cohorts: Mapping[MemberId, Cohort],
    *,
    mask_keys: Mapping[MemberId, bytes] | None = None,
    on_round: Callable[[RoundClosed], None] | None = None,
) -> Model:
    """Run a study over cohorts that are all at hand.

    Args:
        study: the study.
        cohorts: one for each hospital, by member.
        mask_keys: X25519 private keys, 32 bytes each: masks as over the hub; none without.
        on_round: told of every closed round.

    Returns:
        The model.

    Raises:
        StudyAborted: too few hospitals, patients or events.

    Example:
        >>> run(study, {"hospital-a": a, "hospital-b": b, "hospital-c": c}).converged
        True
    """
    if len(cohorts) < study.minimum_hospitals:
        raise StudyAborted("few", minimum=study.minimum_hospitals)
    seeds = _all_seeds(study, mask_keys) if mask_keys is not None else None
    running = {member: participant(study, cohort) for member, cohort in cohorts.items()}
    return drive(study, running, seeds=seeds, on_round=on_round)


def drive(
    study: Study,
    running: Mapping[MemberId, Steps[Model]],
    *,
    seeds: Mapping[MemberId, Mapping[MemberId, bytes]] | None = None,
    on_round: Callable[[RoundClosed], None] | None = None,
) -> Model:
    """Drive started participants in lockstep to their common model; `seeds` are the mask seeds."""
    answer: Array | None = None
    while True:
        said, models = _advance(running, answer)
        if models:
            return _agreed(models)
        first = next(iter(said.values()))
        if isinstance(first, RoundClosed):
            if on_round is not None:
                on_round(first)
            answer = None
        else:
            answer = _total(study, said, seeds)


def _advance(
    running: Mapping[MemberId, Steps[Model]], answer: Array | None
) -> tuple[dict[MemberId, Contribution | RoundClosed], list[Model]]:
    """Move every participant to its next word."""
    said: dict[MemberId, Contribution | RoundClosed] = {}
    models: list[Model] = []
    for member, steps in running.items():
        try:
            said[member] = steps.send(answer)
        except StopIteration as end:
            models.append(end.value)
    return said, models


def _total(
    study: Study,
    said: Mapping[MemberId, Contribution | RoundClosed],
    seeds: Mapping[MemberId, Mapping[MemberId, bytes]] | None,
) -> Array:
    sent: list[bytes] = []
    size = 0
    for member, word in said.items():
        if not isinstance(word, Contribution):
            raise InternalFault(detail="lockstep")
        words = encode_fixed(word.vector)
        if seeds is not None:
            label = f"{study.study_id}/{word.step}".encode()
            words = mask(words, me=member, seeds=seeds[member], label=label)
        sent.append(pack_words(words))
        size = words.size
    return decode_fixed(unpack_words(add_words(sent), size))


def _all_seeds(
    study: Study, keys: Mapping[MemberId, bytes]
) -> dict[MemberId, dict[MemberId, bytes]]:
    public = {member: public_of(key) for member, key in keys.items()}
    return {
        me: {
            peer: shared_seed(key, public[peer], study=study.study_id, me=me, peer=peer)
            for peer in keys
            if peer != me
        }
        for me, key in keys.items()
    }


def _agreed(models: list[Model]) -> Model:
    """All participants must have come to the same model."""
    if len({model.id for model in models}) != 1:
        raise InternalFault(detail="models differ")
    return models[0]
