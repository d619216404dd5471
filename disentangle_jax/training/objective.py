"""The training objective: the weighted sum of all losses on a batch of clips."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree
from ml_collections import ConfigDict

from disentangle_jax.directions.readout import Readout
from disentangle_jax.model import Autoencoder, losses

CONTRASTS = ("appearance_contrast", "structure_contrast")

Synthesize = Callable[[Float[Array, "n l d"]], Float[Array, "n h w c"]]


class Frozen(NamedTuple):
    """Networks that losses look at decoded latents through; None for those whose loss has no weight. A pytree.

    Attributes:
        synthesis: draws the images.
        readout: reads the factors.
    """

    synthesis: Synthesize | None = None
    readout: Readout | None = None

    @classmethod
    def of(cls, weights: ConfigDict, synthesis: Synthesize | None, readout: Readout | None) -> "Frozen":
        """Those of these that the losses with these weights need. Raises ValueError if there is no readout for them."""
        if weights.factors > 0 and readout is None:
            raise ValueError(f"loss.weights.factors={weights.factors:g} needs a latent readout, and there is none")
        return cls(synthesis if weights.image > 0 else None, readout if weights.factors > 0 else None)


def objective(
    autoencoder: Autoencoder,
    ws: Float[Array, "b t l d"],
    augmented: Float[Array, "b t l d"],
    coefficients: Float[Array, "b t k"],
    shift: Int[Array, ""],
    config: ConfigDict,
    frozen: Frozen,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The sum of all losses, weighted by `config.weights`.

    Three pairs of codes are decoded, each of which must reconstruct frame j:

        reconstruction  appearance of frame j,  structure of frame j
        swap            appearance of frame i,  structure of frame j
        cross_swap      appearance of frame i,  structure of the augmented frame j

    where i = j - shift (modulo t) is another frame of the same clip. Of the last, a transfer from one face to another,
    the factors must be frame j's as well: a small error in latents may be a large one of an expression.

    Args:
        autoencoder: the model.
        ws: frames of synthetic clips.
        augmented: the same frames with another appearance.
        coefficients: coefficients of the frames along the directions that move the clips.
        shift: int32, from 1 to t - 1.
        config: `config.loss`, whose `weights` are named like the losses.
        frozen: the generator, for the image loss on the first frame of each clip, and the readout, for that of factors.

    Returns:
        The loss, and a dict of metrics: each unweighted loss by name, and the temperatures of the contrasts if they
        are learned.
    """
    appearances, structures = autoencoder.encode(jnp.stack([ws, augmented]))
    appearance = appearances[0]
    structure, augmented_structure = structures
    shifted = jnp.roll(appearances[0], shift, axis=1)
    decoded = autoencoder.decode(
        jnp.stack([appearance, shifted, shifted]), jnp.stack([structure, structure, augmented_structure])
    )
    std = autoencoder.std[...]
    temperatures = _learned_temperatures(autoencoder, config)
    options = {name: config[name].to_dict() for name in CONTRASTS}
    for name, temperature in temperatures.items():
        options[name]["temperature"] = temperature
    terms = {
        "reconstruction": losses.reconstruction(decoded[0], ws, std),
        "swap": losses.reconstruction(decoded[1], ws, std),
        "cross_swap": losses.reconstruction(decoded[2], ws, std),
        "appearance_contrast": losses.appearance_contrast(appearance, **options["appearance_contrast"]),
        "structure_contrast": losses.structure_contrast(
            structure, augmented_structure, coefficients, **options["structure_contrast"]
        ),
        "appearance_ratio": losses.appearance_ratio(appearance),
        "structure_ratio": losses.structure_ratio(structure, augmented_structure),
    }
    if frozen.readout is not None:
        terms["factors"] = losses.squared_error(frozen.readout(decoded[2]), frozen.readout(ws))
    if frozen.synthesis is not None:
        terms["image"] = losses.squared_error(frozen.synthesis(decoded[0, :, 0]), frozen.synthesis(ws[:, 0]))
    total = sum((config.weights[name] * value for name, value in terms.items()), start=jnp.zeros(()))
    return total, terms | {f"{name}_temperature": value for name, value in temperatures.items()}


def _learned_temperatures(autoencoder: Autoencoder, config: ConfigDict) -> dict[str, Float[Array, ""]]:
    """Temperatures of the contrasts if they are learned, which starts from the config's; otherwise an empty dict."""
    if autoencoder.log_temperature is None:
        return {}
    learned = _initial(config) * jnp.exp(autoencoder.log_temperature[...])
    return dict(zip(CONTRASTS, learned, strict=True))


def bound_temperatures(params: PyTree, config: ConfigDict) -> PyTree:
    """Parameters with learned temperatures of at least `least_temperature`, for after an update.

    As in CLIP (Radford et al. 2021, arXiv:2103.00020, section 2.5) the parameter itself is bounded, not what the loss
    makes of it: a temperature that has come to the bound can rise again.
    """
    if "log_temperature" not in params:
        return params
    least = jnp.log(config.least_temperature / _initial(config))
    return params | {"log_temperature": jnp.maximum(params["log_temperature"], least)}


def _initial(config: ConfigDict) -> Float[Array, "2"]:
    return jnp.array([config[name].temperature for name in CONTRASTS])
