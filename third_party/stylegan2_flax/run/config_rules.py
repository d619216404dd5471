"""Validation of configs: a table of rules for fields, all of them checked before training starts.

RULES = {"train.batch_size": at_least(1), "loss.weights.*": positive(or_zero=True)}
check(config, RULES, warmup)
"""

import difflib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

MAX_SEED = 2**32 - 1
"""The largest seed that has a random key of its own."""


_MAX_LISTED = 20  # number of errors that a message lists; a config of another command has many


class Rule(NamedTuple):
    """The values that a field may have.

    Attributes:
        allows: whether a value is valid. For an invalid one it may also raise TypeError or ValueError.
        words: the condition in words, as it follows "must be": "at least 1".
    """

    allows: Callable[[Any], bool]
    words: str


def at_least(low: int) -> Rule:
    """An integer of at least `low`."""
    return Rule(lambda value: _is_whole(value) and value >= low, f"a whole number of at least {low}")


def seed() -> Rule:
    """A seed of JAX's random keys, which would take only the lower 32 bits of a larger number."""
    return Rule(lambda value: _is_whole(value) and 0 <= value <= MAX_SEED, f"a whole number from 0 to {MAX_SEED}")


def finite() -> Rule:
    """A finite number."""
    return Rule(_is_number, "a finite number")


def positive(or_zero: bool = False) -> Rule:
    """A positive finite number; with `or_zero`, zero as well."""
    if or_zero:
        return Rule(lambda value: _is_number(value) and value >= 0, "0 or more")
    return Rule(lambda value: _is_number(value) and value > 0, "positive")


def between(low: float | int, high: float | int, without_high: bool = False) -> Rule:
    """A number in [low, high], or in [low, high) if `without_high`."""
    words = f"from {low:g} to {'below ' if without_high else ''}{high:g}"
    return Rule(
        lambda value: _is_number(value) and low <= value <= high and not (without_high and value == high), words
    )


def one_of(*choices: Any) -> Rule:
    """One of these values."""
    return Rule(lambda value: value in choices, f"one of {', '.join(map(str, choices))}")


def flag() -> Rule:
    """True or False."""
    return Rule(lambda value: isinstance(value, bool), "True or False")


def window() -> Rule:
    """A range of steps (first, last), which count from 1; (0, 0) for none."""
    return Rule(
        lambda value: (
            len(value) == 2 and all(map(_is_whole, value)) and (tuple(value) == (0, 0) or 1 <= value[0] <= value[1])
        ),
        "(first, last), from 1 on, the first no later than the last",
    )


def each(rule: Rule) -> Rule:
    """A sequence of values that each satisfy a rule."""
    return Rule(lambda value: not isinstance(value, str) and all(map(rule.allows, value)), f"each {rule.words}")


def file_name() -> Rule:
    """A file name without a folder."""
    return Rule(lambda value: value == Path(value).name != "", "a file name without a folder")


TRAIN = {
    "seed": seed(),
    "train.num_steps": at_least(1),
    "train.log_every": at_least(1),
    "train.checkpoint_every": at_least(1),
    "train.keep_checkpoints": at_least(1),
    "train.profile_steps": window(),
    "train.tensorboard": flag(),
}
"""The seed, and the fields of `run.loop.Schedule`."""


Relation = Callable[[ConfigDict], str | None]
"""Checks a condition on several fields. Returns the error message, or None if the condition holds."""


def warmup(config: ConfigDict) -> str | None:
    """The warm-up must end before the last step."""
    steps, last = config.optimizer.warmup_steps, config.train.num_steps
    return None if steps < last else f"optimizer.warmup_steps ({steps}) must be below train.num_steps ({last})"


def check(config: ConfigDict, rules: dict[str, Rule], *relations: Relation) -> None:
    """Check all fields of a config.

    Args:
        config: the experiment.
        rules: rules by dotted field name; `section.*` stands for all fields of a section.
        relations: conditions on several fields, checked if each field by itself is valid.

    Raises:
        ValueError: fields are missing, invalid or contradict each other; the message names them.
    """
    errors = list(dict.fromkeys(error for name, rule in rules.items() for error in _field_errors(config, name, rule)))
    if not errors:
        errors = [error for relation in relations if (error := relation(config)) is not None]
    if (more := len(errors) - _MAX_LISTED) > 0:
        errors[_MAX_LISTED:] = [f"and {more} more: is it the config of another command?"]
    if errors:
        raise ValueError(errors[0] if len(errors) == 1 else "the config is invalid:\n  " + "\n  ".join(errors))


def check_known(config: ConfigDict, known: Iterable[str]) -> None:
    """Raise ValueError if a config has other fields than these, as nothing would read them.

    Args:
        config: the experiment.
        known: dotted names; `section.*` stands for whatever the section holds.
    """
    known = list(known)
    free = tuple(name.removesuffix("*") for name in known if name.endswith(".*"))
    if unknown := [name for name in names(config) if name not in known and not name.startswith(free)]:
        told = [f"{name}{_meant(name, known)}" for name in unknown]
        raise ValueError(f"nothing reads the config's {', '.join(told)}: leave out what is not of this version")


def _meant(name: str, known: list[str]) -> str:
    """The fields of any section whose own name is like that of an unknown field."""
    fields = {other: other.rpartition(".")[2] for other in known}
    near = difflib.get_close_matches(name.rpartition(".")[2], set(fields.values()), 1)
    similar = [other for other, field in fields.items() if field in near]
    return f" (did you mean {' or '.join(similar[:3])}?)" if similar else ""


def names(config: ConfigDict, prefix: str = "") -> list[str]:
    """The dotted names of all fields of a config, each after the prefix."""
    found = []
    for name, value in config.items():
        found += names(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else [prefix + name]
    return found


def _field_errors(config: ConfigDict, name: str, rule: Rule) -> Iterable[str]:
    value: Any = config
    *sections, last = name.split(".")
    for section in sections:
        value = value.get(section) if isinstance(value, ConfigDict) else None
    if not isinstance(value, ConfigDict):
        yield f"the section {'.'.join(sections)} is missing"
        return
    for field in value if last == "*" else [last]:
        full = ".".join([*sections, field])
        if field not in value:
            yield f"{full} is missing: it must be {rule.words}"
        elif not _allows(rule, value[field]):
            got = "a section" if isinstance(value[field], ConfigDict) else repr(value[field])
            yield f"{full} must be {rule.words}, got {got}"


def _allows(rule: Rule, value: Any) -> bool:
    try:
        return bool(rule.allows(value))
    except (TypeError, ValueError):
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
