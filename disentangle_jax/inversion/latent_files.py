"""Latents on disk: safetensors that say of which generator they are; .npy, .npz and .pt are read as well."""

import math
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float
from safetensors.numpy import save

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.generators import digest, load_generator
from disentangle_jax.inversion.latent_space import LatentSpace
from stylegan2_flax import files

TUNED = "_generator.safetensors"
"""The end of the name of the file of a generator that was tuned to latents, which lies beside theirs."""

FAR = 4.0
"""Standard deviations from the mean beyond which latents are warned about: generators draw such faces badly."""


class LatentClip(NamedTuple):
    """A clip of latents, or a single latent.

    Attributes:
        ws: latents [t, l, d] of a clip, or a latent [l, d].
        fps: frames per second of the clip; None if unknown.
        tuned: the file of the generator that was tuned to draw these latents exactly; None if there is none.
        tuned_digest: of that generator.
        are_photos: whether the latents are of unrelated photos, and no clip.
    """

    ws: Float[np.ndarray, "*t l d"]
    fps: float | None
    tuned: Path | None = None
    tuned_digest: str = ""
    are_photos: bool = False

    @property
    def num_frames(self) -> int | None:
        """The number of frames; None for a single latent."""
        return self.ws.shape[0] if self.ws.ndim == 3 else None

    def load_tuned(self, path: Path) -> sg2.Generator | None:
        """The generator that was tuned to these latents, which are of the file `path`; None if there is none.

        Raises:
            FileNotFoundError: it does not lie beside them.
            ValueError: another generator lies there.
        """
        if self.tuned is None:
            return None
        if not self.tuned.is_file():
            raise FileNotFoundError(
                f"{path} is drawn by a generator that was tuned to it, {self.tuned.name}, which does not lie beside "
                "it: put it there, or invert without --tune_steps"
            )
        generator = load_generator(self.tuned)
        if self.tuned_digest not in ("", digest(generator)):
            raise ValueError(f"{path} is drawn by a generator that was tuned to it, but {self.tuned} holds another one")
        return generator


def write_latents(
    path: str | Path,
    ws: Float[Array | np.ndarray, "n l d"],
    generator: sg2.Generator,
    *,
    name: str = "",
    space: str = "w+",
    psi: float = 1.0,
    source: str = "",
    fps: float | None = None,
    are_photos: bool = False,
    tuned: tuple[Path, sg2.Generator] | None = None,
) -> None:
    """Write latents as safetensors, atomically: the array ws, and texts of what it is.

    Args:
        path: the file.
        ws: the latents.
        generator: of these latents. Its digest is recorded, and `read_latents` refuses others.
        name: of the generator, for messages.
        space: "w" or "w+".
        psi: the truncation of the latents.
        source: what they are of, such as the name of a video.
        fps: frames per second.
        are_photos: whether they are of unrelated photos, and no clip.
        tuned: the generator that was tuned to draw them exactly, after its file in the same folder.
    """
    texts = {
        "generator": name,
        "generator_digest": digest(generator),
        "space": space,
        "num_ws": str(ws.shape[-2]),
        "psi": f"{psi:g}",
        "source": source,
        "fps": "" if fps is None else repr(float(fps)),
        "photos": "yes" if are_photos else "",
        "tuned_generator": "" if tuned is None else tuned[0].name,
        "tuned_digest": "" if tuned is None else digest(tuned[1]),
    }
    data = save({"ws": np.asarray(ws, np.float32)}, {key: text for key, text in texts.items() if text})
    with files.atomic(path) as temporary:
        temporary.write_bytes(data)


def read_latents(path: str | Path, generator: sg2.Generator, space: LatentSpace | None = None) -> LatentClip:
    """Read latents of .safetensors, .npy, .npz or .pt: the file's only array, or the one named ws.

    The rate of a clip may stand beside it as fps: in the metadata of a .safetensors file, in an array of an .npz.
    Latents that are further than `FAR` from the generator's mean are warned about.

    Args:
        path: a file with an array of shape [d] or [1, d] (W, repeated for every layer), [l, d] or [1, l, d] (W+), or
            [t, l, d] (a clip).
        generator: the generator that is to draw them.
        space: of its latents, for those who read several files; None to estimate it.

    Returns:
        ws [l, d], or [t, l, d] of a clip of two frames and more; and the rate.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is a URL, damaged, of another type, shape or generator, or holds numbers that are not finite.
    """
    if files.is_url(path):
        raise ValueError(f"{path} is a URL, but latents are read from local disks alone: download it first")
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no latent file at {path} (a random face is seed:N)")
    if path.suffix.lower() not in arrays.SUFFIXES:
        raise ValueError(f"{path} is no {', '.join(arrays.SUFFIXES)} file; of a picture, `invert` makes such latents")
    found, texts = arrays.read(path)
    rate = found.pop("fps", texts.get("fps"))
    ws = _checked(arrays.only(path, found, "ws", "latents"), path, generator)
    _check_generator(texts, path, generator)
    _warn_of_far(ws, path, space or LatentSpace.of(generator.mapping))
    tuned = path.parent / Path(texts["tuned_generator"]).name if texts.get("tuned_generator") else None
    fps = None if rate is None else _rate(rate, path)
    return LatentClip(ws, fps, tuned, texts.get("tuned_digest", ""), "photos" in texts)


def _checked(ws: np.ndarray, path: Path, generator: sg2.Generator) -> Float[np.ndarray, "*t l d"]:
    """Latents of W+ from an array of any of the usual shapes."""
    num_ws, w_dim = generator.num_ws, generator.w_dim
    shape = ws.shape[1:] if ws.ndim > 1 and len(ws) == 1 else ws.shape
    fits = shape == (w_dim,) or (len(shape) in (2, 3) and shape[-2:] == (num_ws, w_dim) and 0 not in shape)
    if not fits:
        shapes = f"[{w_dim}], [{num_ws}, {w_dim}] or [frames, {num_ws}, {w_dim}]"
        raise ValueError(f"{path} holds an array of shape {list(ws.shape)}; this generator's latents are {shapes}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        ws = ws.reshape(shape).astype(np.float32)
    if not np.isfinite(ws).all():
        raise ValueError(f"{path} holds numbers that are not finite (NaN or infinite) as float32")
    return np.tile(ws, (num_ws, 1)) if ws.ndim == 1 else ws


def _check_generator(texts: dict[str, str], path: Path, generator: sg2.Generator) -> None:
    recorded = texts.get("generator_digest", "")
    if recorded and (own := digest(generator)) not in (recorded, texts.get("tuned_digest")):
        named = f"{texts['generator']}, " if texts.get("generator") else ""
        raise ValueError(
            f"{path} holds latents of another generator ({named}digest {recorded}; this one's is {own}), which mean "
            "something else here: invert the pictures anew with this generator"
        )


def _warn_of_far(ws: Float[np.ndarray, "*t l d"], path: Path, space: LatentSpace) -> None:
    distance = float(np.max(space.deviations(ws)))
    if distance > FAR:
        warnings.warn(
            f"{path} holds latents up to {distance:.1f} standard deviations from the generator's mean: expect poor "
            "pictures, and look whether they are of this generator",
            stacklevel=3,
        )


def _rate(value: np.ndarray | str, path: Path) -> float:
    try:
        rate = float(np.asarray(value).item())
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"{path} says that its fps is {value}, which must be one positive number")
    return rate
