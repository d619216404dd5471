"""The command lines with which a report ends."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from disentangle_jax import model_sources
from stylegan2_flax import files
from stylegan2_flax.files import AnyPath


def command_lines(
    source: AnyPath,
    out: AnyPath,
    compare: Mapping[str, str],
    overrides: Mapping[str, Any],
    seed_runs: Sequence[str],
    flags: Sequence[str],
) -> list[str]:
    """Command lines that work from any folder: train again, evaluate again, transfer.

    Args:
        source: the folder of the model.
        out: that of the report.
        compare, overrides, seed_runs: as of `evaluate`.
        flags: further ones of `evaluate`, as they are written.
    """
    source, out = (files.as_path(files.absolute(folder)) for folder in (source, out))
    picture = out / "transfer.gif" if isinstance(out, Path) else "transfer.gif"
    again = out.with_name(f"{out.name}_again")
    arguments = {
        "train": [f"--config={source / 'config.json'}", f"--workdir={again}"],
        "evaluate": [
            f"--model={source}",
            *([f"--out={out}"] if out != source else []),
            *(f"--compare={name}={_from_anywhere(folder)}" for name, folder in compare.items()),
            *(f"--seed_run={_from_anywhere(folder)}" for folder in seed_runs),
            *flags,
            *(f"--config.{name}={value}" for name, value in overrides.items()),
        ],
        "transfer": [f"--model={source}", "--source=seed:1", "--driving=clip:2", f"--out={picture}"],
    }
    return [shlex.join(["python", "-m", f"disentangle_jax.{name}", *given]) for name, given in arguments.items()]


def _from_anywhere(model: str) -> str:
    """A folder's absolute path; the name of a registered model, or a URL, as it is."""
    return files.absolute(model) if model_sources.is_own_folder(model) else model
