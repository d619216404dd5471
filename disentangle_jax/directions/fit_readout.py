"""Fitting a latent readout to a scorer's readings of many faces.

Clips show faces in poses that few sampled faces have, and a readout that is fitted to sampled faces alone reads those
poorly. So it is fitted twice: the first one poses other faces at random, and the second one is fitted to what the
scorer reads of both.

Source: Ross et al. 2011, arXiv:1011.0686 (DAgger), where a learner meets the states that it leads to.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict
from tqdm import tqdm

import stylegan2_flax as sg2
from disentangle_jax.batching import in_batches
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.directions.find import read_factors
from disentangle_jax.directions.readout import Network, Readout
from disentangle_jax.directions.whitening import whitening
from disentangle_jax.generators import digest
from disentangle_jax.latents import sample_mixed_ws, sample_ws
from disentangle_jax.metrics import r2 as r_squared
from disentangle_jax.scorers import Named, load_scorer
from stylegan2_flax.files import as_path

_CHUNK = 100  # steps between two updates of the progress bar
_BATCH = 256  # latents that are read at a time
_RIDGE = 1e-4  # of the regression that finds the moves, whose readings have no noise
_FEW = 2.0  # spread of the logits of a hidden unit's layers at the start
_KEY = (1 << 30) + 1  # distinct from the indices of clips, and from the key of the directions


class ReadoutOptions(NamedTuple):
    """How a readout is fitted; the fields are of `config.readout`."""

    hidden: int  # units
    num_steps: int
    batch_size: int
    learning_rate: float  # at first; cosine decay to 0
    weight_decay: float
    test_share: float  # of the latents, held out to be tested on

    @classmethod
    def of(cls, readout: ConfigDict) -> "ReadoutOptions":
        """The options in `config.readout`."""
        return cls(*(readout[name] for name in cls._fields))


class Fit(NamedTuple):
    """A network of w - mean, and R^2 of each factor on latents that it was not fitted to."""

    network: Network
    mean: Float[Array, "d"]
    r2: Float[np.ndarray, "f"]


def normal_scores(values: Float[Array | np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
    """The ranks of each column's values, mapped to quantiles of the standard normal distribution."""
    from scipy.special import ndtri  # both slow to import, and most commands never fit
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(values, axis=0) - 0.5) / len(values)), np.float32)


def fit_network(
    key: PRNGKeyArray, ws: Float[Array, "n l d"], scores: Float[Array | np.ndarray, "n f"], options: ReadoutOptions
) -> Fit:
    """Fit a network to the normal scores of readings, by AdamW on the squared error, over whitened w.

    Args:
        key: of the initial weights and of the batches.
        ws: latents. Of style-mixed ones it learns which layers tell of a factor.
        scores: readings of their images.
        options: how to fit.
    """
    tested = max(2, int(options.test_share * len(ws)))
    targets = jnp.asarray(normal_scores(scores))
    mean, whiten = (jnp.asarray(x, jnp.float32) for x in whitening(ws))
    # On accelerators a product rounds its factors unless told otherwise, and whitening blows that up.
    x = jnp.matmul(ws - jnp.broadcast_to(mean, ws.shape), whiten, precision="highest")
    k_start, k_batches = jax.random.split(key)
    start = _start(k_start, ws.shape[1], ws.shape[2], targets.shape[1], options.hidden)
    found = _train(k_batches, start, x[tested:], targets[tested:], options)
    # Of w - mean in place of its whitened form.
    found = found._replace(
        linear=jnp.einsum("de,lef->ldf", whiten, found.linear, precision="highest"),
        looks=jnp.matmul(whiten, found.looks, precision="highest"),
    )
    read = jax.jit(lambda network, x: network.output(*network.terms(x)))
    return Fit(found, mean, r_squared(read(found, ws[:tested] - mean[None, None]), targets[:tested]))


def fit_readout(
    key: PRNGKeyArray,
    generator: sg2.Generator,
    read: Callable[[Float[Array, "n l d"]], Float[Array, "n f"]],
    named: Named,
    config: ConfigDict,
) -> Readout:
    """The readout of `config.readout`, fitted to sampled faces, and then to those and faces that it has posed.

    Args:
        key: of the faces, and of the fit.
        generator: whose latents it reads.
        read: reads the factors of latents, by their images.
        named: names the factors.
        config: the experiment.
    """
    options, psi, classes = config.readout, config.clips.truncation_psi, tuple(config.clips.classes)
    k_faces, k_fit, k_moved, k_others, k_poses, k_order = jax.random.split(key, 6)
    num_posed = round(options.posed * options.num_samples)
    unmixed = sample_ws(generator.mapping, k_moved, options.num_moved, psi, classes)
    of_generator = digest(generator)

    def faces(key: PRNGKeyArray, n: int) -> Float[Array, "n l d"]:
        sample = jax.jit(lambda mapping: sample_mixed_ws(mapping, key, n, psi, options.style_mixing, classes))
        return sample(generator.mapping)

    def readout_of(ws: Float[Array, "n l d"], scores: Float[Array, "n f"]) -> Readout:
        fitted = fit_network(k_fit, ws, scores, ReadoutOptions.of(options))
        return with_moves(fitted, unmixed, named, options.restraint, of_generator)

    ws = faces(k_faces, options.num_samples - num_posed)
    scores = read(ws)
    readout = readout_of(ws, scores)
    if num_posed:
        posed = pose_at_random(k_poses, readout, faces(k_others, num_posed))
        order = jax.random.permutation(k_order, options.num_samples)  # both kinds are fitted to, and tested on
        ws = jnp.concatenate([ws, posed])[order]
        readout = readout_of(ws, jnp.concatenate([scores, read(posed)])[order])
    return readout


def pose_at_random(key: PRNGKeyArray, readout: Readout, ws: Float[Array, "n l d"]) -> Float[Array, "n l d"]:
    """Faces that keep their appearance, with structure at random: by the readout, each factor standard normal."""
    goals = jax.random.normal(key, (len(ws), len(readout.structure)))
    return jnp.asarray(in_batches(partial(_pose, readout), _BATCH, ws, goals))


def find_readout(config: ConfigDict, generator: sg2.Generator) -> Readout:
    """The readout of `config.readout`: read from a file, or fitted to what `config.directions.scorer` reads of faces.

    Raises:
        FileNotFoundError: the file, or that of the scorer, does not exist.
        ValueError: there is no such scorer, or the file is damaged or of another generator.
    """
    options = config.readout
    if options.source != "scorer":
        readout = replace(Readout.load(as_path(options.source)), restraint=options.restraint)
        readout.check(generator)
        return readout
    scorer = load_scorer(config.directions.scorer)
    key = jax.random.fold_in(jax.random.key(config.seed), _KEY)
    readout = fit_readout(key, generator, partial(read_factors, generator, scorer), scorer, config)
    read = zip(readout.names, readout.r2, strict=True)
    print("R^2 of the latent readout:", ", ".join(f"{name} {value:.2f}" for name, value in read))
    return readout


def blank_readout(config: ConfigDict, generator: sg2.Generator) -> Readout:
    """A readout of the shapes that `find_readout` gives, of which nothing is fitted; one of a file is read.

    Raises:
        FileNotFoundError, ValueError: see `find_readout`.
    """
    if config.readout.source != "scorer":
        return find_readout(config, generator)
    scorer, options = load_scorer(config.directions.scorer), config.readout
    f, w_dim = len(scorer.names), generator.w_dim
    network = _start(jax.random.key(0), generator.num_ws, w_dim, f, options.hidden)
    about = (scorer.names, scorer.structure, options.restraint, (0.0,) * f, digest(generator))
    return Readout(network, jnp.zeros(w_dim), jnp.zeros((f, w_dim)), *about)


def with_moves(fitted: Fit, ws: Float[Array, "n l d"], named: Named, restraint: float, generator: str = "") -> Readout:
    """The readout of a fit, with a move of w for each factor: the most probable one by its own readings of faces of W.

    Args:
        fitted: reads the factors.
        ws: latents whose layers are alike.
        named: names the factors.
        restraint, generator: see `Readout`.
    """
    no_moves = jnp.zeros((len(named.names), ws.shape[2]))
    r2 = tuple(round(value, 4) for value in fitted.r2.tolist())
    readout = Readout(fitted.network, fitted.mean, no_moves, named.names, named.structure, restraint, r2, generator)
    factors = in_batches(partial(_read, readout), _BATCH, ws)
    moves = from_scores(ws[:, :1], jnp.asarray(factors), named.names, named.names, _RIDGE)
    return replace(readout, vectors=moves.vectors[:, 0])


@jax.jit
def _read(readout: Readout, ws: Float[Array, "n l d"]) -> Float[Array, "n f"]:
    return readout(ws)


@jax.jit
def _pose(readout: Readout, ws: Float[Array, "n l d"], structure: Float[Array, "n k"]) -> Float[Array, "n l d"]:
    return readout.move(ws, ws, structure)


def _start(key: PRNGKeyArray, num_ws: int, w_dim: int, f: int, m: int) -> Network:
    """Initial weights for whitened latents. Each hidden unit looks at few layers, and changes nothing yet."""
    k_looks, k_layers = jax.random.split(key)
    return Network(
        linear=jnp.zeros((num_ws, w_dim, f)),
        looks=jax.random.normal(k_looks, (w_dim, m)) / math.sqrt(w_dim),
        layers=jax.nn.softmax(_FEW * jax.random.normal(k_layers, (num_ws, m)), axis=0),
        bias=jnp.zeros(m),
        out=jnp.zeros((m, f)),
        constant=jnp.zeros(f),
    )


def _train(
    key: PRNGKeyArray, start: Network, x: Float[Array, "n l d"], targets: Float[Array, "n f"], options: ReadoutOptions
) -> Network:
    """AdamW on the mean squared error."""
    schedule = optax.cosine_decay_schedule(options.learning_rate, options.num_steps)
    optimizer = optax.adamw(schedule, weight_decay=options.weight_decay)

    def loss(network: Network, x: Array, targets: Array) -> Array:
        return jnp.mean(jnp.square(network.output(*network.terms(x)) - targets))

    def step(
        carry: tuple[Network, optax.OptState], key: PRNGKeyArray, x: Array, targets: Array
    ) -> tuple[tuple[Network, optax.OptState], None]:
        network, state = carry
        rows = jax.random.randint(key, (options.batch_size,), 0, len(x))
        slope = jax.grad(loss)(network, x[rows], targets[rows])
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts and floats
            updates, state = optimizer.update(slope, state, network)
        return (jax.tree.map(jnp.add, network, updates), state), None

    # The faces are arguments: as constants they would be copied into the program.
    advance = jax.jit(lambda carry, keys, *faces: jax.lax.scan(lambda c, key: step(c, key, *faces), carry, keys)[0])
    carry, keys = (start, optimizer.init(start)), jax.random.split(key, options.num_steps)
    with tqdm(total=options.num_steps, desc="fitting the latent readout", unit=" steps") as progress:
        for first in range(0, options.num_steps, _CHUNK):
            carry = jax.block_until_ready(advance(carry, keys[first : first + _CHUNK], x, targets))
            progress.update(len(keys[first : first + _CHUNK]))
    return carry[0]
