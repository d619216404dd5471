"""What is minimised: the weighted sum of all losses on one batch of clips."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from disentangle_jax.model import Autoencoder, losses

CONTRASTS = ("appearance_contrast", "structure_contrast")


def objective(
    autoencoder: Autoencoder,
    ws: Float[Array, "b t l d"],
    augmented: Float[Array, "b t l d"],
    coefficients: Float[Array, "b t k"],
    shift: Int[Array, ""],
    config: ConfigDict,
    synthesize: Callable[[Float[Array, "n l d"]], Float[Array, "n h w c"]] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The loss of `config.loss` and its parts.

    All that is decoded is one batch of three pairs of codes, each of which must give back frame j:

        reconstruction  appearance of frame j,  structure of frame j
        swap            appearance of frame i,  structure of frame j
        cross_swap      appearance of frame i,  structure of the augmented frame j

    where frame i lies `shift` frames behind j in the same clip, around its end.

    Args:
        autoencoder: the model.
        ws: frames of synthetic clips.
        augmented: the same frames in another appearance.
        coefficients: where their structure stands along the directions that move the clips.
        shift: from 1 to t - 1.
        config: `config.loss`, with `weights` by the names of the losses.
        synthesize: the frozen generator, for the image loss of the first frame of each clip; None leaves it out.

    Returns:
        The loss, and its parts by name, each without its weight; and the temperatures of the contrasts, if they are
        learnt.
    """
    appearance, structure = autoencoder.encode(jnp.stack([ws, augmented]))
    own, other = appearance[0], jnp.roll(appearance[0], shift, axis=1)
    structure, its_augmented = structure
    decoded = autoencoder.decode(jnp.stack([own, other, other]), jnp.stack([structure, structure, its_augmented]))
    std, learnt = autoencoder.std[...], _learnt_temperatures(autoencoder, config)
    faces, frames = ({**config[name], "temperature": learnt.get(name, config[name].temperature)} for name in CONTRASTS)
    parts = {
        "reconstruction": losses.reconstruction(decoded[0], ws, std),
        "swap": losses.reconstruction(decoded[1], ws, std),
        "cross_swap": losses.reconstruction(decoded[2], ws, std),
        "appearance_contrast": losses.appearance_contrast(own, **faces),
        "structure_contrast": losses.structure_contrast(structure, its_augmented, coefficients, **frames),
        "appearance_ratio": losses.appearance_ratio(own),
    }
    if synthesize is not None:
        parts["image"] = losses.image_reconstruction(synthesize(decoded[0, :, 0]), synthesize(ws[:, 0]))
    total = sum((config.weights[name] * value for name, value in parts.items()), start=jnp.zeros(()))
    return total, parts | {f"{name}_temperature": value for name, value in learnt.items()}


def _learnt_temperatures(autoencoder: Autoencoder, config: ConfigDict) -> dict[str, Float[Array, ""]]:
    """The contrasts' temperatures, if they are learnt: they start from the config's and stay above its least one, as
    CLIP's does (Radford et al. 2021, arXiv:2103.00020, section 2.5).
    """
    if autoencoder.log_temperature is None:
        return {}
    given = jnp.array([config[name].temperature for name in CONTRASTS])
    learnt = jnp.maximum(given * jnp.exp(autoencoder.log_temperature[...]), config.least_temperature)
    return dict(zip(CONTRASTS, learnt, strict=True))
