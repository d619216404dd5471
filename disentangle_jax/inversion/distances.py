"""What optimisation compares beside pixels, by name: a scorer's features, LPIPS, or a function of another package."""

from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from disentangle_jax import arrays
from disentangle_jax.inversion.optimisation import Distance
from disentangle_jax.inversion.pictures import area_average
from disentangle_jax.scorers import GROUP, Scorer, absolute_scorer, features_of, load_scorer
from stylegan2_flax import files, plugins

_LPIPS = "lpips"
_LPIPS_SIZE = 256  # pixels; larger images are averaged down to it, as in NVIDIA's projector
_TINY = 1e-6


def load_distance(name: str) -> Distance | None:
    """Load a distance.

    Args:
        name: "none"; a scorer that an installed package registers, for the distance of its features, or of its
            readings if it has no `features`; "lpips:PATH", with the weights of torchvision's VGG16 (extra `lpips`); or
            "package.module:factory", where factory() returns distance(images, targets) -> [n], or a scorer.

    Raises:
        FileNotFoundError: PATH does not exist.
        ValueError: there is no such distance, or PATH holds something else.
        ImportError: LPIPS is not installed.
    """
    if name == "none":
        return None
    kind, _, path = name.partition(":")
    if kind == _LPIPS:
        return _load_lpips(Path(path).expanduser())
    if plugins.find_factory(GROUP, kind):
        return _of_features(load_scorer(name))
    unknown = (
        f"unknown distance {name!r}: it is neither none, nor lpips:PATH, nor a scorer that an installed package "
        f"registers ({plugins.registered_names(GROUP)}), nor a factory, given as package.module:factory"
    )
    made = plugins.import_factory(name, unknown)()
    if isinstance(made, Scorer):
        return _of_features(made)
    if callable(made):
        return cast(Distance, made)
    raise ValueError(f"{name!r} gives a {type(made).__name__}, not a distance(images, targets)")


def absolute_distance(name: str) -> str:
    """The same distance named so that it is found from any folder: PATH of lpips:PATH is made absolute."""
    kind, _, path = name.partition(":")
    return f"{kind}:{files.absolute(path)}" if kind == _LPIPS else absolute_scorer(name)


def _of_features(scorer: Scorer) -> Distance:
    return jax.tree_util.Partial(_feature_distance, scorer)


def _feature_distance(
    scorer: Any, images: Float[Array, "n h w c"], targets: Float[Array, "n h w c"]
) -> Float[Array, "n"]:
    """The squared distance of features, relative to the squares of the target's."""
    features = features_of(scorer)
    own, wanted = (features(scorer, batch) if features else scorer(batch) for batch in (images, targets))
    return jnp.sum(jnp.square(own - wanted), axis=1) / (jnp.sum(jnp.square(wanted), axis=1) + _TINY)


def _load_lpips(path: Path) -> Distance:
    try:
        import lpips_nnx
    except ImportError as error:
        raise ImportError("LPIPS needs the package lpips-nnx: pip install lpips-nnx") from error
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no weights of VGG16 at {path}: give lpips:PATH, with torchvision's vgg16-397923af.pth or its "
            "copy in safetensors"
        )
    weights = arrays.read(path).arrays

    class Features(lpips_nnx.VGG16Features):
        """Its own would download weights."""

        def _load_weights(self) -> None:
            for name, layer in [(name, layer) for name, layer in vars(self).items() if isinstance(layer, nnx.Conv)]:
                number = name.removeprefix("conv_")
                _fill(layer.kernel, weights, f"features.{number}.weight", path)
                _fill(layer.bias, weights, f"features.{number}.bias", path)

    class Lpips(lpips_nnx.LPIPS):
        """Its own would make its own features."""

        def __init__(self) -> None:
            rngs = nnx.Rngs(0)
            self.scaling, self.vgg = lpips_nnx.ScalingLayer(), Features(rngs=rngs)
            self.lins = nnx.List([lpips_nnx.NetLinLayer(size, rngs=rngs) for size in (64, 128, 256, 512, 512)])
            self._load_weights()

    return jax.tree_util.Partial(_lpips_distance, Lpips())


def _fill(variable: Any, weights: dict[str, np.ndarray], name: str, path: Path) -> None:
    value = weights.get(name)
    layout = (2, 3, 1, 0) if value is not None and value.ndim == 4 else (0,)  # torch's kernels are [out, in, h, w]
    if value is None or value.ndim != len(layout) or value.transpose(layout).shape != variable.shape:
        raise ValueError(f"{path} holds no weights of torchvision's VGG16: {name} is missing or has another shape")
    variable.set_value(jnp.asarray(value.transpose(layout), jnp.float32))


def _lpips_distance(
    network: Any, images: Float[Array, "n h w 3"], targets: Float[Array, "n h w 3"]
) -> Float[Array, "n"]:
    side = min(images.shape[1], _LPIPS_SIZE)
    small = (area_average(x, (side, side)) for x in (images, targets))
    return network(*small).reshape(-1)
