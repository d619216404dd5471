"""Snapshots of a run: grids of images, files of both networks, and scores."""

from functools import partial

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from stylegan2_flax import media
from stylegan2_flax.files import AnyPath
from stylegan2_flax.gan.data import Batches, RealImages
from stylegan2_flax.gan.score import Features, Scorer
from stylegan2_flax.gan.state import TrainState, random_streams
from stylegan2_flax.run import metrics_log, parallel


class Snapshots:
    """Writes snapshots and scores of the averaged generator, without truncation, into the workdir:

    snapshots/reals.png         real images
    snapshots/STEP.png          generated images, of the same latents each time
    generator.safetensors       the averaged generator
    discriminator.safetensors   the discriminator
    best.safetensors            the averaged generator with the best score so far
    reals.npz                   statistics of the real images' features

    All processes generate images, and process 0 writes files.

    Args:
        config: the experiment.
        workdir: the workdir of the run.
        graphdefs: graphdefs of both networks; see `state.split_graphdefs`.
        mesh: the devices.
        images: the real images.
        features: the feature network for scores; None for no scores.
    """

    def __init__(
        self,
        config: ConfigDict,
        workdir: AnyPath,
        graphdefs: dict[str, nnx.GraphDef],
        mesh: Mesh,
        images: RealImages,
        features: Features | None = None,
    ):
        self._config = config
        self._workdir = workdir
        self._graphdefs = graphdefs
        self._mesh = mesh
        self._images = images
        self._writes = jax.process_index() == 0
        keys = random_streams(config.seed)
        self._grid_keys = jax.random.split(keys.snapshot)
        self._score_keys = jax.random.split(keys.score)
        self._draw = jax.jit(self._generate, static_argnums=(4, 5, 6))
        self._gather = jax.jit(lambda images: images, out_shardings=parallel.replicated(mesh))
        self._scorer = None
        if features is not None:
            reals = partial(self._reals, self._score_keys[0], config.score.batch_size)
            self._scorer = Scorer(config.score, features, reals, workdir / "reals.npz", mesh)

    def write(self, step: int, state: TrainState) -> dict[str, float]:
        """Save the grid and both networks. Returns no metrics."""
        folder = self._workdir / "snapshots"
        size = self._config.snapshot.rows * self._config.snapshot.columns
        if not (folder / "reals.png").exists():
            self._save_grid(self._on_host(self._reals(self._grid_keys[0], size)(0)), folder / "reals.png")
        self._save_grid(self._grid_of_fakes(size, state), folder / f"{step:07d}.png")
        if self._writes:
            metadata = {"step": str(step), "kimg": str(step * self._config.train.batch_size / 1000)}
            sg2.save(self._generator(state), self._workdir / "generator.safetensors", metadata)
            parts = (part["discriminator"] for part in (self._graphdefs, state.params, state.buffers))
            sg2.save(nnx.merge(*parts), self._workdir / "discriminator.safetensors", metadata)
        return {}

    def score(self, step: int, state: TrainState) -> dict[str, float]:
        """Compute the score, and save the generator if it is the best so far. Returns no metrics without features."""
        if self._scorer is None:
            return {}
        score = self._scorer(self._fakes(self._score_keys[1], self._config.score.batch_size, state))
        before = [line["score"] for line in metrics_log.read(self._workdir / "metrics.jsonl") if "score" in line]
        if self._writes and score <= min(before, default=score):
            metadata = {"score": repr(score), "features": self._config.score.features, "step": str(step)}
            sg2.save(self._generator(state), self._workdir / "best.safetensors", metadata)
        return {"score": score}

    def _generator(self, state: TrainState) -> sg2.Generator:
        return nnx.merge(self._graphdefs["generator"], state.ema, state.buffers["generator"])

    def _reals(self, key: Key[Array, ""], size: int) -> Batches:
        return self._images.batches(size, key, parallel.spread(self._mesh, size))

    def _fakes(self, key: Key[Array, ""], size: int, state: TrainState) -> Batches:
        buffers = state.buffers["generator"]
        return lambda index: self._draw(state.ema, buffers, jax.random.fold_in(key, index), 0, size, size, "random")

    def _grid_of_fakes(self, size: int, state: TrainState) -> Float[np.ndarray, "b h w c"]:
        """Generated images. They are drawn no more at a time than a step has, and so in no more memory."""
        key, buffers = jax.random.fold_in(self._grid_keys[1], 0), state.buffers["generator"]
        count, parts = min(size, self._config.train.batch_size), []
        for first in range(0, size, count):
            start = min(first, size - count)
            images = self._on_host(self._draw(state.ema, buffers, key, start, size, count, "const"))
            parts.append(images[first - start :])
        return np.concatenate(parts)

    def _generate(
        self,
        params: PyTree,
        buffers: PyTree,
        key: Key[Array, ""],
        start: Int[Array, ""],
        size: int,
        count: int,
        noise_mode: str,
    ) -> Float[Array, "count h w c"]:
        """Of `size` images, `count` from `start` on. Published scores are of images with noise of their own."""
        generator = nnx.merge(self._graphdefs["generator"], params, buffers)
        z = jax.lax.dynamic_slice_in_dim(jax.random.normal(key, (size, generator.z_dim)), start, count)
        z = jax.lax.with_sharding_constraint(z, parallel.spread(self._mesh, count))
        return generator(z, noise_mode=noise_mode, key=jax.random.fold_in(key, 0))

    def _on_host(self, images: Float[Array, "b h w c"]) -> Float[np.ndarray, "b h w c"]:
        return np.asarray(self._gather(images))

    def _save_grid(self, pixels: Float[np.ndarray, "b h w c"], path: AnyPath) -> None:
        rows, columns = self._config.snapshot.rows, self._config.snapshot.columns
        if self._writes:
            media.save_image(media.image_grid(pixels.reshape(rows, columns, *pixels.shape[1:])), path)
