"""Directions from scores: a scorer reads the images of many latents, and a regression relates the two."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.directions.directions import Directions, biorthogonal

METHODS = ("conditional", "linear", "logistic")
_ITERATIONS = 2000  # more than logistic regression needs here
_WORST_CONDITION = 1e10  # of the correlations of what factors read on latents; beyond it, moves are rounding


def from_scores(
    ws: Float[Array, "n l d"], scores: Float[Array, "n f"], names: Sequence[str], wanted: Sequence[str], ridge: float
) -> Directions:
    """Directions that each change one score and no other, by ridge regression of scores on latents.

    The normals N are the regression's weights. Among all moves with N delta = e_i, the most probable one under the
    latents' covariance S is column i of S N^T (N S N^T)^-1. It is conditional on every score, wanted or not: along the
    plain normals other scores change too, since scores are correlated.

    Args:
        ws: latents. Style-mixed ones let the regression tell the layers apart.
        scores: readings of the images of ws, one column per name.
        names: of the columns.
        wanted: the names of the directions to return.
        ridge: penalty, relative to the mean variance of a latent's entries times n.

    Raises:
        ValueError: a wanted name is not among the names, the samples are too few to tell the scores apart, or two
            scores say the same of all samples.
    """
    rows = _rows(names, wanted)
    x, y = _centred(ws, scores)
    if len(x) <= len(names):
        raise ValueError(f"{len(x)} samples do not tell {len(names)} factors apart: take more than there are factors")
    covariance = x.T @ x / len(x)
    normals = _linear_normals(x, y, ridge)
    moved = covariance @ normals.T
    read = normals @ moved  # the covariance of what the normals read
    spread = np.sqrt(np.diagonal(read))
    correlation = read / np.outer(spread, spread)
    if np.linalg.cond(correlation) > _WORST_CONDITION:
        one, other = divmod(int(np.argmax(np.abs(np.triu(correlation, 1)))), len(names))
        raise ValueError(
            f"on latents the factors {', '.join(names)} depend on each other, {names[one]} and {names[other]} most, so "
            "that none can be moved by itself: leave one out of the scorer's names, or take more samples"
        )
    vectors = np.linalg.solve(read, moved.T)
    return _directions(vectors[rows], normals[rows], ws, wanted)


def hyperplanes(
    ws: Float[Array, "n l d"],
    scores: Float[Array, "n f"],
    names: Sequence[str],
    wanted: Sequence[str],
    ridge: float,
    tail: float | None,
    orthogonalise: bool,
) -> Directions:
    """InterFaceGAN (Shen et al. 2020, arXiv:2005.09635): directions normal to hyperplanes that separate the scores.

    Args:
        ws, scores, names, wanted, ridge: as of `from_scores`.
        tail: the normals come from logistic regression between this share of the samples with the lowest score and as
            many with the highest (0.5 splits at the median). None: from ridge regression on the scores.
        orthogonalise: project each normal onto the complement of all others, wanted or not (the paper's conditional
            manipulation). Otherwise a move along one normal changes other scores too.

    Raises:
        ValueError: a wanted name is not among the names, tail is not within (0, 0.5], or the directions are not
            linearly independent.
    """
    rows = _rows(names, wanted)
    x, y = _centred(ws, scores)
    normals = _linear_normals(x, y, ridge) if tail is None else _logistic_normals(x, y, ridge, tail)
    if not orthogonalise:
        return _directions(normals[rows], normals[rows], ws, wanted)
    projected = np.linalg.pinv(normals).T  # row i: normal i without its projection onto the others, up to scale
    return _directions(projected[rows], normals[rows], ws, wanted)


def _linear_normals(x: Float[np.ndarray, "n e"], y: Float[np.ndarray, "n f"], ridge: float) -> Float[np.ndarray, "f e"]:
    covariance = x.T @ x / len(x)
    penalty = ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.linalg.solve(covariance + penalty, x.T @ y / len(x)).T


def _logistic_normals(
    x: Float[np.ndarray, "n e"], y: Float[np.ndarray, "n f"], ridge: float, tail: float
) -> Float[np.ndarray, "f e"]:
    from sklearn.linear_model import LogisticRegression  # a slow import that only this method needs

    if not 0.0 < tail <= 0.5:
        raise ValueError(f"directions.tail={tail} must lie in (0, 0.5]: the share of the samples at either end")
    count = max(1, int(tail * len(x)))
    x = x / x.std()  # so that the penalty is relative to the variance of an entry, and lbfgs converges
    labels = np.repeat([0, 1], count)
    model = LogisticRegression(C=1.0 / (2 * count * ridge), max_iter=_ITERATIONS)
    ends = [np.concatenate([order[:count], order[-count:]]) for order in np.argsort(y, axis=0).T]
    return np.stack([model.fit(x[rows], labels).coef_[0] for rows in ends])


def _rows(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(f"no scores for {', '.join(unknown)}: the scorer reads {', '.join(names)}")
    return [list(names).index(name) for name in wanted]


def _centred(ws: Array, scores: Array) -> tuple[Float[np.ndarray, "n e"], Float[np.ndarray, "n f"]]:
    x, y = np.asarray(ws, np.float64).reshape(len(ws), -1), np.asarray(scores, np.float64)
    return x - x.mean(0), y - y.mean(0)


def _directions(vectors: np.ndarray, normals: np.ndarray, ws: Array, names: Sequence[str]) -> Directions:
    shape = (len(names), *ws.shape[1:])
    return biorthogonal(vectors.reshape(shape), normals.reshape(shape), ws, names)
