"""Remove inputs of a linear layer block by block, and adjust the other weights to compensate.

Minimizing E|x·W − x·W'|² with the rows of W' at removed inputs zero gives, for a set R of inputs and H = cov(x), the
error tr(W_Rᵀ ([H⁻¹]_RR)⁻¹ W_R) and the change −[H⁻¹]_:R ([H⁻¹]_RR)⁻¹ W_R of the weights: Optimal Brain Surgeon (Hassibi
and Stork 1992) for a layer, as in Frantar and Alistarh 2022 (OBC, https://arxiv.org/abs/2208.11580, section 4, equation
5, and section 5 for blocks). Without making up, the error is tr(W_Rᵀ H_RR W_R): what Wanda
(https://arxiv.org/abs/2306.11695) approximates by its diagonal, |w|·‖x‖, and what ThiNet
(https://arxiv.org/abs/1707.06342, equation 6) minimizes.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.optimize.prune.moments import Moments

_DAMPING = 0.01
"""Of the mean variance of an input, as in OBC's successors (GPTQ, https://arxiv.org/abs/2210.17323, section 3.3)."""


class Elimination:
    """One layer that loses inputs."""

    def __init__(self, weights: np.ndarray, moments: Moments, blocks: dict[int, np.ndarray], *, make_up: bool) -> None:
        """
        Args:
            weights: shape (groups, in, out).
            moments: of the layer's input.
            blocks: for each root, the rows of each group's matrix that go with it.
            make_up: whether the other weights are to make up for what goes.
        """
        self.weights = weights.astype(np.float64)
        self._blocks = blocks
        covariance, _, self._mean, _ = moments.centred()
        inputs = covariance.shape[1]
        spread = max(float(np.trace(covariance, axis1=1, axis2=2).mean()) / inputs, 1e-12)
        # Error relative to the output's own variance, so that layers can be compared.
        power = float(np.einsum("gio,gij,gjo->", self.weights, covariance, self.weights, optimize=True))
        self._scale = 1.0 / max(power, 1e-12)
        self._make_up = make_up
        if make_up:
            self._matrix = np.linalg.inv(covariance + _DAMPING * spread * np.eye(inputs))
        else:
            self._matrix = covariance

    def scores(self, roots: np.ndarray) -> np.ndarray:
        """Return the error that removing each root alone adds, as a share of the output's variance.

        Args:
            roots: int64, shape (roots,).

        Returns:
            float64, shape (roots,).
        """
        rows = np.stack([self._blocks[int(root)] for root in roots])
        inner = self._matrix[:, rows[:, :, None], rows[:, None, :]]
        weights = self.weights[:, rows]
        moved = np.linalg.solve(_steady(inner), weights) if self._make_up else inner @ weights
        return np.asarray(np.einsum("grko,grko->r", weights, moved) * self._scale)

    def remove(self, roots: np.ndarray) -> float:
        """Remove these roots together; return the error that it adds, as a share of the output's variance."""
        rows = np.concatenate([self._blocks[int(root)] for root in roots])
        inner = self._matrix[:, rows[:, None], rows[None, :]]
        weights = self.weights[:, rows]
        if not self._make_up:
            error = float(np.einsum("gko,gkl,glo->", weights, inner, weights, optimize=True))
            self.weights[:, rows] = 0.0
            return error * self._scale
        inner = _steady(inner)
        sides = self._matrix[:, :, rows]
        moved = np.linalg.solve(inner, weights)
        error = float((weights * moved).sum())
        self.weights -= sides @ moved
        self.weights[:, rows] = 0.0
        self._matrix -= sides @ np.linalg.solve(inner, sides.transpose(0, 2, 1))
        return error * self._scale

    def bias_change(self, original: np.ndarray) -> np.ndarray:
        """Return what to add to the bias so that the mean of the output stays.

        Args:
            original: the weights before; shape (groups, in, out).

        Returns:
            float64, shape (groups, out).
        """
        return np.asarray(np.einsum("gi,gio->go", self._mean, original - self.weights))


def _steady(matrices: np.ndarray) -> np.ndarray:
    """Keep what is removed twice, or hardly varies, from making a matrix singular."""
    size = matrices.shape[-1]
    diagonal = np.einsum("...ii->...", matrices) / size
    return np.asarray(matrices + 1e-9 * np.maximum(diagonal, 1e-30)[..., None, None] * np.eye(size))
