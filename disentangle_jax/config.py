"""The config as a record: `config.json` in the workdir says what was run."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from disentangle_jax import files

MAY_CHANGE = (
    "train.num_steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "evaluation.",
)
"""What a resumed run may set anew: how long it goes on (the learning rate's cosine then ends at the new num_steps),
what it writes and keeps, and how it is judged. Anything else would make the run one that its config does not
describe."""


def read(folder: str | Path) -> ConfigDict:
    """The config of a workdir or an exported folder, sequences as tuples, as `get_config` wrote them."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {folder} is neither a training workdir nor an exported folder")
    return ConfigDict(_tuples(json.loads(path.read_text(encoding="utf-8"))))


def write(config: ConfigDict, folder: str | Path) -> None:
    """Write `config.json`."""
    files.write_text(Path(folder) / "config.json", json.dumps(json.loads(config.to_json()), indent=2) + "\n")


def record(config: ConfigDict, workdir: str | Path) -> None:
    """Write the config into a new workdir, or make sure that it continues the run that is there.

    Raises:
        ValueError: the workdir belongs to a run with another config; the message names the fields that differ.
    """
    if (Path(workdir) / "config.json").exists():
        before, now = _flat(read(workdir)), _flat(config)
        differing = [
            f"  {name}: {before.get(name, 'absent')} there, {now.get(name, 'absent')} now"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name) and not name.startswith(MAY_CHANGE)
        ]
        if differing:
            raise ValueError(
                f"{workdir} holds a run with another config:\n" + "\n".join(differing) + "\n"
                "Give another --workdir, delete this one to start over, or take these settings back to continue it."
            )
    write(config, workdir)


def _flat(config: ConfigDict) -> dict[str, Any]:
    """Fields by dotted name, as they look after a journey through JSON."""
    leaves: dict[str, Any] = {}

    def visit(prefix: str, node: Any) -> None:
        if isinstance(node, dict):
            for name, child in node.items():
                visit(f"{prefix}.{name}" if prefix else name, child)
        else:
            leaves[prefix] = node

    visit("", json.loads(config.to_json()))
    return leaves


def _tuples(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _tuples(child) for name, child in node.items()}
    return tuple(_tuples(child) for child in node) if isinstance(node, list) else node
