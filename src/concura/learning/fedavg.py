"""Federated averaging with Adam at the hospitals and at the server (FedAdam).

Reddi et al., Adaptive Federated Optimization, ICLR 2021, Algorithm 2 with Adam as ServerOpt:
each hospital starts from the global theta with a fresh Adam, takes full-batch steps and hands in
d_k = theta_k - theta, times its weight; D = sum n_k d_k / sum n_k (weighted by patients) or the
mean over hospitals; the server's Adam steps along -D. Every hospital computes the server's step
itself from the total, so that the hub only adds.

This module does NOT choose rates: many pairs of them run side by side (`Plan`).
"""

from dataclasses import dataclass, replace

import numpy as np

from concura.learning.adam import Adam, adam_start, adam_step
from concura.learning.cohort import Array, Split
from concura.learning.logistic import gradient
from concura.learning.study import Study

__all__ = ["Plan", "Server", "client_delta", "make_plan", "server_start", "server_step"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The K = pairs x (1 + folds) models that a study trains side by side.

    Args:
        client: float64[K, 1], rate at the hospitals.
        server: float64[K, 1], rate at the server.
        left_out: int64[K], the fold that a model does not see; -1: it sees all.
    """

    client: Array
    server: Array
    left_out: np.ndarray[tuple[int, ...], np.dtype[np.int64]]

    def member(self, split: Split) -> Array:
        """Say which training patients train which model: float64[n, K] of 0 and 1."""
        result: Array = (split.fold[:, None] != self.left_out[None, :]).astype(np.float64)
        return result


@dataclass(frozen=True, slots=True)
class Server:
    """Global parameters theta, float64[K, d + 1], and the server's Adam."""

    theta: Array
    adam: Adam


def make_plan(study: Study) -> Plan:
    """Lay out the models: pair by pair, the full one first, then one for each fold."""
    each = 1 + study.folds
    rates = np.repeat(np.array(study.pairs, dtype=np.float64), each, axis=0)
    left_out = np.tile(np.arange(-1, study.folds, dtype=np.int64), len(study.pairs))
    return Plan(client=rates[:, :1], server=rates[:, 1:], left_out=left_out)


def client_delta(
    study: Study, plan: Plan, *, theta: Array, x: Array, y: Array, member: Array
) -> Array:
    """Train at one hospital and return d_k = theta_k - theta, float64[K, d + 1]."""
    local, adam = theta, adam_start(theta)
    for _ in range(study.local_steps):
        slope = gradient(local, x, y=y, member=member, l2=study.l2)
        local, adam = adam_step(local, adam, gradient=slope, rate=plan.client)
    # A hospital without patients for a model has no opinion on it, not the penalty's.
    delta: Array = np.where(member.sum(axis=0)[:, None] > 0, local - theta, 0.0)
    return delta


def server_start(plan: Plan, features: int) -> Server:
    """Start all models at zero."""
    theta = np.zeros((plan.client.shape[0], features + 1))
    return Server(theta, adam_start(theta))


def server_step(server: Server, plan: Plan, *, delta_sum: Array, weight_sum: Array) -> Server:
    """Move the global parameters by the total of the hospitals' weighted deltas.

    Args:
        server: the state before.
        plan: gives the rates.
        delta_sum: float64[K, d + 1], sum over hospitals of weight * delta.
        weight_sum: float64[K], sum of the weights, all positive.
    """
    mean = delta_sum / weight_sum[:, None]
    theta, adam = adam_step(server.theta, server.adam, gradient=-mean, rate=plan.server)
    return replace(server, theta=theta, adam=adam)
