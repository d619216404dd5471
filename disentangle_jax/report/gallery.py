"""The pictures of a report, from a model and what it was tested on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax import media
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain
from disentangle_jax.evaluation.baselines import Method
from disentangle_jax.evaluation.held_out import HeldOut
from disentangle_jax.evaluation.suite import COPIES, OURS
from disentangle_jax.report import pictures, plots
from disentangle_jax.scores import in_batches

_STILLS = 9


Latents = Float[Array, "*n l d"]
Images = Float[np.ndarray, "*n h w c"]


def draw(
    model: Disentangler,
    data: HeldOut,
    methods: Mapping[str, Method],
    domain: JudgedDomain | None,
    metrics: Mapping[str, Any],
    losses: Sequence[Mapping[str, float | int]],
    folder: Path,
) -> None:
    """Draw and write them all: transfer_grid.png, methods.png, motion.gif, motion.png, trade_off.png, training.png."""
    artist = _Artist(model, domain)
    media.save_image(_transfer_grid(artist, data, methods[OURS]), folder / "transfer_grid.png")
    media.save_image(_methods(artist, data, methods), folder / "methods.png")
    clips = _clips(artist, data, methods[OURS])
    media.save_video(pictures.columns_in_motion(clips), folder / "motion.gif")
    media.save_image(
        pictures.filmstrip({title: clip[0] for title, clip in clips.items()}, _STILLS), folder / "motion.png"
    )
    if "transfer" in metrics:
        plots.trade_off(metrics["transfer"], folder / "trade_off.png")
    if losses:
        plots.training_curves(losses, folder / "training.png")


class _Artist:
    """Draws latents with any leading axes, in batches of the size that the measurements have compiled for."""

    def __init__(self, model: Disentangler, domain: JudgedDomain | None):
        self.model, self.domain = model, domain
        self.plan = model.config.evaluation.pictures

    def render(self, ws: Latents) -> Images:
        return self._flatly(self.model.render, ws)

    def transferred(self, method: Method, source_ws: Latents, driving_ws: Latents) -> Images:
        return self._flatly(lambda *pair: self.model.render(method(*pair)), source_ws, driving_ws)

    def exact(self, source_ws: Latents, driving_ws: Latents) -> dict[str, Images]:
        """The exact answers under their title, or nothing."""
        domain = self.domain
        if domain is None:
            return {}
        return {"exact answer": self._flatly(lambda *pair: domain.draw(domain.answer(*pair)), source_ws, driving_ws)}

    def _flatly(self, function: Callable[..., Array], *latents: Latents) -> Images:
        leading = latents[0].shape[:-2]
        flat = [ws.reshape(-1, *ws.shape[-2:]) for ws in latents]
        images = in_batches(function, self.model.config.evaluation.batch_size, *flat)
        return images.reshape(*leading, *images.shape[1:])


def _transfer_grid(artist: _Artist, data: HeldOut, ours: Method) -> pictures.Picture:
    source_ws = data.pairs.source_ws[: artist.plan.num_sources]
    driving_ws = data.pairs.driving_ws[: artist.plan.num_drivings]
    shape = (len(source_ws), len(driving_ws), *source_ws.shape[1:])
    pairs = [jnp.broadcast_to(ws, shape) for ws in (source_ws[:, None], driving_ws[None])]
    results = {OURS: artist.transferred(ours, *pairs), **artist.exact(*pairs)}
    return pictures.transfer_grid(artist.render(source_ws), artist.render(driving_ws), results)


def _methods(artist: _Artist, data: HeldOut, methods: Mapping[str, Method]) -> pictures.Picture:
    source_ws, driving_ws = (ws[-artist.plan.num_pairs :] for ws in data.pairs)  # the grid shows the first
    columns = {"source": artist.render(source_ws), "driving": artist.render(driving_ws)}
    columns |= artist.exact(source_ws, driving_ws)
    for name in (OURS, *(name for name in methods if name not in (OURS, *COPIES))):
        columns[name] = artist.transferred(methods[name], source_ws, driving_ws)
    return pictures.columns(columns)


def _clips(artist: _Artist, data: HeldOut, ours: Method) -> dict[str, Images]:
    driving_ws = data.motion_drivings.ws[: artist.plan.num_clips]
    source_ws = jnp.broadcast_to(data.motion_sources[: artist.plan.num_clips, None], driving_ws.shape)
    return {
        "source": artist.render(source_ws),
        "driving clip": artist.render(driving_ws),
        OURS: artist.transferred(ours, source_ws, driving_ws),
        **artist.exact(source_ws, driving_ws),
    }
