"""Probes: how well one code tells a factor, read by a regression that never saw the face it is tested on.

Definitions in the literature: leakage probes between the blocks of a code, with ridge regression for what lies there
linearly and a network with one hidden layer for what does not.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from disentangle_jax.scores import r2

KINDS = ("ridge", "mlp")

_PENALTIES = np.logspace(-2, 5, 15)


class FitOptions(NamedTuple):
    """How probes are fitted; the fields are of `config.evaluation.probes`.

    Attributes:
        test_share: share of the faces that the score is taken on.
        folds: of the cross-validation that chooses the penalty of the ridge regression.
        hidden: width of the network's hidden layer.
        max_epochs: of the network's training.
        patience: epochs without a better score on held-out faces before the network stops.
    """

    test_share: float
    folds: int
    hidden: int
    max_epochs: int
    patience: int

    @classmethod
    def of(cls, probes: ConfigDict) -> "FitOptions":
        """The options in `config.evaluation.probes`."""
        return cls(*(probes[name] for name in cls._fields))


def probe(
    features: Float[np.ndarray, "n p"],
    targets: Float[np.ndarray, "n f"],
    groups: Int[np.ndarray, "n"],
    *,
    kind: str,
    seed: int,
    options: FitOptions,
    shuffle: bool = False,
) -> Float[np.ndarray, "f"]:
    """R^2 of each target, predicted from the features, on groups (faces) held out from the fit.

    `shuffle` fits to labels dealt out at random instead: the score of chance.
    """
    splitter = GroupShuffleSplit(1, test_size=options.test_share, random_state=seed)
    fit, test = next(splitter.split(features, groups=groups))
    x, y = (_standardise(values.astype(np.float64), fit) for values in (features, targets))
    labels = y[np.random.default_rng(seed).permutation(fit)] if shuffle else y[fit]
    predict = _fit_ridge if kind == "ridge" else _fit_mlp
    with threadpool_limits(1):  # matrices this small lose more to waiting threads than they gain
        return r2(predict(x[fit], labels, groups[fit], x[test], seed, options), y[test])


def probe_matrix(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    targets: Mapping[str, Float[np.ndarray, "n _"]],
    groups: Int[np.ndarray, "n"],
    seed: int,
    options: FitOptions,
) -> dict[str, Any]:
    """Every probe of every target from every code: {kind: {features: {targets: {"r2", "chance"}}}}, means over
    factors.
    """
    return {
        kind: {
            code: {
                name: {
                    "r2": float(probe(x, y, groups, kind=kind, seed=seed, options=options).mean()),
                    "chance": float(probe(x, y, groups, kind=kind, seed=seed, options=options, shuffle=True).mean()),
                }
                for name, y in targets.items()
            }
            for code, x in features.items()
        }
        for kind in KINDS
    }


def _standardise(values: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1 over the rows that are fitted to; a constant column becomes 0."""
    mean, std = values[fit].mean(axis=0, keepdims=True), values[fit].std(axis=0, keepdims=True)
    return (values - mean) / np.where(std > 0, std, 1.0)


def _fit_ridge(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, x_test: np.ndarray, seed: int, options: FitOptions
) -> np.ndarray:
    """Ridge regression, its penalty chosen by cross-validation over groups."""
    folds = GroupKFold(min(options.folds, len(np.unique(groups))), shuffle=True, random_state=seed)
    errors = np.zeros(len(_PENALTIES))
    for fit, watch in folds.split(x, groups=groups):
        errors += [np.sum(np.square(p - y[watch])) for p in _ridge_path(x[fit], y[fit], x[watch], _PENALTIES)]
    return next(_ridge_path(x, y, x_test, _PENALTIES[[errors.argmin()]]))


def _ridge_path(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, penalties: np.ndarray) -> Iterator[np.ndarray]:
    """Predictions under each penalty p, x_test (x'x + p)^-1 x'y, for the price of one eigendecomposition."""
    values, vectors = np.linalg.eigh(x.T @ x)
    rotated, seen = vectors.T @ (x.T @ y), x_test @ vectors
    for penalty in penalties:
        yield seen @ (rotated / (values + penalty)[:, None])


def _fit_mlp(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, x_test: np.ndarray, seed: int, options: FitOptions
) -> np.ndarray:
    """A network with one hidden layer, stopped where it predicts groups left out of the fit best."""
    x, y, x_test = (values.astype(np.float32) for values in (x, y, x_test))  # twice as fast, and precise enough here
    fit, watch = next(GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(x, groups=groups))
    network = MLPRegressor(hidden_layer_sizes=(options.hidden,), alpha=1e-3, random_state=seed)
    best_error, prediction, waited = np.mean(np.square(y[watch])), np.zeros((len(x_test), y.shape[1])), 0  # the mean
    for _ in range(options.max_epochs):
        network.partial_fit(x[fit], y[fit].squeeze())
        error = np.mean(np.square(np.reshape(network.predict(x[watch]), y[watch].shape) - y[watch]))
        if error < best_error:
            best_error, prediction, waited = error, np.reshape(network.predict(x_test), prediction.shape), 0
        elif (waited := waited + 1) == options.patience:
            break
    return prediction
