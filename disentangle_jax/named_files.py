"""The files that a config names: as absolute paths in a record, and without their folders in what is exported."""

from pathlib import Path

from ml_collections import ConfigDict

from disentangle_jax import scorers
from disentangle_jax.directions import find
from stylegan2_flax import files

FIELDS = {
    ("directions", "source"): find.SOURCES,
    ("directions", "videos"): (),
    ("readout", "source"): ("scorer",),
    ("clips", "appearance_from"): ("scorer",),
    ("data", "directory"): (),
}
"""The fields that may name a file or folder, each after its section, and what else they may say; empty, they name none.

Those of scorers, which may name one after a colon, are `scorers.FIELDS`; the generator has rules of its own.
"""


def absolute(config: ConfigDict) -> ConfigDict:
    """The config with absolute paths, so that a run resumes from any folder."""
    config = config.copy_and_resolve_references()
    for (section, field), others in FIELDS.items():
        if (value := config[section].get(field, "")) not in ("", *others):  # earlier versions have not all fields
            config[section][field] = files.absolute(value)
    for section, field in scorers.FIELDS:
        config[section][field] = scorers.absolute_scorer(config[section][field])
    return config


def without_folders(config: ConfigDict) -> ConfigDict:
    """The config with the names of files in place of their paths, which would tell of this machine.

    Fields that it lacks, as those of an earlier version do, are left out.
    """
    config = config.copy_and_resolve_references()
    for section, field in FIELDS:
        if field in config.get(section, {}) and not files.is_url(path := config[section][field]):
            config[section][field] = Path(path).name
    for section, field in scorers.FIELDS:
        if field in config.get(section, {}):
            config[section][field] = scorers.without_folder(config[section][field])
    return config
