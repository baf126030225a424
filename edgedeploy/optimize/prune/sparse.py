"""Which single weights go, the others making up for it.

Weights stay in full tensors, zeros among them: no kernel of the runtimes here is faster for it, but zeros compress.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.optimize.prune.moments import Moments

_DAMPING = 0.01
_BLOCK = 64
"""Inputs whose masks are chosen together; what is after them sees their errors first (SparseGPT, section 3.3)."""


def by_magnitude(weights: np.ndarray, sparsity: float, pattern: tuple[int, int] | None) -> np.ndarray:
    """Zero the smallest weights; return them in the shape (groups, in, out) that is given.

    Args:
        sparsity: share of each group's weights that become zero, without a pattern.
        pattern: (n, m): n of each m weights along the inputs stay, of each output.
    """
    result = weights.copy()
    for group in result:
        group[_unimportant(np.abs(group), sparsity, pattern)] = 0.0
    return result


def by_activations(
    weights: np.ndarray, moments: Moments, sparsity: float, pattern: tuple[int, int] | None, *, make_up: bool
) -> np.ndarray:
    """Zero the weights that matter least for what the layer gives on the samples.

    Without making up, by |w|·‖x‖ among the weights of each output: Sun et al. 2023 (Wanda,
    https://arxiv.org/abs/2306.11695, section 3, equation 1). With it, input by input, by w²/[H⁻¹]² and the weights of
    later inputs changed by −w/[H⁻¹] · H⁻¹, H⁻¹ by way of its Cholesky factor: Frantar and Alistarh 2023 (SparseGPT,
    https://arxiv.org/abs/2301.00774, algorithm 1).

    Args:
        weights: shape (groups, in, out).
        moments: of the layer's input.
        sparsity: share of the weights that become zero, without a pattern.
        pattern: (n, m): n of each m weights along the inputs stay, of each output.
        make_up: whether the weights that stay make up for those that go.

    Returns:
        In the shape and dtype of `weights`.
    """
    inputs = weights.shape[1]
    result = weights.astype(np.float64)
    for number, group in enumerate(result):
        second = moments.square[number] / moments.rows
        if not make_up:
            scores = np.abs(group) * np.sqrt(np.maximum(np.diagonal(second), 0.0))[:, None]
            group[_unimportant(scores, sparsity, pattern, per_output=True)] = 0.0
            continue
        mean = max(float(np.trace(second)) / inputs, 1e-12)
        inverse = np.linalg.inv(second + _DAMPING * mean * np.eye(inputs))
        factor = np.linalg.cholesky((inverse + inverse.T) / 2).T
        _sparsify_in_order(group, factor, sparsity, pattern)
    return result.astype(weights.dtype)


def _sparsify_in_order(
    weights: np.ndarray, factor: np.ndarray, sparsity: float, pattern: tuple[int, int] | None
) -> None:
    """SparseGPT's walk over the inputs, in place.

    Args:
        weights: (in, out).
        factor: upper Cholesky factor of the inverse, (in, in).
    """
    inputs = len(weights)
    block = _BLOCK if pattern is None else max(pattern[1], _BLOCK // pattern[1] * pattern[1])
    for begin in range(0, inputs, block):
        end = min(begin + block, inputs)
        diagonal = np.diagonal(factor)[begin:end]
        if pattern is None:
            gone = _unimportant((weights[begin:end] / diagonal[:, None]) ** 2, sparsity, None)
        errors = np.zeros((end - begin, weights.shape[1]))
        for place in range(begin, end):
            row = place - begin
            if pattern is not None and row % pattern[1] == 0:
                # The pattern is chosen when its turn comes: weights before have changed these.
                last = min(place + pattern[1], end)
                scores = (weights[place:last] / np.diagonal(factor)[place:last, None]) ** 2
                gone_here = _unimportant(scores, sparsity, pattern)
            mask = gone[row] if pattern is None else gone_here[row % pattern[1]]
            error = np.where(mask, weights[place], 0.0) / factor[place, place]
            weights[place:end] -= np.outer(factor[place, place:end], error)
            weights[place][mask] = 0.0
            errors[row] = error
        weights[end:] -= factor[begin:end, end:].T @ errors


def _unimportant(
    scores: np.ndarray, sparsity: float, pattern: tuple[int, int] | None, *, per_output: bool = False
) -> np.ndarray:
    """Which weights go; bool, (in, out) like the scores."""
    if pattern is None:
        count = round(sparsity * (len(scores) if per_output else scores.size))
        gone = np.zeros(scores.shape, dtype=bool)
        if per_output:
            np.put_along_axis(gone, np.argsort(scores, axis=0, kind="stable")[:count], True, axis=0)
        else:
            gone.reshape(-1)[np.argsort(scores, axis=None, kind="stable")[:count]] = True
        return gone
    keep, of = pattern
    gone = np.zeros(scores.shape, dtype=bool)
    for begin in range(0, len(scores), of):
        part = scores[begin : begin + of]
        # Of an incomplete last run as many stay as of a whole one.
        count = max(len(part) - keep, 0)
        np.put_along_axis(gone[begin : begin + of], np.argsort(part, axis=0, kind="stable")[:count], True, axis=0)
    return gone
