"""The images that a report shows."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax import media
from disentangle_jax.batching import in_batches
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain
from disentangle_jax.evaluation.baselines import Method
from disentangle_jax.evaluation.held_out import HeldOut
from disentangle_jax.evaluation.suite import COPIES, OURS

SOURCE, DRIVING, EXACT = "source", "driving", "exact answer"
RESERVED = (SOURCE, DRIVING, EXACT, "oracle", "exact images")
"""Titles of images, and of what tables and plots show beside methods, that no method may have."""

Latents = Float[Array, "*n l d"]
Images = Float[np.ndarray, "*n h w 3"]


class Gallery(NamedTuple):
    """Images of transfers, by title; `EXACT` is among the titles where the domain is known.

    Attributes:
        sources: of the transfer grids, one for each row.
        drivings: of the transfer grids, one for each column.
        grids: results for every source and every driving: our model's, and the exact ones.
        methods: source, driving and results of other pairs, by every method.
        clips: source, driving and result of motion transfer.
    """

    sources: Float[np.ndarray, "rows h w 3"]
    drivings: Float[np.ndarray, "columns h w 3"]
    grids: dict[str, Float[np.ndarray, "rows columns h w 3"]]
    methods: dict[str, Float[np.ndarray, "n h w 3"]]
    clips: dict[str, Float[np.ndarray, "m t h w 3"]]


def make_gallery(
    model: Disentangler, data: HeldOut, methods: Mapping[str, Method], domain: JudgedDomain | None
) -> Gallery:
    """Draw the images of a report; `config.evaluation.pictures` says how many."""
    painter = _Painter(model, domain)
    options = model.config.evaluation.pictures
    source_ws = data.pairs.source_ws[: options.num_sources]
    driving_ws = data.pairs.driving_ws[: options.num_drivings]
    return Gallery(
        sources=painter.render(source_ws),
        drivings=painter.render(driving_ws),
        grids=_grids(painter, source_ws, driving_ws, methods[OURS]),
        methods=_methods(painter, data, methods, options.num_pairs),
        clips=_clips(painter, data, methods[OURS], options.num_clips),
    )


class _Painter:
    """Draws latents with any leading axes, in batches of the size that the measurements have compiled for."""

    def __init__(self, model: Disentangler, domain: JudgedDomain | None):
        self._model, self._domain = model, domain

    def render(self, ws: Latents) -> Images:
        return self._in_batches(self._model.render, ws)

    def transfer(self, method: Method, source_ws: Latents, driving_ws: Latents) -> Images:
        return self._in_batches(lambda *pair: self._model.render(method(*pair)), source_ws, driving_ws)

    def exact(self, source_ws: Latents, driving_ws: Latents) -> dict[str, Images]:
        """The exact answers under their title; nothing where the domain is not known."""
        domain = self._domain
        if domain is None:
            return {}
        return {EXACT: self._in_batches(lambda *pair: domain.draw(domain.answer(*pair)), source_ws, driving_ws)}

    def _in_batches(self, function: Callable[..., Array], *latents: Latents) -> Images:
        leading = latents[0].shape[:-2]
        rows = [ws.reshape(-1, *ws.shape[-2:]) for ws in latents]
        images = media.to_rgb(in_batches(function, self._model.config.evaluation.batch_size, *rows))
        return np.asarray(images).reshape(*leading, *images.shape[1:])


def _grids(
    painter: _Painter, source_ws: Float[Array, "rows l d"], driving_ws: Float[Array, "columns l d"], ours: Method
) -> dict[str, Float[np.ndarray, "rows columns h w 3"]]:
    shape = (len(source_ws), len(driving_ws), *source_ws.shape[1:])
    sources = jnp.broadcast_to(source_ws[:, None], shape)
    drivings = jnp.broadcast_to(driving_ws[None], shape)
    return {OURS: painter.transfer(ours, sources, drivings), **painter.exact(sources, drivings)}


def _methods(painter: _Painter, data: HeldOut, methods: Mapping[str, Method], num_pairs: int) -> dict[str, Images]:
    source_ws = data.pairs.source_ws[-num_pairs:]  # the grids show the first
    driving_ws = data.pairs.driving_ws[-num_pairs:]
    shown = (OURS, *(name for name in methods if name not in (OURS, *COPIES)))
    return {
        SOURCE: painter.render(source_ws),
        DRIVING: painter.render(driving_ws),
        **painter.exact(source_ws, driving_ws),
        **{name: painter.transfer(methods[name], source_ws, driving_ws) for name in shown},
    }


def _clips(painter: _Painter, data: HeldOut, ours: Method, num_clips: int) -> dict[str, Images]:
    driving_ws = data.motion_drivings.ws[:num_clips]
    source_ws = jnp.broadcast_to(data.motion_sources[:num_clips, None], driving_ws.shape)
    return {
        SOURCE: painter.render(source_ws),
        DRIVING: painter.render(driving_ws),
        OURS: painter.transfer(ours, source_ws, driving_ws),
        **painter.exact(source_ws, driving_ws),
    }
