"""Which models may be compared with one, and in what their training differed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.generators import digest
from stylegan2_flax.run import config_record

Changed = dict[str, tuple[Any, Any]]
"""Fields by dotted name, and their value in the other config and in the model's."""

_TRAINED_BY = (
    *("seed", "directions.", "clips.", "readout.", "purify.", "model.", "loss.", "optimizer."),
    *("train.batch_size", "train.accumulate", "train.num_steps", "data.source", "data.split"),
)
"""What the names of the fields begin with that decide how a model is trained."""


def check_generators(model: Disentangler, others: Mapping[str, Disentangler]) -> None:
    """Raise ValueError unless all models, which are given by name, are of one generator."""
    for name, other in others.items():
        if digest(other.generator) != digest(model.generator):
            raise ValueError(f"{name!r} splits latents of {other.config.generator}, not of {model.config.generator}")


def check_seeds(model: Disentangler, seeds: Mapping[str, Disentangler]) -> None:
    """Raise ValueError unless the models are of one experiment, trained to its end, each with a seed of its own.

    Args:
        model: the model.
        seeds: the others, by their workdirs.
    """
    taken = {model.config.seed: "the workdir"}
    for folder, other in seeds.items():
        own = ("seed", "directions.source", "directions.videos", "readout.source")
        if others := [name for name in _changed(other, model, _TRAINED_BY) if name not in own]:
            raise ValueError(f"--seed_run={folder} is another experiment: it differs in {', '.join(others)}")
        if (seed := other.config.seed) in taken:
            raise ValueError(f"--seed_run={folder} has the seed of {taken[seed]}, {seed}: there is nothing to compare")
        taken[seed] = folder
        if problem := unfinished(other):
            raise ValueError(f"--seed_run={folder} {problem}: run its command again, or leave it out")
    check_generators(model, seeds)


def unfinished(model: Disentangler) -> str | None:
    """What to tell of a model whose training has not come to its end; None if it has, or if that is not known."""
    last = model.config.train.num_steps
    return None if model.steps in (None, last) else f"is trained for {model.steps} of {last} steps"


def differences(other: Disentangler, model: Disentangler) -> Changed:
    """The fields in which the config of another model's training differed."""
    shared = []  # such as those that were read from a file
    if np.array_equal(other.directions.vectors, model.directions.vectors):
        shared.append("directions.")
    if _same_readout(other, model):
        shared.append("readout.")
    return _changed(other, model, tuple(section for section in _TRAINED_BY if section not in shared))


def _changed(other: Disentangler, model: Disentangler, sections: tuple[str, ...]) -> Changed:
    changed = config_record.differences(other.config, model.config)
    return {name: values for name, values in changed.items() if name.startswith(sections)}


def _same_readout(one: Disentangler, other: Disentangler) -> bool:
    if one.readout is None or other.readout is None:
        return one.readout is other.readout
    if one.readout.restraint != other.readout.restraint:
        return False
    return np.array_equal(one.readout.network.looks, other.readout.network.looks)
