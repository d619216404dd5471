"""The config as a record: `config.json` in the workdir says what was run."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from stylegan2_flax.files import atomic
from stylegan2_flax.run import lock


def record(config: ConfigDict, workdir: str | Path, may_change: tuple[str, ...]) -> None:
    """Write the config into a new workdir, or make sure that it continues the run that is there.

    Args:
        config: the experiment.
        workdir: its folder; made if missing.
        may_change: dotted names of the fields, and of sections with a dot behind, that a resumed run may set anew.

    Raises:
        ValueError: the workdir belongs to a run with another config; the message names the fields that differ.
        OSError: nothing can be written there.
    """
    _try_out(Path(workdir))
    path = Path(workdir) / "config.json"
    if path.exists():
        changed = differences(_json(path), config)
        if not changed:
            return
        differing = [
            f"  {name}: {before} there, {now} now"
            for name, (before, now) in changed.items()
            if not any(_covers(field, name) for field in may_change)
        ]
        if differing:
            raise ValueError(
                f"{workdir} holds a run with another config:\n" + "\n".join(differing) + "\n"
                "Give another --workdir, delete this one to start over, or take these settings back to continue it."
            )
    write(config, workdir)


@contextmanager
def undone_if_refused(workdir: str | Path) -> Iterator[None]:
    """Remove the files that the body wrote into a workdir without a run, if it raises.

    Else the record of the refused config would refuse the corrected one.
    """
    workdir = Path(workdir)
    before = set(workdir.iterdir()) if workdir.is_dir() else set()
    try:
        yield
    except Exception:
        if workdir / "config.json" not in before and workdir.is_dir():
            for path in set(workdir.iterdir()) - before:
                if path.is_file() and path.name != lock.NAME:
                    path.unlink(missing_ok=True)
        raise


def read(folder: str | Path) -> ConfigDict:
    """The config of a workdir or an exported folder, sequences as tuples, as `get_config` wrote them.

    Raises:
        FileNotFoundError: there is no config.json in the folder.
        ValueError: it is cut short, or no config.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {folder} is neither a training workdir nor an exported folder")
    return read_file(path)


def read_file(path: Path) -> ConfigDict:
    """The config that `write` wrote.

    Raises:
        ValueError: there is no such file, it is cut short, or no config.
    """
    try:
        return ConfigDict(_tuples(_json(path)))
    except FileNotFoundError as error:
        raise ValueError(f"there is no config {path}") from error


def _json(path: Path) -> dict[str, Any]:
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


def write(config: ConfigDict, folder: str | Path) -> None:
    """Write `config.json`."""
    with atomic(Path(folder) / "config.json") as temporary:
        temporary.write_text(json.dumps(json.loads(config.to_json()), indent=2) + "\n", encoding="utf-8")


def differences(one: ConfigDict | dict[str, Any], other: ConfigDict | dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configs differ: by dotted name, the value in each, "absent" where there is none."""
    first, second = (
        _flat(json.loads(config.to_json()) if isinstance(config, ConfigDict) else config) for config in (one, other)
    )
    return {
        name: (first.get(name, "absent"), second.get(name, "absent"))
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    }


def _try_out(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1024))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: nothing can be written into {folder}") from error


def _covers(field: str, name: str) -> bool:
    return name.startswith(field) if field.endswith(".") else name == field


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Fields by dotted name."""
    leaves: dict[str, Any] = {}
    for name, child in config.items():
        leaves |= _flat(child, f"{prefix}{name}.") if isinstance(child, dict) else {prefix + name: child}
    return leaves
