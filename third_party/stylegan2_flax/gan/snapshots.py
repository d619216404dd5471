"""What a run shows of itself: grids of images, networks in files of their own, and scores."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key, PyTree
from ml_collections import ConfigDict

import stylegan2_flax as sg2
from stylegan2_flax import media
from stylegan2_flax.gan.data import Batches, RealImages
from stylegan2_flax.gan.score import Features, Scorer
from stylegan2_flax.gan.state import TrainState, streams
from stylegan2_flax.run import devices as parallel
from stylegan2_flax.run import metrics


class Snapshots:
    """Writes into a run's workdir; everything is drawn by the averaged generator, without truncation.

    snapshots/reals.png         real images
    snapshots/STEP.png          images of the same latents each time
    generator.safetensors       the averaged generator as of the last snapshot
    discriminator.safetensors   its opponent
    best.safetensors            the averaged generator with the best score so far
    reals.npz                   statistics of the real images' features

    All processes draw, and the first writes.
    """

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        graphdefs: dict[str, nnx.GraphDef],
        mesh: Mesh,
        images: RealImages,
        features: Features | None = None,
    ):
        """images: the real ones; features: what images are scored by, if they are."""
        self._config, self._workdir, self._graphdefs, self._mesh = config, workdir, graphdefs, mesh
        self._images, self._writes = images, jax.process_index() == 0
        keys = streams(config.seed)
        self._show_keys, self._score_keys = jax.random.split(keys.snapshot), jax.random.split(keys.score)
        self._draw = jax.jit(self._generate, static_argnums=3)
        self._gather = jax.jit(lambda images: images, out_shardings=parallel.replicated(mesh))
        self._scorer = None
        if features is not None:
            reals = partial(self._reals, self._score_keys[0], config.score.batch_size)
            self._scorer = Scorer(config.score, features, reals, workdir / "reals.npz", mesh)

    def write(self, step: int, state: TrainState) -> dict[str, float]:
        """Save the grid and both networks; gives no figures."""
        plan, folder = self._config.snapshot, self._workdir / "snapshots"
        size = plan.rows * plan.columns
        if not (folder / "reals.png").exists():
            self._save_grid(self._reals(self._show_keys[0], size)(0), folder / "reals.png")
        self._save_grid(self._fakes(self._show_keys[1], size, state)(0), folder / f"{step:07d}.png")
        if self._writes:
            about = {"step": str(step), "kimg": str(step * self._config.train.batch_size / 1000)}
            sg2.save(self._generator(state), self._workdir / "generator.safetensors", about)
            parts = (part["discriminator"] for part in (self._graphdefs, state.params, state.buffers))
            sg2.save(nnx.merge(*parts), self._workdir / "discriminator.safetensors", about)
        return {}

    def score(self, step: int, state: TrainState) -> dict[str, float]:
        """The score under its name in the log; saves the generator if none was better. Nothing without features."""
        if self._scorer is None:
            return {}
        score = self._scorer(self._fakes(self._score_keys[1], self._config.score.batch_size, state))
        before = [line["score"] for line in metrics.read(self._workdir / "metrics.jsonl") if "score" in line]
        if self._writes and score <= min(before, default=score):
            about = {"score": repr(score), "features": self._config.score.features, "step": str(step)}
            sg2.save(self._generator(state), self._workdir / "best.safetensors", about)
        return {"score": score}

    def _generator(self, state: TrainState) -> sg2.Generator:
        return nnx.merge(self._graphdefs["generator"], state.ema, state.buffers["generator"])

    def _reals(self, key: Key[Array, ""], size: int) -> Batches:
        return self._images.batches(size, key, parallel.spread(self._mesh, size))

    def _fakes(self, key: Key[Array, ""], size: int, state: TrainState) -> Batches:
        buffers = state.buffers["generator"]
        return lambda index: self._draw(state.ema, buffers, jax.random.fold_in(key, index), size)

    def _generate(self, params: PyTree, buffers: PyTree, key: Key[Array, ""], size: int) -> Float[Array, "b h w c"]:
        generator = nnx.merge(self._graphdefs["generator"], params, buffers)
        z = jax.random.normal(key, (size, generator.z_dim))
        return generator(jax.lax.with_sharding_constraint(z, parallel.spread(self._mesh, size)))

    def _save_grid(self, images: Float[Array, "b h w c"], path: Path) -> None:
        rows, columns = self._config.snapshot.rows, self._config.snapshot.columns
        pixels = np.asarray(self._gather(images))
        if self._writes:
            media.save_image(media.image_grid(pixels.reshape(rows, columns, *pixels.shape[1:])), path)
