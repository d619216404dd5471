"""The config as a record: `config.json` in the workdir says what was run."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from stylegan2_flax.run import config_record as records
from stylegan2_flax.run.config_record import write

__all__ = ["MAY_CHANGE", "read", "record", "write"]

MAY_CHANGE = (
    "generator",
    "train.num_steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.profile_steps",
    "data.directory",
    "data.threads",
    "data.prefetch",
    "evaluation.",
)
"""What a resumed run may set anew: how long it goes on (the learning rate's cosine then ends at the new num_steps),
what it writes and keeps, how it reads, how it is judged, and where its generator lies, as long as `generator_digest`
is the same. Anything else would make the run one that its config does
not describe."""


def read(folder: str | Path) -> ConfigDict:
    """The config of a workdir or an exported folder, sequences as tuples, as `get_config` wrote them."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {folder} is neither a training workdir nor an exported folder")
    return ConfigDict(_tuples(json.loads(path.read_text(encoding="utf-8"))))


def record(config: ConfigDict, workdir: str | Path) -> None:
    """Write the config into a new workdir, or make sure that it continues the run that is there.

    Raises:
        ValueError: the workdir belongs to a run with another config; the message names the fields that differ.
    """
    records.record(config, workdir, MAY_CHANGE)


def _tuples(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _tuples(child) for name, child in node.items()}
    return tuple(_tuples(child) for child in node) if isinstance(node, list) else node
