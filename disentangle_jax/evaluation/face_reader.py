"""Readings of photographed faces: who it is, by an embedding, and what the face does, by its landmarks."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float, UInt8

from disentangle_jax import media
from disentangle_jax.evaluation.proxies import APPEARANCE, STRUCTURE, Proxy, Readings, cosine, distance, mean_difference
from disentangle_jax.inversion import load_arcface
from disentangle_jax.inversion.portraits import FaceFinder, crop, ffhq_square, load_finder
from disentangle_jax.inversion.portraits.dlib_faces import is_installed, make_embedder
from disentangle_jax.inversion.portraits.finding import find_landmarks
from disentangle_jax.inversion.published.arcface import face_of

Embedder = Callable[[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "68 2"]], Float[np.ndarray, "e"]]

IDENTITY, EXPRESSION, POSE = "identity", "expression", "pose"

_ALIGNED = 256  # pixels of the crop that ArcFace's face is cut out of


class FaceReader:
    """Reads the largest face of each picture.

    Args:
        find: finds the 68 landmarks of faces.
        identity: compares the embeddings of two faces.
        embed: a picture and the landmarks of a face in it to the embedding of the face.
    """

    def __init__(self, find: FaceFinder, identity: Proxy, embed: Embedder):
        self._find, self._embed = find, embed
        self.proxies = {
            IDENTITY: identity,
            EXPRESSION: Proxy("expression distance by landmarks", STRUCTURE, mean_difference),
            POSE: Proxy("pose distance by landmarks", STRUCTURE, mean_difference),
        }

    def read(self, images: Float[np.ndarray, "n h w c"]) -> Readings:
        """Readings, with rows of NaN for pictures in which no face is found.

        Raises:
            ValueError: the finder gives other than 68 landmarks.
        """
        rows = [self._read(image) for image in media.to_uint8(media.to_rgb(images))]
        width = max(len(row[0]) for row in rows if row) if any(rows) else 1
        missing = (np.full(width, np.nan), np.full(6, np.nan), np.full(3, np.nan))
        columns = zip(*(row or missing for row in rows), strict=True)
        return dict(zip(self.proxies, map(np.stack, columns), strict=True))

    def _read(self, image: UInt8[np.ndarray, "h w 3"]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        faces = find_landmarks(image, self._find)
        if len(faces) == 0:
            return None
        if faces.shape[1:] != (68, 2):
            raise ValueError(f"expressions are read from 68 landmarks; this finder gives {faces.shape[1]}")
        return self._embed(image, faces[0]), expression_of(faces[0]), pose_of(faces[0])


def load_face_reader(finder: str, arcface: str | None) -> FaceReader:
    """What reads faces.

    Args:
        finder: see `load_finder`.
        arcface: the weights of ArcFace, see `load_arcface`; None for dlib's embedding.

    Raises:
        ImportError: dlib or its models are needed and not installed.
        FileNotFoundError: there are no such weights.
        ValueError: they cannot be read, or there is no such finder.
    """
    find = load_finder(finder)
    if not arcface and not is_installed():
        raise ImportError(
            "whose face it is dlib reads, which is not installed: pip install 'disentangle_jax[portraits]', or give "
            "--arcface, or --face_finder=none, which reads no face"
        )
    return by_arcface(load_arcface(arcface), find) if arcface else by_dlib(make_embedder(), find)


def by_dlib(embed: Embedder, find: FaceFinder) -> FaceReader:
    """Identity by dlib's embedding, see `dlib_faces.make_embedder`."""
    title = "identity distance by dlib's embedding (one person: below 0.6)"
    return FaceReader(find, Proxy(title, APPEARANCE, distance), embed)


def by_arcface(arcface: Callable[[Float[Array, "n 112 112 3"]], Float[Array, "n e"]], find: FaceFinder) -> FaceReader:
    """Identity by ArcFace: the cosine of embeddings is CSIM."""

    def embed(image: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "e"]:
        aligned = crop(image, ffhq_square(landmarks), _ALIGNED)
        return np.asarray(arcface(face_of(media.from_uint8(aligned[None])))[0])

    return FaceReader(find, Proxy("CSIM: cosine of ArcFace's embeddings", APPEARANCE, cosine, True), embed)


def expression_of(landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "6"]:
    """How far the mouth is open and wide, the left and right eye are open, and the brows raised above them.

    Lengths are in units of the greater of the distance of the eyes and 0.9 times that from eyes to mouth, the one of
    which is short in profile and the other with a bowed head.
    """
    points = _upright(landmarks)[0]

    def height(above: int, below: int) -> float:
        return float(np.linalg.norm(points[above] - points[below]))

    mouth = [height(62, 66), height(48, 54)]
    eyes = [(height(37, 41) + height(38, 40)) / 2, (height(43, 47) + height(44, 46)) / 2]
    brows = [points[36:42, 1].mean() - points[17:22, 1].mean(), points[42:48, 1].mean() - points[22:27, 1].mean()]
    return np.array([*mouth, *eyes, *brows])


def pose_of(landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "3"]:
    """The roll in radians, and how far the tip of the nose lies beside and below the middle of the eyes.

    The latter two grow with yaw and pitch, but are no angles; units as of `expression_of`.
    """
    points, roll = _upright(landmarks)
    return np.array([roll, points[30, 0], points[30, 1]])


def _upright(landmarks: Float[np.ndarray, "68 2"]) -> tuple[Float[np.ndarray, "68 2"], float]:
    """The landmarks of the face turned upright, from the middle of the eyes, in its own units; and its roll."""
    left, right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    e, m = right - left, landmarks[[48, 54]].mean(axis=0) - (left + right) / 2
    roll = float(np.arctan2(e[1], e[0]))
    cos, sin = np.cos(roll), np.sin(roll)
    unit = max(np.linalg.norm(e), 0.9 * np.linalg.norm(m))
    return (landmarks - (left + right) / 2) @ np.array([[cos, -sin], [sin, cos]]) / unit, roll
