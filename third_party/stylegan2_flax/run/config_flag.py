"""The flag --config: the name of a config, a Python file, or the config.json of a run."""

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags.config_flags import get_override_values

from stylegan2_flax import files
from stylegan2_flax.files import AnyPath
from stylegan2_flax.run import config_record

ARGV: list[str] = []
"""The command line that is being parsed; the flag looks for --config.FIELD=VALUE in it."""


def define(
    flag_values: flags.FlagValues,
    configs: ModuleType | None = None,
    *,
    required: bool = True,
    default: str | None = None,
) -> flags.FlagHolder[ConfigDict]:
    """Define --config, and --config.FIELD=VALUE for all fields of the config.

    Args:
        flag_values: the flags of the command.
        configs: a package whose modules may be given by name.
        required: whether the flag must be given, if it has no default.
        default: what is read if the flag is not given.
    """
    named = f"a name ({', '.join(_names(configs))}), " if configs else ""
    otherwise = f"; {default} if not said" if default else ""
    holder = config_flags.DEFINE_config_file(
        "config",
        help_string=f"{named}FILE.py, either with :SWITCHES, or the config.json of a run{otherwise}; "
        "--config.FIELD=VALUE sets a field",
        flag_values=flag_values,
        sys_argv=ARGV,
    )
    flag_values["config"].parser = _Parser(configs, default)
    if required and default is None:
        flags.mark_flag_as_required("config", flag_values)
    return holder


def define_workdir(flag_values: flags.FlagValues) -> flags.FlagHolder[str]:
    """Define --workdir, the folder of a run to start or to resume."""
    text = "folder of the run: created if missing, resumed if it holds a run"
    return flags.DEFINE_string("workdir", None, text, required=True, flag_values=flag_values)


def define_overrides(
    flag_values: flags.FlagValues, folder_flag: str, find: Callable[[str], AnyPath] | None = None
) -> None:
    """Define --config.FIELD=VALUE for the config that is recorded in a run's folder.

    Args:
        flag_values: the flags of the command.
        folder_flag: the name of the flag, defined before, that gives the folder.
        find: the folder that a value of the flag stands for; by default itself.
    """
    define(flag_values, required=False)
    config, parser = flag_values["config"], _RecordParser(None)
    config.help, config.parser = "--config.FIELD=VALUE sets a field of the run's config", parser
    flag_values[folder_flag].parser = _FolderParser(
        config, parser, find or partial(files.storage_path, flag=f"--{folder_flag}")
    )


def ordered(flag_values: flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """The command line, with --config where it has a default, and before --config.FIELD=VALUE what defines the field.

    That is the flag of a run's folder where it stands for --config.
    """
    argv = list(_with_signs(argv))
    parser = flag_values["config"].parser if "config" in flag_values else None
    if isinstance(parser, _Parser) and parser.default and not any(text.startswith("--config=") for text in argv):
        return [*argv[:1], f"--config={parser.default}", *argv[1:]]
    if not isinstance(parser, _RecordParser):
        return list(argv)
    return sorted(argv, key=lambda text: text.startswith(("--config.", "--noconfig.")))


def _with_signs(argv: Sequence[str]) -> Iterator[str]:
    """The command line with --config=VALUE for --config VALUE, and so for --config.FIELD, which may be a flag alone."""
    texts = list(argv)
    while texts:
        text = texts.pop(0)
        is_alone = re.fullmatch(r"--?config(\.[\w.]+)?", text)
        has_value = is_alone and texts and not texts[0].startswith("--")
        yield f"--{text.lstrip('-')}={texts.pop(0)}" if has_value else text


def overrides(flag_values: flags.FlagValues) -> dict[str, Any]:
    """The fields that the command line sets, by dotted name."""
    flag = flag_values["config"]
    return {} if flag.value is None else dict(get_override_values(flag))


def load(text: str, configs: ModuleType | None = None) -> ConfigDict:
    """Load and lock the config that --config=`text` stands for.

    Raises:
        ValueError: there is no such config, or it cannot be read.
    """
    path, colon, switches = _without_switches(text)
    if path.endswith(".json"):
        if colon:
            raise ValueError(f"{path} is the record of a run, which takes no switches: leave out {colon}{switches}")
        config = config_record.read_config_file(files.storage_path(path, "--config"))
    else:
        config = _run_file(_config_file(path, configs), colon + switches)
    return config.lock()


def _without_switches(text: str) -> tuple[str, str, str]:
    """A path, which may hold colons itself, and the switches after the colon behind it."""
    if files.is_url(text) or text.endswith(".json"):
        return text, "", ""
    places = [place for place, letter in enumerate(text) if letter == ":"]
    ends = [place for place in places if Path(text[:place]).expanduser().is_file()]
    end = (ends or places or [len(text)])[0]
    return text[:end], text[end : end + 1], text[end + 1 :]


def _names(configs: ModuleType | None) -> list[str]:
    folders = [Path(folder) for folder in configs.__path__] if configs else []
    return sorted(path.stem for folder in folders for path in folder.glob("[!_]*.py"))


def _config_file(text: str, configs: ModuleType | None) -> Path:
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if text in _names(configs):
        assert configs
        return Path(configs.__path__[0]) / f"{text}.py"
    kinds = f"neither a file, nor a name ({', '.join(_names(configs))})" if configs else "no file"
    raise ValueError(f"there is no config {text!r}: it is {kinds}")


def _run_file(path: Path, switches: str) -> ConfigDict:
    """Call `get_config` of a Python file, with the text after the colon if there is a colon."""
    loader = SourceFileLoader(f"config_{path.stem}", str(path))
    module = module_from_spec(ModuleSpec(loader.name, loader, origin=str(path)))
    module.__file__ = str(path)
    sys.modules[loader.name] = module  # dataclasses look up their module there
    try:
        loader.exec_module(module)
        config = module.get_config(*([switches[1:]] if switches else []))
    except ValueError as error:  # an unknown switch, or the file is not Python source
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:
        where = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (where[-1] if where else None)
        at = f", line {line}" if line else ""
        raise ValueError(
            f"{path}{at}: {type(error).__name__}: {error}. A config is a Python file with a function "
            "get_config(switches) that returns an ml_collections.ConfigDict, or the config.json of a run"
        ) from error
    if not isinstance(config, ConfigDict):
        raise ValueError(f"{path}: get_config returned {type(config).__name__}, not an ml_collections.ConfigDict")
    return config


class _Parser(flags.ArgumentParser[ConfigDict]):
    """Reads configs; `default` is the one to read if none is given."""

    def __init__(self, configs: ModuleType | None, default: str | None = None):
        self._configs, self.default = configs, default

    def parse(self, argument: str) -> ConfigDict:
        return load(argument, self._configs)

    def flag_type(self) -> str:
        return "config"


class _RecordParser(_Parser):
    """Reads the config of the run's folder and no other.

    Attributes:
        path: of that config; set by `_FolderParser`.
    """

    path: str | None = None

    def parse(self, argument: str) -> ConfigDict:
        if argument != self.path:
            raise ValueError("the config is that of the run: only its fields can be set, with --config.FIELD=VALUE")
        return super().parse(argument)


class _FolderParser(flags.ArgumentParser[str]):
    """Takes any folder; if the command line sets fields, reads the folder's config, which defines their flags."""

    def __init__(self, config: flags.Flag[ConfigDict], parser: _RecordParser, find: Callable[[str], AnyPath]):
        self._config, self._config_parser, self._find = config, parser, find

    def parse(self, argument: str) -> str:
        if any(text.startswith("--config.") for text in ARGV):
            self._config_parser.path = str(self._find(argument) / "config.json")
            self._config.parse(self._config_parser.path)
        return argument

    def flag_type(self) -> str:
        return "folder"
