"""The provenance of stored clips: the generator, the directions and the settings that they were made with.

A training run refuses stored clips whose provenance differs from its config's.
"""

import hashlib
import json
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree
from ml_collections import ConfigDict

from disentangle_jax.clips.clip import ClipSource
from disentangle_jax.generators import absolute
from disentangle_jax.scorers import without_folder
from stylegan2_flax.files import as_path
from stylegan2_flax.run.config_record import describe_differences


def provenance_of(config: ConfigDict, source: ClipSource) -> dict[str, Any]:
    """Everything that determines the clips but the seed, as plain data: equal provenance and seed give equal clips."""
    moves = (source.directions, source.appearance, source.readout)
    clips = config.clips.copy_and_resolve_references()
    clips.appearance_from = as_path(clips.appearance_from).name  # what lies there is in the digest, wherever it lies
    purify = config.purify.copy_and_resolve_references()
    purify.scorer = without_folder(purify.scorer)
    recipe = {"clips": clips, "readout": {"restraint": config.readout.restraint}, "purify": purify}
    found = {
        "generator": {"name": absolute(config.generator), "sha256": _digest(source.mapping)},
        "directions": {
            "names": list(source.directions.names),
            "sha256": _digest(moves),
        },
        "recipe": json.loads(ConfigDict(recipe).to_json()),
    }
    if source.purifier is not None:
        found["purifier"] = {"sha256": _digest(source.purifier)}
    return found


def check_provenance(there: dict[str, Any], here: dict[str, Any]) -> None:
    """Check that a config would make the clips that it reads.

    Args:
        there: the provenance of the stored clips.
        here: the provenance of the config's own clips.

    Raises:
        ValueError: they differ; the message says in what.
    """
    if there["generator"]["sha256"] != here["generator"]["sha256"]:
        raise ValueError(
            f"the stored clips were made with the generator {there['generator']['name']!r}, whose mapping network is "
            f"another than that of {here['generator']['name']!r}: make clips anew, or set config.generator to theirs"
        )
    if there["directions"]["sha256"] != here["directions"]["sha256"]:
        raise ValueError(
            "the stored clips move along other directions than the config's, or by another readout: set "
            "config.directions.source to the directions.safetensors that lies beside the clips, copy the "
            "readout.safetensors there, if any, into the workdir, or make clips anew"
        )
    if there.get("purifier", here.get("purifier")) != here.get("purifier"):
        raise ValueError(
            "the stored clips were purified by another scorer, or along other directions, than the config's: copy the "
            "factors.safetensors that lies beside the clips into the workdir, give the same scorer, or make clips anew"
        )
    recipe = there["recipe"]
    if "purify" in recipe:  # earlier versions wrote the scorer's path
        recipe = recipe | {"purify": recipe["purify"] | {"scorer": without_folder(recipe["purify"]["scorer"])}}
    if differing := describe_differences(recipe, here["recipe"]):
        raise ValueError(
            "the stored clips follow another recipe than the config's:\n" + "\n".join(differing) + "\n"
            "Take these settings over, or make clips anew."
        )


def _digest(tree: PyTree) -> str:
    digest = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(tree)):
        digest.update(f"{leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())
    return digest.hexdigest()
