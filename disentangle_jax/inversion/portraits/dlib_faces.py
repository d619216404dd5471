"""Faces by dlib: its detector, landmarks and embedding, with the models of the package face-recognition-models.

The 68 landmarks come from a model trained on iBUG 300-W, whose terms exclude commercial use. Detector and embedding are
in the public domain.
"""

from collections.abc import Callable
from functools import cache
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

LICENCE = "the landmarks are of a model trained on iBUG 300-W, which is not for commercial use"

_SIDES = (800, 1600)  # pixels of the longer side that faces are looked for at; the second if the first shows none
_ENLARGED = 4.0  # at most
_SCORE = 0.12  # of the detector, below which a find is chance
_RELATIVE_SCORE = 0.1  # of the best find in the picture
_MODELS = "face-recognition-models"


@cache
def make_face_finder() -> Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "n 68 2"]]:
    """A function from a picture to the 68 landmarks of each face in it.

    Faces are found down to about a twentieth of the picture's longer side.

    Raises:
        ImportError: dlib or its models are not installed.
    """
    dlib = _dlib()
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(_model("shape_predictor_68"))

    def find(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "n 68 2"]:
        for side in _SIDES:
            scale = min(side / max(image.shape[:2]), _ENLARGED)
            resized = _resized(image, scale)
            if boxes := _detect(detector, resized):
                break
        else:
            return np.zeros((0, 68, 2))
        if scale < 1:  # the places of landmarks are whole pixels: they are looked for in the larger picture
            boxes, resized, scale = [_scaled(dlib, box, 1 / scale) for box in boxes], image, 1.0
        shapes = [predictor(resized, box) for box in boxes]
        points = np.array([[(part.x, part.y) for part in shape.parts()] for shape in shapes], np.float64)
        return (points + 0.5) / scale - 0.5

    return find


@cache
def make_embedder() -> Callable[[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "68 2"]], Float[np.ndarray, "128"]]:
    """A function from a picture and the landmarks of a face in it to dlib's embedding of the face.

    Embeddings of one person are usually less than 0.6 apart, those of two people farther.

    Raises:
        ImportError: dlib or its models are not installed.
    """
    dlib = _dlib()
    network = dlib.face_recognition_model_v1(_model("dlib_face_recognition_resnet"))

    def embed(image: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "128"]:
        points = [dlib.point(round(x), round(y)) for x, y in landmarks]
        (left, top), (right, bottom) = landmarks.min(axis=0), landmarks.max(axis=0)
        box = dlib.rectangle(round(left), round(top), round(right), round(bottom))
        shape = dlib.full_object_detection(box, points)
        return np.array(network.compute_face_descriptor(np.ascontiguousarray(image), shape))

    return embed


def is_installed() -> bool:
    """Whether dlib and its models are."""
    return util.find_spec("dlib") is not None and bool(_model_files())


def _detect(detector: Any, image: UInt8[np.ndarray, "h w 3"]) -> list[Any]:
    """Boxes of faces. Chance finds score little, in themselves or beside a real face."""
    boxes, scores, _ = detector.run(image, 0, _SCORE)
    return [box for box, score in zip(boxes, scores, strict=True) if score >= _RELATIVE_SCORE * max(scores)]


def _resized(image: UInt8[np.ndarray, "h w 3"], scale: float) -> UInt8[np.ndarray, "h2 w2 3"]:
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def _scaled(dlib: ModuleType, box: Any, scale: float) -> Any:
    return dlib.rectangle(*(round(scale * side) for side in (box.left(), box.top(), box.right(), box.bottom())))


def _dlib() -> ModuleType:
    if not is_installed():
        raise ImportError(
            "finding faces needs dlib and its models: pip install 'disentangle_jax[portraits]', name a face finder of "
            "your own (--face_finder), or give pictures that are aligned already and say so"
        )
    import dlib

    return dlib


def _model(name: str) -> str:
    """The path of a model file whose name begins so."""
    return next(path for path in _model_files() if Path(path).name.startswith(name))


@cache
def _model_files() -> list[str]:
    """Files of face-recognition-models, which cannot be imported: it needs pkg_resources, which setuptools dropped."""
    try:
        files = metadata.files(_MODELS) or []
    except metadata.PackageNotFoundError:
        return []
    return [str(file.locate()) for file in files if file.suffix == ".dat"]
