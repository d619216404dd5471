"""Reenactment as it is judged where no truth is known: by the pictures alone.

Self-driven, the first frame of a clip is driven by the clip itself, so that every frame has an exact answer. Cross-
driven, a face is driven by the clip of another: appearance is compared with the source's, structure with the driving's,
by the proxies of a reader. Where the truth is known as well, `validity` tells what such measures are worth.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.batching import in_batches
from disentangle_jax.domains import JudgedDomain
from disentangle_jax.evaluation.baselines import Method
from disentangle_jax.evaluation.proxies import APPEARANCE, STRUCTURE, Proxy, Reader, Readings, mean_difference
from disentangle_jax.evaluation.transfer import Render
from disentangle_jax.inversion.optimisation import Distance
from disentangle_jax.metrics import SSIM_WINDOW, l1, psnr, ssim

BOTH = "both"
"""What measures of pixels stand for."""

PIXELS = {"l1": False, "psnr": True, "ssim": True, "perceptual": False}
"""Measures of pictures and their answers, and whether higher is better."""

SELF, CROSS = "self", "cross"
JITTER, READ = "jitter_ratio", "read"

Measures = dict[str, Float[np.ndarray, "n t"]]
"""Of every frame of n clips, by name: pixels, proxies, whether it was read, roughness, and true errors."""


class Seen(NamedTuple):
    """Frames of clips, and what was read in them."""

    ws: Float[np.ndarray, "n t l d"]
    readings: Readings

    def part(self, clips: slice, frames: slice) -> "Seen":
        return Seen(self.ws[clips, frames], {name: x[clips, frames] for name, x in self.readings.items()})


class Stage:
    """Where clips are driven and looked at.

    Args:
        render: the generator, ws [n, l, d] -> images [n, h, w, c].
        reader: reads the pictures; None if nothing is there that could, which leaves the pixels of self-driven clips.
        distance: a perceptual distance of images from targets, if there is one.
        domain: the truth, where it is known.
        batch_size: pictures rendered at a time.
    """

    def __init__(
        self,
        render: Render,
        reader: Reader | None,
        distance: Distance | None,
        domain: JudgedDomain | None,
        batch_size: int,
    ):
        self._render, self._reader, self._domain, self._batch_size = render, reader, domain, batch_size
        self._distance = distance

    def measure(
        self, source_ws: Float[Array, "n l d"], driving_ws: Float[Array, "n t l d"], methods: Mapping[str, Method]
    ) -> dict[str, dict[str, Measures]]:
        """Drive every source by its clip, and the first frame of every clip by the clip itself.

        A batch of pictures, or the pictures of one clip, are in memory at a time. Without a reader nothing can be told
        of the former, and it is left out.

        Returns:
            The measures by protocol (`SELF`, `CROSS`) and method.
        """
        n, t = driving_ws.shape[:2]
        parts: dict[tuple[str, str], list[Measures]] = {}
        everyone = self.look(np.asarray(source_ws)[:, None])[0] if self._reader else None
        step = max(1, self._batch_size // t)
        for start in range(0, n, step):
            clips = slice(start, start + step)
            driving, answers = self.look(np.asarray(driving_ws[clips]))
            sources = {SELF: driving.part(slice(None), slice(1))}
            if everyone:
                sources[CROSS] = everyone.part(clips, slice(None))
            for protocol, source in sources.items():
                for name, method in methods.items():
                    result, images = self.look(self.drive(method, source.ws, driving.ws))
                    measures = self.distances(result, source, driving)
                    if protocol == SELF:
                        measures |= self.pixels(images, answers)
                    parts.setdefault((protocol, name), []).append(measures)
        found: dict[str, dict[str, Measures]] = {}
        for (protocol, name), of in parts.items():
            found.setdefault(protocol, {})[name] = {key: np.concatenate([part[key] for part in of]) for key in of[0]}
        return found

    def drive(
        self,
        method: Method,
        source_ws: Float[np.ndarray, "n #t l d"],
        driving_ws: Float[np.ndarray, "n t l d"],
    ) -> Float[np.ndarray, "n t l d"]:
        """The latents of sources that are driven by clips."""
        frames = (np.broadcast_to(ws, driving_ws.shape).reshape(-1, *ws.shape[2:]) for ws in (source_ws, driving_ws))
        return in_batches(method, self._batch_size, *frames).reshape(driving_ws.shape)

    def look(self, ws: Float[np.ndarray, "n t l d"]) -> tuple[Seen, Float[np.ndarray, "n t h w c"]]:
        """Draw latents, and read the pictures."""
        n, t = ws.shape[:2]
        images = np.asarray(in_batches(self._render, self._batch_size, ws.reshape(-1, *ws.shape[2:])))
        images = images.reshape(n, t, *images.shape[1:])
        return self.read(ws, images), images

    def read(self, ws: Float[np.ndarray, "n t l d"], images: Float[np.ndarray, "n t h w c"]) -> Seen:
        """Read pictures, which these latents stand for."""
        n, t = ws.shape[:2]
        readings = self._reader.read(images.reshape(-1, *images.shape[2:])) if self._reader else {}
        return Seen(ws, {name: values.reshape(n, t, -1) for name, values in readings.items()})

    def distances(self, result: Seen, source: Seen, driving: Seen) -> Measures:
        """Proxies and, where the domain is known, true errors."""
        measures: Measures = {}
        for name, proxy in (self._reader.proxies if self._reader else {}).items():
            wanted = (source if proxy.of == APPEARANCE else driving).readings[name]
            measures[name] = proxy.compare(result.readings[name], wanted)
            if proxy.of == STRUCTURE:
                seconds = (np.diff(seen.readings[name], n=2, axis=1) for seen in (result, driving))
                rough = np.stack([np.linalg.norm(second, axis=-1) for second in seconds])
                # Of frames in which both can be read, or who loses the face where it moves fast would count as smooth.
                rough[:, ~np.isfinite(rough).all(axis=0)] = np.nan
                measures |= {_roughness(name, whose): of for whose, of in zip(_WHOSE, rough, strict=True)}
        return measures | (self._errors(self._domain, result, source, driving) if self._domain else {})

    def pixels(self, images: Float[np.ndarray, "n t h w c"], answers: Float[np.ndarray, "n t h w c"]) -> Measures:
        """Pictures against their answers; SSIM of pictures that its window fits into."""
        functions: dict[str, Distance] = {"l1": l1, "psnr": psnr}
        functions |= {"ssim": ssim} if min(images.shape[2:4]) >= SSIM_WINDOW else {}
        functions |= {"perceptual": self._distance} if self._distance else {}
        flat = [x.reshape(-1, *x.shape[2:]) for x in (images, answers)]
        return {
            name: np.asarray(in_batches(function, self._batch_size, *flat)).reshape(images.shape[:2])
            for name, function in functions.items()
        }

    def _errors(self, domain: JudgedDomain, result: Seen, source: Seen, driving: Seen) -> Measures:
        """Mean absolute differences of the true factors of latents: those of appearance, of structure, and of all."""
        own, wanted, moved = (domain.truth(jnp.asarray(seen.ws)) for seen in (result, source, driving))
        appearance = mean_difference(np.asarray(own.appearance), np.asarray(wanted.appearance))
        structure = mean_difference(np.asarray(own.structure), np.asarray(moved.structure))
        sizes = own.appearance.shape[-1], own.structure.shape[-1]
        both = (sizes[0] * appearance + sizes[1] * structure) / sum(sizes)
        return {_error(APPEARANCE): appearance, _error(STRUCTURE): structure, _error(BOTH): both}


def summarise(measures: Measures, proxies: Mapping[str, Proxy], protocol: str) -> dict[str, float | None]:
    """Means of one method over all frames in which there was something to read; None where there were none.

    Of the pixels only self-driven clips tell. The jitter ratio is how rough the readings of structure are over time,
    relative to the driving's: 1 is as smooth. The share of frames that could be read is `READ`.
    """
    moved = {name: values[:, 1:] for name, values in measures.items()}  # the first frame of self-driven is the source
    names = [*(name for name in PIXELS if name in measures and protocol == SELF), *proxies]
    summary = {name: _mean(moved[name]) for name in names}
    if proxies:
        of_structure = [name for name, proxy in proxies.items() if proxy.of == STRUCTURE]
        rough = {whose: [_mean(measures[_roughness(name, whose)]) for name in of_structure] for whose in _WHOSE}
        result, driving = (None if None in values else sum(filter(None, values)) for values in rough.values())
        summary[JITTER] = result / driving if result is not None and driving else None
        summary[READ] = float(np.mean([np.isfinite(moved[name]) for name in proxies]))
    return summary


def validity(
    found: Mapping[str, Mapping[str, Measures]], proxies: Mapping[str, Proxy], methods: Sequence[str], ours: str
) -> dict[str, dict[str, Any]]:
    """What measures are worth: Spearman's rank correlation over frames with the true error of what they stand for.

    1 ranks results as the truth does, 0 says nothing of it.

    Args:
        found: what `Stage.measure` found where the domain is known.
        proxies: those of its reader.
        methods: those whose frames are pooled.
        ours: the one whose frames are ranked among themselves too.
    """
    from scipy.stats import spearmanr  # slow to import, and only needed where the domain is known

    kinds = {name: (CROSS, proxy.of, proxy.higher_is_better) for name, proxy in proxies.items()}
    kinds |= {name: (SELF, BOTH, higher) for name, higher in PIXELS.items() if name in found[SELF][ours]}

    def correlation(name: str, of_methods: Sequence[str]) -> float | None:
        protocol, kind, higher = kinds[name]
        of = [found[protocol][method] for method in of_methods]
        badness, errors = (np.concatenate([x[key][:, 1:].ravel() for x in of]) for key in (name, _error(kind)))
        if min(np.ptp(badness), np.ptp(errors)) == 0:
            return None
        return float(np.asarray(spearmanr(-badness if higher else badness, errors))[0])

    return {
        name: {"of": kind, "pooled": correlation(name, methods), "ours": correlation(name, [ours])}
        for name, (_, kind, _) in kinds.items()
    }


_WHOSE = ("result", "driving")


def _roughness(name: str, whose: str) -> str:
    return f"roughness of {name}, {whose}"


def _error(kind: str) -> str:
    return f"true error of {kind}"


def _mean(values: Float[np.ndarray, "n t"]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
