"""A latent readout in a small curved world, where the truth is known: what it reads, and the moves that it finds."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from disentangle_jax.clips import Clip
from disentangle_jax.clips.purification import Purifier
from disentangle_jax.configs import faces64
from disentangle_jax.directions import Directions
from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.directions.fit_readout import (
    ReadoutOptions,
    fit_network,
    fit_readout,
    normal_scores,
    pose_at_random,
    with_moves,
)
from disentangle_jax.directions.readout import Readout
from disentangle_jax.latents import sample_ws, take_layers_from
from disentangle_jax.metrics import r2

L, D, FACTORS = 3, 8, 6
OPTIONS = ReadoutOptions(
    hidden=64, num_steps=2000, batch_size=256, learning_rate=1e-2, weight_decay=1e-2, test_share=0.125
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curved:
    """Each factor is a coordinate of w, read in the layers that own it, plus a product of the next two."""

    names = tuple("abcdef")
    structure = tuple("def")
    axes: jax.Array  # [f, d]
    owners: jax.Array  # [l, f]

    def __call__(self, ws):
        s = jnp.einsum("lf,fd,nld->nf", self.owners, self.axes, ws)
        return s + 0.4 * jnp.roll(s, 1, axis=1) * jnp.roll(s, 2, axis=1)


@partial(jax.jit, static_argnums=1)
def faces(key, n, mixed):
    w = 0.5 + 2.0 * jax.random.normal(jax.random.key(key), (2, n, 1, D)) * jnp.ones((1, 1, L, 1))
    cut = jax.random.randint(jax.random.key(key + 1), (n,), 1, L)
    return take_layers_from(jnp.where(mixed, cut, L), *(w / 2.0))


@jax.jit
def read(reader, ws):
    return reader(ws)


@jax.jit
def move(readout, ws, start, structure):
    return readout.move(ws, start, structure)


@jax.jit
def along(directions, ws, coordinates):
    return directions.move(ws, coordinates)


@pytest.fixture(scope="module")
def truth():
    axes = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (D, FACTORS)))[0].T
    return Curved(axes, jnp.asarray([[1.0, 0.0, 0.5, 1.0, 0.0, 0.5], [0.0, 1, 0.5, 0, 1, 0.5], [0] * 6]))


@pytest.fixture(scope="module")
def fitted(truth):
    ws = faces(1, 4096, mixed=True)
    return fit_network(jax.random.key(2), ws, read(truth, ws), OPTIONS)


@pytest.fixture(scope="module")
def readout(truth, fitted):
    return with_moves(fitted, faces(3, 2048, mixed=False), truth, restraint=0.05, generator="its digest")


@pytest.fixture(scope="module")
def lines(truth):
    ws = faces(5, 2048, mixed=False)
    return from_scores(ws, read(truth, ws), truth.names, truth.structure, 1e-4)


@pytest.mark.parametrize("mixed", [False, True])
def test_curved_factors_are_read_of_faces_of_w_and_of_mixed_ones(truth, fitted, readout, mixed):
    ws = faces(7, 1024, mixed)
    truly = normal_scores(read(truth, ws))
    assert r2(read(readout, ws), truly).min() > 0.9
    linear = np.linalg.lstsq(np.asarray(ws).reshape(1024, -1), truly, rcond=None)[0]
    assert r2(np.asarray(ws).reshape(1024, -1) @ linear, truly).mean() < 0.88


def test_its_moves_give_the_structure_and_keep_the_appearance(truth, readout, lines):
    sources, drivings = faces(9, 1024, mixed=False), faces(11, 1024, mixed=False)
    line = along(lines, sources, lines.coordinates(drivings))
    found = move(readout, sources, line, read(readout, drivings)[:, 3:])
    wanted = np.concatenate([read(truth, sources)[:, :3], read(truth, drivings)[:, 3:]], axis=1)
    by_readout = r2(read(truth, found), wanted)
    assert by_readout.mean() > r2(read(truth, line), wanted).mean() + 0.1
    assert by_readout.min() > 0.85
    found = np.asarray(found)
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :1], found.shape), atol=1e-4)  # still faces of W


def test_fitted_again_to_faces_that_it_has_posed_it_reads_poses_that_few_faces_have(generator):
    config = faces64.get_config()
    config.readout.update(
        num_samples=2048, num_moved=512, restraint=0.05, **OPTIONS._replace(num_steps=300, batch_size=128)._asdict()
    )
    sampled = sample_ws(generator.mapping, jax.random.key(0), 512, 1.0)[:, 0]
    mean, whiten = sampled.mean(0), np.linalg.inv(np.linalg.cholesky(np.cov(sampled.T)))
    num_ws = generator.num_ws
    world = Curved(jnp.asarray(whiten[:FACTORS], jnp.float32), jnp.full((num_ws, FACTORS), 1.0 / num_ws))

    def known(ws):
        return read(world, ws - mean[None, None])

    def error(posed):
        config.readout.posed = posed
        readout = fit_readout(jax.random.key(1), generator, known, world, config)
        ws = sample_ws(generator.mapping, jax.random.key(2), 512, 1.0)
        ws = pose_at_random(jax.random.key(3), readout, ws)
        return 1.0 - r2(read(readout, ws)[:, 3:], normal_scores(known(ws))[:, 3:]).mean()

    assert error(0.5) < 0.7 * error(0.0)


def test_restraint_holds_latents_near_the_start(readout):
    ws = faces(13, 64, mixed=True)
    far = jnp.full((64, 3), 6.0)  # no face has it
    near, free = (np.asarray(move(replace(readout, restraint=c), ws, ws, far)) for c in (1.0, 1e-3))
    assert np.isfinite(free).all()
    assert np.abs(near - ws).mean() < 0.8 * np.abs(free - ws).mean()


def test_clips_by_a_readout_are_as_pure_as_by_the_purifier_that_reads_each_frame(truth, readout, lines):
    """The purifier reads the truth itself here, as elsewhere it reads rendered frames."""
    motion = jax.random.normal(jax.random.key(15), (8, 4, 3))
    still = jnp.broadcast_to(faces(17, 8, mixed=True)[:, None], (8, 4, L, D))
    others = faces(19, 32, mixed=True).reshape(8, 4, L, D)
    straight = Clip(along(lines, still, motion), along(lines, others, motion), motion)
    alike = jnp.broadcast_to(readout.vectors[:, None], (FACTORS, L, D))
    moves = Directions(alike, alike, jnp.zeros((L, D)), truth.names)
    purifier = Purifier.create(truth, moves, faces(21, 512, mixed=True), steps=4, damping=0.2)
    purified = read(purifier, straight)
    frames = move(readout, still, straight.ws, motion)
    found = Clip(frames, move(readout, others, straight.augmented, motion), motion)

    def drift(clips):
        frames, augmented = (np.asarray(read(truth, ws.reshape(32, L, D))).reshape(8, 4, FACTORS) for ws in clips[:2])
        return frames[..., :3].std(1).mean(), np.abs(frames - augmented)[..., 3:].mean()

    impure, by_purifier, by_readout = drift(straight), drift(purified), drift(found)
    for before, reference, now in zip(impure, by_purifier, by_readout, strict=True):
        assert now < 0.75 * before
        assert now < reference + 0.15


def test_it_is_read_back_as_it_was_written(readout, tmp_path):
    path = tmp_path / "readout.safetensors"
    readout.save(path)
    loaded = Readout.load(path)
    for one, other in zip(jax.tree.leaves(loaded), jax.tree.leaves(readout), strict=True):
        np.testing.assert_array_equal(one, other)
    assert jax.tree.structure(loaded) == jax.tree.structure(readout)
    assert min(loaded.r2) > 0.9


def test_damaged_and_foreign_ones_are_refused(readout, generator, tmp_path):
    with pytest.raises(FileNotFoundError, match="no latent readout at"):
        Readout.load(tmp_path / "readout.safetensors")
    with pytest.raises(ValueError, match="of another generator: its digest is its digest, this one's is"):
        readout.check(generator)
    broken = replace(readout, vectors=readout.vectors[:2])
    broken.save(tmp_path / "readout.safetensors")
    with pytest.raises(ValueError, match="arrays that do not fit its 6 factors"):
        Readout.load(tmp_path / "readout.safetensors")
    replace(readout, mean=jnp.full(D, jnp.nan)).save(tmp_path / "readout.safetensors")
    with pytest.raises(ValueError, match="not finite"):
        Readout.load(tmp_path / "readout.safetensors")
    save_file({"mean": np.zeros(())}, tmp_path / "readout.safetensors", {"readout": '{"names": ["yaw"]}'})
    with pytest.raises(ValueError, match="arrays that do not fit its 1 factors"):
        Readout.load(tmp_path / "readout.safetensors")
