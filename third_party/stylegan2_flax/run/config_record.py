"""config.json: the config that a workdir was trained with."""

import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
from ml_collections import ConfigDict

from stylegan2_flax import files
from stylegan2_flax.files import AnyPath, as_path
from stylegan2_flax.run import lock


def record_config(
    config: ConfigDict, workdir: str | AnyPath, may_change: tuple[str, ...], flag: str = "--workdir"
) -> None:
    """Write the config into a new workdir, or check that it continues the run in an existing one.

    Args:
        config: the experiment.
        workdir: created if it is missing.
        may_change: dotted names of the fields that a resumed run may change. A name that ends in a dot stands for a
            whole section.
        flag: by which the user gave the workdir, for messages.

    Raises:
        ValueError: the workdir holds a run with another config; the message names the fields that differ.
        OSError: the workdir cannot be written.
    """
    _check_writable(as_path(workdir))
    if not check_record(config, workdir, may_change, flag):
        write_config(config, workdir)


def check_record(
    config: ConfigDict, workdir: str | AnyPath, may_change: tuple[str, ...], flag: str = "--workdir"
) -> bool:
    """Whether a workdir records just this config. Writes nothing; for arguments and errors see `record_config`."""
    path = as_path(workdir) / "config.json"
    if not path.exists():
        return False
    before = _read_json(path)
    if lines := describe_differences(before, config, may_change):
        later = any(": absent there" in line for line in lines)
        hint = (
            f"\nWhat is absent there came with a later version: add it to {path}, with the value under which nothing "
            "changes (0, if it says how much)."
        )
        raise ValueError(
            f"{workdir} holds a run with another config:\n" + "\n".join(lines) + "\n"
            f"Give another {flag}, delete this one to start over, or take these settings back to continue it."
            + (hint if later else "")
        )
    return not differences(before, config)


@contextmanager
def undo_on_error(workdir: str | AnyPath) -> Iterator[None]:
    """If the body raises, remove the files that it wrote into a workdir in which no run had begun.

    Otherwise the recorded config would conflict with the corrected one. Of several processes it is the first that
    writes, so the others remove nothing, whatever they fail of.
    """
    folder = as_path(workdir)
    before = set(folder.iterdir()) if folder.is_dir() else set()
    try:
        yield
    except Exception:
        if jax.process_index() == 0 and folder / "config.json" not in before and folder.is_dir():
            for path in set(folder.iterdir()) - before:
                if path.is_file() and path.name != lock.NAME:
                    path.unlink(missing_ok=True)
        raise


def read_config(folder: str | AnyPath) -> ConfigDict:
    """Read the config of a workdir or an exported folder. Sequences become tuples, as in `get_config`.

    Raises:
        FileNotFoundError: the folder has no config.json.
        ValueError: the file is damaged, or is not a config.
    """
    path = as_path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {folder} is neither a training workdir nor an exported folder")
    return read_config_file(path)


def read_config_file(path: AnyPath) -> ConfigDict:
    """Read a file that `write_config` wrote.

    Raises:
        ValueError: the file does not exist, is damaged, or is not a config.
    """
    try:
        return ConfigDict(_tuples(_read_json(path)))
    except FileNotFoundError as error:
        raise ValueError(f"there is no config {path}") from error


def _read_json(path: AnyPath) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is cut short or is no JSON ({error}): restore it, or delete it to start over"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no config, but {type(content).__name__}")
    return content


def _tuples(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _tuples(child) for name, child in node.items()}
    return tuple(_tuples(child) for child in node) if isinstance(node, list) else node


def write_config(config: ConfigDict, folder: str | AnyPath) -> None:
    """Write config.json into a folder."""
    files.write_text(as_path(folder) / "config.json", json.dumps(json.loads(config.to_json()), indent=2) + "\n")


def differences(one: ConfigDict | dict[str, Any], other: ConfigDict | dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ: by dotted name, the value in each, "absent" if there is none.

    An empty text says as little as no field does: the two do not differ.
    """
    first, second = (
        _flatten(json.loads(config.to_json()) if isinstance(config, ConfigDict) else config) for config in (one, other)
    )
    return {
        name: (first.get(name, "absent"), second.get(name, "absent"))
        for name in sorted(first.keys() | second.keys())
        if first.get(name, "") != second.get(name, "")
    }


def describe_differences(
    there: ConfigDict | dict[str, Any], here: ConfigDict | dict[str, Any], ignored: tuple[str, ...] = ()
) -> list[str]:
    """One line of text for each field in which two configs differ.

    Args:
        there: the recorded config.
        here: the current one.
        ignored: dotted names of fields, and of sections with a dot at the end, that may differ.
    """
    return [
        f"  {name}: {before} there, {now} now"
        for name, (before, now) in differences(there, here).items()
        if not any(_covers(field, name) for field in ignored)
    ]


def _check_writable(folder: AnyPath) -> None:
    if files.is_remote(folder):
        files.write_bytes(probe := folder / f".probe-{secrets.token_hex(4)}", b"")
        probe.unlink()
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1024))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: nothing can be written into {folder}") from error


def _covers(field: str, name: str) -> bool:
    return name.startswith(field) if field.endswith(".") else name == field


def _flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """All fields under their dotted names."""
    leaves: dict[str, Any] = {}
    for name, child in config.items():
        leaves |= _flatten(child, f"{prefix}{name}.") if isinstance(child, dict) else {prefix + name: child}
    return leaves
