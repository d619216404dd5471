"""The card of an exported model: a README.md with its numbers and pictures, as model hubs show it."""

from collections.abc import Mapping
from typing import Any

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.evaluation.suite import OURS
from disentangle_jax.report.report import environment


def render_card(
    model: Disentangler,
    steps: int | None,
    metrics: Mapping[str, Any] | None,
    pictures: Mapping[str, str],
    license: str,
) -> str:
    """Render the card.

    Args:
        model: the exported model.
        steps: how many it was trained for; None: all of its config.
        metrics: what `suite.measure` returned; None if it was not evaluated.
        pictures: the names of files beside the card; shown are "transfer_grid" and "motion".
        license: the licence's identifier for a model hub; "" names none.
    """
    generator, sizes = model.generator, model.config.model
    return environment(escape=False).get_template("card.md.jinja").render(
        config=model.config,
        directions=model.directions,
        generator=model.config.generator,
        license=license,
        metrics=metrics,
        moved=metrics["motion"]["methods"][OURS] if metrics else None,
        ours=OURS,
        pictures={"transfer_grid": "", "motion": "", **pictures},
        sizes={
            "num_ws": generator.num_ws,
            "w_dim": generator.w_dim,
            "resolution": generator.img_resolution,
            "channels": generator.img_channels,
            "appearance": sizes.appearance_dim,
            "structure": sizes.structure_dim,
        },
        steps=steps or model.config.train.num_steps,
    )  # fmt: skip
