"""What a participant says and hears: contributions, totals, closed rounds.

The participant is a generator; these are the values that it yields. `ask` yields one contribution
and checks the total that comes back.

This module does NOT mask, send or add.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from concura.errors import ReplyInvalid
from concura.learning.cohort import Array
from concura.types import Digest

__all__ = ["Contribution", "RoundClosed", "Steps", "ask", "flat", "parts"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """One hospital's summand: `step` names it, `vector` is float64[m]; be sent the sum, float64[m].

    It MUST NOT leave the hospital unmasked.
    """

    step: str
    vector: Array


@dataclass(frozen=True, slots=True)
class RoundClosed:
    """A round is over; be sent None.

    Args:
        number: from 1.
        digest: SHA-256 of the global parameters after the round; the same at every hospital.
        metrics: consortium-wide values, None where small cells forbid them; `loss` is the mean
            training log loss of the parameters that the round began with (the best rate pair's).
    """

    number: int
    digest: Digest
    metrics: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def millionths(self) -> dict[str, int | None]:
        """The metrics as whole millionths: ledger entries hold no floats (PROTOCOLS §5)."""
        return {k: None if v is None else round(v * 1e6) for k, v in self.metrics.items()}


T = TypeVar("T")
Steps = Generator[Contribution | RoundClosed, Array | None, T]


def ask(step: str, *values: Array | float) -> Steps[Array]:
    """Contribute values and return their sum over all hospitals, float64[m].

    Raises:
        ReplyInvalid: the total has another length, or is not finite.
    """
    vector = flat(*values)
    total = yield Contribution(step, vector)
    if total is None or total.shape != vector.shape or not np.isfinite(total).all():
        raise ReplyInvalid("total", step=step)
    return total


def flat(*values: Array | float) -> Array:
    """Lay arrays and numbers end to end, float64[m]."""
    return np.concatenate([np.asarray(value, dtype=np.float64).reshape(-1) for value in values])


def parts(total: Array, *shapes: tuple[int, ...]) -> list[Array]:
    """Undo `flat`: cut float64[m] into arrays of the given shapes, all m values used."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    assert sum(sizes) == total.size
    cuts = np.split(total, np.cumsum(sizes)[:-1])
    return [cut.reshape(shape) for cut, shape in zip(cuts, shapes, strict=True)]
