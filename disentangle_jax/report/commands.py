"""The command lines with which a report ends."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from disentangle_jax import model_sources
from disentangle_jax.directions.find import FOUND_ANYWHERE
from stylegan2_flax import files
from stylegan2_flax.files import AnyPath


def command_lines(
    source: AnyPath,
    config: ConfigDict,
    out: AnyPath,
    compare: Mapping[str, str],
    overrides: Mapping[str, Any],
    seed_runs: Sequence[str],
    flags: Sequence[str],
) -> list[str]:
    """Command lines that work from any folder: train again, evaluate again, transfer.

    Args:
        source: the folder of the model.
        config: that of its training.
        out: that of the report.
        compare, overrides, seed_runs: as of `evaluate`.
        flags: further ones of `evaluate`, as they are written.
    """
    source, out = (files.as_path(files.absolute(folder)) for folder in (source, out))
    picture = out / "transfer.gif" if isinstance(out, Path) else "transfer.gif"
    again = out.with_name(f"{out.name}_again")
    arguments = {
        "train": [f"--config={source / 'config.json'}", f"--workdir={again}", *_own_files(source, config)],
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


def _own_files(source: AnyPath, config: ConfigDict) -> list[str]:
    """Flags that name the files of an exported folder, whose config names them without a folder.

    Of files that it lacks, such as stored clips, the flag says what is to be put in.
    """
    if not (source / model_sources.MODEL).exists():
        return []
    files_of = {
        "generator": model_sources.GENERATOR if config.generator == model_sources.GENERATOR else "",
        "directions.source": "" if config.directions.source in FOUND_ANYWHERE else model_sources.DIRECTIONS,
        "readout.source": "" if config.readout.source == "scorer" else model_sources.READOUT,
    }
    own = [f"--config.{field}={source / name}" for field, name in files_of.items() if name and (source / name).exists()]
    wanted = {"data.directory": config.data.directory} if config.data.source == "stored" else {}
    if config.clips.appearance > 0 and config.clips.appearance_from != "scorer":
        wanted["clips.appearance_from"] = config.clips.appearance_from
    return own + [f"--config.{field}=WHERE_IT_IS/{name}" for field, name in wanted.items()]


def _from_anywhere(model: str) -> str:
    """A folder's absolute path; the name of a registered model, or a URL, as it is."""
    return files.absolute(model) if model_sources.is_own_folder(model) else model
