"""Probes: regressions from a code to factors, tested on faces that they were not fitted to.

Ridge regression finds what a code holds linearly, a network with one hidden layer also what it holds otherwise. Each
factor is fitted by itself, so that one that a code holds is found among many that it does not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from disentangle_jax.metrics import r2

KINDS = ("ridge", "mlp")

_PENALTIES = np.logspace(-2, 5, 15)


class ProbeOptions(NamedTuple):
    """How probes are fitted; the fields are of `config.evaluation.probes`.

    Attributes:
        test_share: share of the faces that are held out for testing.
        folds: number of folds of the cross-validation that chooses the penalty of the ridge regression.
        hidden: width of the network's hidden layer.
        max_epochs: largest number of epochs of the network's training.
        patience: number of epochs without a better validation error of any factor after which training stops.
    """

    test_share: float
    folds: int
    hidden: int
    max_epochs: int
    patience: int

    @classmethod
    def of(cls, probes: ConfigDict) -> "ProbeOptions":
        """The options in `config.evaluation.probes`."""
        return cls(*(probes[name] for name in cls._fields))


def probe(
    features: Float[np.ndarray, "n p"],
    targets: Float[np.ndarray, "n f"],
    groups: Int[np.ndarray, "n"],
    *,
    kind: str,
    seed: int,
    options: ProbeOptions,
) -> Float[np.ndarray, "f"]:
    """R^2 of each target, predicted from the features, on groups that are held out from the fit.

    Args:
        features: the code of each row.
        targets: the factors of each row.
        groups: the face of each row; all rows of a face are fitted to, or all are tested on.
        kind: one of `KINDS`.
        seed: of the splits and of the network's initial weights.
        options: how the probe is fitted.
    """
    return _probes(features, [(targets, False)], groups, kind, seed, options)[0]


def probe_matrix(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    targets: Mapping[str, Float[np.ndarray, "n _"]],
    groups: Int[np.ndarray, "n"],
    seed: int,
    options: ProbeOptions,
) -> dict[str, Any]:
    """Fit a probe of every kind from all features to all targets.

    Args:
        features: codes by name.
        targets: factors by name.
        groups, seed, options: as in `probe`.

    Returns:
        {kind: {features: {targets: {"r2": ..., "chance": ...}}}}, each the mean over the columns of the targets. Chance
        is the score of a fit to shuffled targets.
    """
    return {
        kind: {code: _scores(x, targets, groups, kind, seed, options) for code, x in features.items()} for kind in KINDS
    }


def _scores(
    x: Float[np.ndarray, "n p"],
    targets: Mapping[str, Float[np.ndarray, "n _"]],
    groups: Int[np.ndarray, "n"],
    kind: str,
    seed: int,
    options: ProbeOptions,
) -> dict[str, dict[str, float]]:
    asked = [(y, shuffle) for y in targets.values() for shuffle in (False, True)]
    found = iter(_probes(x, asked, groups, kind, seed, options))
    return {name: {"r2": float(next(found).mean()), "chance": float(next(found).mean())} for name in targets}


def _probes(
    features: Float[np.ndarray, "n p"],
    asked: Sequence[tuple[Float[np.ndarray, "n _"], bool]],
    groups: Int[np.ndarray, "n"],
    kind: str,
    seed: int,
    options: ProbeOptions,
) -> list[Float[np.ndarray, "_"]]:
    """R^2 of all columns of each of the targets, which are shuffled or not; see `probe`."""
    splitter = GroupShuffleSplit(1, test_size=options.test_share, random_state=seed)
    fit, test = next(splitter.split(features, groups=groups))
    shuffled = np.random.default_rng(seed).permutation(fit)
    x, ys = _standardise(features, fit), [_standardise(y, fit) for y, _ in asked]
    labels = [y[shuffled if shuffle else fit] for y, (_, shuffle) in zip(ys, asked, strict=True)]
    given = (groups[fit], x[test], seed, options)
    with threadpool_limits(1):  # matrices this small lose more to waiting threads than they gain
        predicted = _ridge(x[fit], labels, *given) if kind == "ridge" else [_mlp(x[fit], y, *given) for y in labels]
        return [r2(prediction, y[test]) for prediction, y in zip(predicted, ys, strict=True)]


def _standardise(values: Float[np.ndarray, "n p"], fit: Int[np.ndarray, "m"]) -> Float[np.ndarray, "n p"]:
    """Columns of mean 0 and variance 1 over the rows that are fitted to; a constant column becomes 0."""
    values = values.astype(np.float64)
    return np.asarray(StandardScaler().fit(values[fit]).transform(values))


def _ridge(
    x: Float[np.ndarray, "n p"],
    ys: Sequence[Float[np.ndarray, "n _"]],
    groups: Int[np.ndarray, "n"],
    x_test: Float[np.ndarray, "m p"],
    seed: int,
    options: ProbeOptions,
) -> list[Float[np.ndarray, "m _"]]:
    """Predictions of ridge regressions of each y, with a penalty for each column, by cross-validation over groups."""
    folds = GroupKFold(min(options.folds, len(np.unique(groups))), shuffle=True, random_state=seed)
    errors = [np.zeros((len(_PENALTIES), y.shape[1])) for y in ys]
    for fit, validate in folds.split(x, groups=groups):
        predict = _ridge_path(x[fit], x[validate])
        for error, y in zip(errors, ys, strict=True):
            error += [np.sum(np.square(prediction - y[validate]), axis=0) for prediction in predict(y[fit], _PENALTIES)]
    predict = _ridge_path(x, x_test)
    return [_of_columns(predict(y, _PENALTIES), error) for y, error in zip(ys, errors, strict=True)]


def _of_columns(path: Iterable[Float[np.ndarray, "m f"]], errors: Float[np.ndarray, "q f"]) -> Float[np.ndarray, "m f"]:
    """Of predictions for each penalty, each column's with the least error."""
    best = errors.argmin(axis=0)
    return np.stack(list(path))[best, :, np.arange(len(best))].T


def _ridge_path(
    x: Float[np.ndarray, "n p"], x_test: Float[np.ndarray, "m p"]
) -> Callable[[Float[np.ndarray, "n f"], Float[np.ndarray, "q"]], Iterator[Float[np.ndarray, "m f"]]]:
    """A function of y and penalties that yields x_test (x^T x + penalty)^-1 x^T y, from one eigendecomposition.

    It is of x^T x or, where rows are fewer than columns, of x x^T: the same is x_test x^T (x x^T + penalty)^-1 y.
    scikit-learn's RidgeCV would decompose anew for each penalty.
    """
    is_wide = x.shape[0] < x.shape[1]
    eigenvalues, eigenvectors = np.linalg.eigh(x @ x.T if is_wide else x.T @ x)
    rotated_x = (x_test @ x.T if is_wide else x_test) @ eigenvectors

    def predict(y: Float[np.ndarray, "n f"], penalties: Float[np.ndarray, "q"]) -> Iterator[Float[np.ndarray, "m f"]]:
        rotated_y = eigenvectors.T @ (y if is_wide else x.T @ y)
        for penalty in penalties:
            yield rotated_x @ (rotated_y / (eigenvalues + penalty)[:, None])

    return predict


def _mlp(
    x: Float[np.ndarray, "n p"],
    y: Float[np.ndarray, "n f"],
    groups: Int[np.ndarray, "n"],
    x_test: Float[np.ndarray, "m p"],
    seed: int,
    options: ProbeOptions,
) -> Float[np.ndarray, "m f"]:
    """Predictions of a ridge regression, and of a network with one hidden layer for what that leaves.

    Of each column at the epoch with the lowest error on validation groups, which may be the one before the first.
    """
    fit, validate = next(GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(x, groups=groups))
    path = list(_ridge_path(x[fit], np.concatenate([x, x_test]))(y[fit], _PENALTIES))
    errors = np.stack([np.mean(np.square(each[validate] - y[validate]), axis=0) for each in path])
    linear, best_error = _of_columns(path, errors), errors.min(axis=0)
    y, prediction = y - linear[: len(x)], linear[len(x) :]
    x, y, x_test = (values.astype(np.float32) for values in (x, y, x_test))  # twice as fast, and precise enough here
    network = MLPRegressor(hidden_layer_sizes=(options.hidden,), alpha=1e-3, random_state=seed)

    def predict(features: Float[np.ndarray, "b p"]) -> Float[np.ndarray, "b f"]:
        return np.asarray(network.predict(features)).reshape(
            len(features), -1
        )  # of a single target it gives no second axis

    found, waited = np.zeros_like(prediction), 0
    own_error = np.full_like(best_error, np.inf)  # it starts above that of no network, and may take long to come below
    for _ in range(options.max_epochs):
        network.partial_fit(x[fit], y[fit].squeeze())
        error = np.mean(np.square(predict(x[validate]) - y[validate]), axis=0)
        if (better := error < best_error).any():
            found[:, better], best_error = predict(x_test)[:, better], np.minimum(best_error, error)
        waited = 0 if (error < own_error).any() else waited + 1
        if waited == options.patience:
            break
        own_error = np.minimum(own_error, error)
    return prediction + found
