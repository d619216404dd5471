"""Directions from videos without labels: what changes within a video is structure, what does not is appearance.

A few videos, each of one face that moves, are enough; see docs/generator.md for how many.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

import stylegan2_flax as sg2
from disentangle_jax import arrays
from disentangle_jax.directions.directions import Directions, biorthogonal, in_layers
from disentangle_jax.directions.whitening import whitening
from disentangle_jax.inversion.latent_files import TUNED, read_latents
from disentangle_jax.inversion.latent_space import LatentSpace
from stylegan2_flax.files import AnyPath, as_path, local_copy

LEAST_VIDEOS = 2
"""One face does not tell how faces differ."""

_LEAST_VARIANCE = 1e-9  # relative to the largest: less is rounding


def from_videos(videos: Sequence[Float[np.ndarray, "_ l d"]], ws: Float[Array, "n l d"], k: int) -> Directions:
    """The k directions of W along which latents move most within videos, and coordinates that tell faces least.

    In coordinates of w in which the population is white: the vectors are the first principal axes V of the mean
    covariance within videos. With B the covariance of the videos' means, the normals are (V B^-1 V^T)^-1 V B^-1: of all
    coordinates along V, those that vary least between faces (generalised least squares, Aitken 1936, with faces as the
    noise). B of few faces is shrunk towards a multiple of the identity (Chen et al. 2010, arXiv:0907.4698). Every video
    counts alike, however long. Of latents of W+ the mean over layers is taken, and all layers are moved.

    Args:
        videos: latents of the frames, each video of one face.
        ws: the population, for its covariance and to calibrate the directions.
        k: how many.

    Raises:
        ValueError: there are too few videos, a video has a single frame, all show one face, or the frames move along
            fewer than k directions.
    """
    from sklearn.covariance import OAS  # slow to import

    if len(videos) < LEAST_VIDEOS or min(map(len, videos)) < 2:
        raise ValueError(
            f"directions of videos take at least {LEAST_VIDEOS} of them, of different faces, with two frames or more "
            f"each; these have {', '.join(str(len(video)) for video in videos) or 'none'}"
        )
    mean, whiten = whitening(ws)
    frames = [(np.asarray(video, np.float64).mean(axis=1) - mean) @ whiten for video in videos]
    faces = np.stack([video.mean(axis=0) for video in frames])
    if np.ptp(faces, axis=0).max() <= _LEAST_VARIANCE * np.abs(faces).max():
        raise ValueError("all videos show one and the same face, which does not tell how faces differ")
    within = np.mean([np.cov(video.T) for video in frames], axis=0)
    variances, axes = np.linalg.eigh(within)
    if not 0 < k <= (most := int(np.sum(variances > _LEAST_VARIANCE * variances[-1]))):
        raise ValueError(
            f"{k} directions were asked for, but the frames of the videos move along {most}: give more videos or "
            "frames, or lower directions.num"
        )
    vectors = axes[:, ::-1][:, :k].T
    precision = OAS().fit(faces).precision_
    normals = np.linalg.solve(vectors @ precision @ vectors.T, vectors @ precision)
    num_ws = ws.shape[1]
    vectors, normals = (
        in_layers(rows, (0, num_ws - 1), num_ws) for rows in (vectors @ np.linalg.inv(whiten), normals @ whiten)
    )
    return biorthogonal(vectors, normals, ws, [f"video_{i}" for i in range(k)])


def read_videos(folder: str | AnyPath, generator: sg2.Generator) -> list[Float[np.ndarray, "_ l d"]]:
    """The latents of all videos of a folder, which `invert` wrote, in the order of their names.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds too few, a file is damaged, of another generator, or of photos.
    """
    videos, space = [], LatentSpace.of(generator.mapping)
    for path in find_videos(folder):
        with local_copy(path) as local:
            clip = read_latents(local, generator, space)
        if clip.num_frames is None or clip.are_photos:
            raise ValueError(f"{path} holds latents of {'photos' if clip.are_photos else 'one picture'}, and no video")
        if np.ptp(clip.ws, axis=1).max() > 0.0:
            warnings.warn(
                f"the layers of {path} differ, so their mean is taken: `invert --space=w` finds one latent for all",
                stacklevel=2,
            )
        videos.append(clip.ws)
    return videos


def find_videos(folder: str | AnyPath) -> list[AnyPath]:
    """The files of latents in a folder, but not the generators that `invert --tune_steps` writes beside them.

    Raises FileNotFoundError or ValueError as `read_videos` does.
    """
    if not str(folder):
        raise ValueError("directions.source='videos' needs directions.videos, a folder of latents of videos")
    folder = as_path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of latents of videos at {folder} (directions.videos)")
    files = (path for path in folder.iterdir() if path.suffix.lower() in arrays.SUFFIXES)
    found = sorted(path for path in files if not path.name.startswith(".") and not path.name.endswith(TUNED))
    if len(found) < LEAST_VIDEOS:
        raise ValueError(
            f"{folder} holds latents of {len(found)} videos, but directions.source='videos' needs {LEAST_VIDEOS} at "
            "least: write each with `python -m disentangle_jax.invert --space=w`"
        )
    return found
