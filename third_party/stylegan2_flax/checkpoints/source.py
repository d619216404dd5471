"""Reading of checkpoints from paths, URLs and the Hugging Face hub."""

import os
import re
from pathlib import Path

from stylegan2_flax.checkpoints.network_data import CheckpointError

Source = str | os.PathLike[str]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")
_HUB = re.compile(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")


def fetch(source: Source) -> bytes:
    """Read a file from a path, a URL that fsspec supports, or hf://owner/name[@revision]/file.

    Raises FileNotFoundError, ImportError that says what to install, or CheckpointError for failures to read.
    """
    source = os.fspath(source)
    if source.startswith("hf://"):
        source = _from_hub(source)
    elif _URL.match(source):
        return _from_url(source)
    path = Path(source)
    if path.is_dir():
        raise CheckpointError("it is a folder: give a file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no such file: {path}") from error
    except OSError as error:
        raise CheckpointError(f"it cannot be read: {error.strerror or error}") from error


def _from_url(url: str) -> bytes:
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(f'to read {url} fsspec is needed: pip install "fsspec[http]"') from error
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        return filesystem.cat_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no such file: {url}") from error
    except ImportError as error:
        raise ImportError(f"to read {url} a further package is needed: {error}") from error
    except Exception as error:  # each kind of URL has errors of its own
        raise CheckpointError(f"it cannot be read: {type(error).__name__}: {error}") from error


def _from_hub(url: str) -> str:
    """The path of a local copy."""
    parts = _HUB.fullmatch(url)
    if parts is None:
        raise ValueError(
            f"{url!r} names no file on the hub: write hf://owner/name/file or hf://owner/name@revision/file"
        )
    try:
        import huggingface_hub
        from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise ImportError(f"to read {url} huggingface_hub is needed: pip install huggingface_hub") from error
    try:
        return huggingface_hub.hf_hub_download(parts[1], parts[3], revision=parts[2])
    except LocalEntryNotFoundError as error:  # neither in the cache nor, without a connection, on the hub
        raise CheckpointError(f"it cannot be read: {error}") from error
    except (EntryNotFoundError, RepositoryNotFoundError) as error:
        raise FileNotFoundError(f"there is no such file, or it is not public: {url}") from error
    except Exception as error:  # those of the connection are not listed anywhere
        raise CheckpointError(f"it cannot be read: {type(error).__name__}: {error}") from error
