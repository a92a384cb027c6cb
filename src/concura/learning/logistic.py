"""Logistic regression for many models at once: sigma(theta^T phi(x)), loss and gradient.

K models stand as rows of one matrix, so that all rate pairs and folds move in one vectorised step.
Column 0 is the intercept. See Hastie, Tibshirani, Friedman, The Elements of Statistical Learning,
2nd ed., §4.4.1, eq. 4.20-4.21.

This module does NOT choose steps: see `adam` and `fedavg`.
"""

import numpy as np
from numpy.typing import NDArray

from concura.learning.cohort import Array

__all__ = ["design", "gradient", "log_losses", "sigmoid"]


def design(z: Array) -> Array:
    """Put the intercept's column of ones before standardised features: float64[n, d + 1]."""
    return np.concatenate([np.ones((z.shape[0], 1)), z], axis=1)


def sigmoid(logits: Array) -> Array:
    """1 / (1 + exp(-logits)), without overflow: tanh saturates where exp would not."""
    result: Array = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return result


def log_losses(logits: Array, y: NDArray[np.bool_]) -> Array:
    """-log p(y): logits float64[n] or [n, K], y bool[n]; the same shape as logits."""
    outcome = y if logits.ndim == 1 else y[:, None]
    result: Array = np.logaddexp(0.0, np.where(outcome, -logits, logits))
    return result


def gradient(theta: Array, x: Array, *, y: Array, member: Array, l2: float) -> Array:
    """Gradient of the mean penalised log loss of each model over its own patients.

    Args:
        theta: float64[K, d + 1].
        x: float64[n, d + 1], first column ones.
        y: float64[n, 1], 0 or 1.
        member: float64[n, K], 1 where the patient trains the model.
        l2: ridge penalty; the intercept is free of it.

    Returns:
        float64[K, d + 1]; zero for a model without patients.
    """
    residual = (sigmoid(x @ theta.T) - y) * member
    result: Array = residual.T @ x / np.maximum(member.sum(axis=0), 1.0)[:, None]
    result[:, 1:] += l2 * theta[:, 1:]
    return result
