"""Adam, in the form that adds epsilon to the uncorrected root ("epsilon hat").

Kingma and Ba, Adam, ICLR 2015, end of §2: alpha_t = alpha sqrt(1 - b2^t) / (1 - b1^t),
theta <- theta - alpha_t m / (sqrt(v) + eps hat). TensorFlow Federated uses the same form, with
eps = 1e-7, for clients and server; PyTorch and Optax add epsilon after the correction.

Only +, -, *, / and sqrt, which IEEE 754 rounds exactly, elementwise: every hospital computes the
same bits from the same totals. This module does NOT know what is optimised.
"""

from dataclasses import dataclass

import numpy as np

from concura.learning.cohort import Array

__all__ = ["Adam", "adam_start", "adam_step"]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7


@dataclass(frozen=True, slots=True)
class Adam:
    """State: first and second moment (shape of theta), and beta1^t, beta2^t."""

    m: Array
    v: Array
    power1: float
    power2: float


def adam_start(theta: Array) -> Adam:
    """Return the state before the first step."""
    return Adam(np.zeros_like(theta), np.zeros_like(theta), 1.0, 1.0)


def adam_step(theta: Array, state: Adam, *, gradient: Array, rate: Array) -> tuple[Array, Adam]:
    """Take one step.

    Args:
        theta: float64[K, p].
        state: from `adam_start` or the step before.
        gradient: float64[K, p].
        rate: float64[K, 1], alpha of each model.

    Returns:
        The moved parameters and the new state.
    """
    # Powers by multiplication: libm's pow may differ in the last bit between machines.
    power1, power2 = state.power1 * _BETA1, state.power2 * _BETA2
    m = state.m + (gradient - state.m) * (1.0 - _BETA1)
    v = state.v + (gradient * gradient - state.v) * (1.0 - _BETA2)
    alpha = rate * (np.sqrt(1.0 - power2) / (1.0 - power1))
    moved: Array = theta - alpha * m / (np.sqrt(v) + _EPSILON)
    return moved, Adam(m, v, power1, power2)
