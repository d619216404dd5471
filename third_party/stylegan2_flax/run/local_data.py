"""TFDS data sets that lie in a bucket: they are copied to the local disk, so that no step waits for the network."""

import hashlib
from typing import Any

import tensorflow_datasets as tfds
from tqdm import tqdm

from stylegan2_flax.files import as_path, atomic, is_remote, user_cache


def on_local_disk(builder: Any) -> Any:
    """A TFDS builder whose data set lies on a local disk: itself, or that of a copy in the user's cache folder.

    The copy is kept for later runs, and files that it lacks are added. Another data set under the same URL has another.
    """
    there = as_path(builder.data_path)
    if not is_remote(there):
        return builder
    about = [there / name for name in ("dataset_info.json", "metadata.json")]
    content = b"".join(path.read_bytes() for path in about if path.exists())
    digest = hashlib.sha256(str(there).encode() + content).hexdigest()
    here = user_cache() / "stylegan2_flax" / "data" / digest[:16] / builder.info.full_name
    names = [path.name for path in there.iterdir() if not path.name.startswith(".")]
    for name in tqdm(names, f"copying {builder.info.full_name} to the local disk", unit=" files", disable=None):
        if not (here / name).exists():
            with atomic(here / name) as temporary:
                temporary.write_bytes((there / name).read_bytes())
    return tfds.builder_from_directory(here)
