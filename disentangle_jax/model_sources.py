"""The files of a trained model: finding them by name, path or URL, and digests that tell whether they are whole."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from stylegan2_flax import files, plugins
from stylegan2_flax.checkpoints.source import fetch
from stylegan2_flax.files import AnyPath

GROUP = "disentangle_jax.models"
"""Entry points of trained models: a name, and a factory that returns the path of an exported folder."""

CONFIG, MODEL, DIRECTIONS, READOUT, GENERATOR = NAMES = (
    "config.json",
    "model.safetensors",
    "directions.safetensors",
    "readout.safetensors",
    "generator.safetensors",
)
"""The files of an exported folder that `Disentangler.load` reads; see `model_folder`."""

SUMS = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def define_flag(flag_values: flags.FlagValues) -> flags.FlagHolder[str]:
    """Define --model, whose value `find` takes."""
    text = "a training workdir, an exported folder or its URL, or a model that an installed package registers"
    return flags.DEFINE_string("model", None, text, required=True, flag_values=flag_values)


def is_own_folder(name_or_folder: str | AnyPath) -> bool:
    """Whether it names a folder itself, a local one or a workdir in a bucket: not a registered or downloaded model."""
    if plugins.find_factory(GROUP, str(name_or_folder)):
        return False
    if files.is_remote(name_or_folder):
        return _is_workdir(files.as_path(name_or_folder))
    return not files.is_url(name_or_folder)


def find(name_or_folder: str | AnyPath, also: Sequence[str] = ()) -> AnyPath:
    """The folder of a model. A downloaded one is kept in the user's cache folder.

    Args:
        name_or_folder: the name of a model that an installed package registers, a training workdir, which may lie in a
            bucket (gs://), an exported folder, or the URL of one: hf://owner/name[@revision], gs://, https:// or
            another that fsspec knows.
        also: further files to download of a URL, if they are there.

    Raises:
        FileNotFoundError: there is no such model.
        ImportError: the URL needs a package that is not installed.
        ValueError: files of the model cannot be downloaded, or have changed on the way; or the name is that of a
            registered model and of a folder.
    """
    if factory := plugins.find_factory(GROUP, str(name_or_folder)):
        if (Path(name_or_folder) / CONFIG).is_file():
            raise ValueError(
                f"{name_or_folder} is a folder here and the name of a registered model: say ./{name_or_folder} for the "
                "folder; for the registered model, call from elsewhere or rename the folder"
            )
        folder = Path(factory())
    elif is_own_folder(name_or_folder):
        folder = files.as_path(name_or_folder)
    else:
        return _download(str(name_or_folder).rstrip("/"), (*NAMES, *also))
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"there is no model {str(name_or_folder)!r}: it is neither a training workdir nor an exported folder (it "
            f"has no config.json), nor a name that an installed package registers ({plugins.registered_names(GROUP)})"
        )
    return folder


def _is_workdir(folder: AnyPath) -> bool:
    return (folder / CONFIG).exists() and not (folder / SUMS).exists()


def write_digests(folder: Path) -> None:
    """Write SHA256SUMS for all files of a folder, which may lie in folders within it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = (f"{_digest(path.read_bytes())}  {path.relative_to(folder).as_posix()}\n" for path in paths)
    files.write_text(folder / SUMS, "".join(lines))


def check(folder: AnyPath) -> None:
    """Raise ValueError if a file that is to be loaded is not the one that was exported. Workdirs have no digests."""
    if not (folder / SUMS).is_file():
        return
    for name, digest in _wanted((folder / SUMS).read_bytes().decode(errors="replace")).items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: {folder / SUMS} lists it. Copy the model again, and whole")
        if _digest(path.read_bytes()) != digest:
            raise ValueError(
                f"{path} is not the file that was exported: its SHA-256 is another than {folder / SUMS} says. Copy the "
                f"model again; if you have changed the file on purpose, delete {SUMS}"
            )


def _download(url: str, names: Sequence[str]) -> Path:
    """Download files of an exported folder, those that the cache lacks. Its digests name the folder in the cache."""
    try:
        sums = fetch(f"{url}/{SUMS}")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no exported model at {url}, or it is not public: it has no {SUMS}, which "
            "python -m disentangle_jax.export writes"
        ) from error
    wanted = _wanted(sums.decode(errors="replace"), names)
    if absent := [name for name in (CONFIG, MODEL, DIRECTIONS) if name not in wanted]:
        raise ValueError(f"{url}/{SUMS} does not list {', '.join(absent)}: it is not that of an exported model")
    folder = files.user_cache() / "disentangle_jax" / "models" / _digest(sums)
    for name, digest in wanted.items():
        path = folder / name
        if path.is_file() and _digest(path.read_bytes()) == digest:
            continue
        content = fetch(f"{url}/{name}")
        if _digest(content) != digest:
            raise ValueError(
                f"{url}/{name} arrived as another file than {SUMS} says: try again, and if it stays so, the model is "
                "damaged where it lies"
            )
        with files.atomic(path) as temporary:
            temporary.write_bytes(content)
    return folder


def _wanted(sums: str, names: Sequence[str] = NAMES) -> dict[str, str]:
    """The digests of the files of these names. Others are passed over, paths among them."""
    found = (_LINE.fullmatch(line) for line in sums.splitlines())
    digests = {match[2]: match[1] for match in found if match}
    return {name: digests[name] for name in names if name in digests}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
