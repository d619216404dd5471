"""What the fields of a config may be: a table of rules, checked as a whole before anything is written.

RULES = {"train.batch_size": at_least(1), "loss.weights.*": positive(or_zero=True)}
check(config, RULES, warmup)
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict


class Rule(NamedTuple):
    """What a field may be.

    Attributes:
        allows: whether a value is fine. It may raise TypeError or ValueError for one that is not.
        words: what it must be, to follow "must be": "at least 1".
    """

    allows: Callable[[Any], bool]
    words: str


def at_least(low: int) -> Rule:
    """A whole number from `low` on."""
    return Rule(lambda value: _is_whole(value) and value >= low, f"a whole number of at least {low}")


def positive(or_zero: bool = False) -> Rule:
    """A finite number above 0, or from 0 on."""
    if or_zero:
        return Rule(lambda value: _is_number(value) and value >= 0, "0 or more")
    return Rule(lambda value: _is_number(value) and value > 0, "positive")


def between(low: float | int, high: float | int, without_high: bool = False) -> Rule:
    """A number from `low` to `high`."""
    words = f"from {low:g} to {'below ' if without_high else ''}{high:g}"
    return Rule(
        lambda value: _is_number(value) and low <= value <= high and not (without_high and value == high), words
    )


def one_of(*choices: Any) -> Rule:
    """One of these."""
    return Rule(lambda value: value in choices, f"one of {', '.join(map(str, choices))}")


def flag() -> Rule:
    """True or False."""
    return Rule(lambda value: isinstance(value, bool), "True or False")


def window() -> Rule:
    """(first, last) of steps; (0, 0) for none."""
    return Rule(
        lambda value: len(value) == 2 and all(map(_is_whole, value)) and 0 <= value[0] <= value[1],
        "(first, last), the first no later than the last",
    )


def each(rule: Rule) -> Rule:
    """A sequence in which each entry obeys the rule."""
    return Rule(lambda value: not isinstance(value, str) and all(map(rule.allows, value)), f"each {rule.words}")


def file_name() -> Rule:
    """A name for files, without a folder."""
    return Rule(lambda value: value == Path(value).name != "", "a file name without a folder")


TRAIN = {
    "seed": at_least(0),
    "train.num_steps": at_least(1),
    "train.log_every": at_least(1),
    "train.checkpoint_every": at_least(1),
    "train.keep_checkpoints": at_least(1),
    "train.profile_steps": window(),
    "train.tensorboard": flag(),
}
"""The fields that `run.loop.Schedule.of` takes, and the seed."""


Relation = Callable[[ConfigDict], str | None]
"""What is wrong between fields, as a sentence; None where nothing is."""


def warmup(config: ConfigDict) -> str | None:
    """The warm-up must leave steps for the decay of the learning rate."""
    steps, last = config.optimizer.warmup_steps, config.train.num_steps
    return None if steps < last else f"optimizer.warmup_steps ({steps}) must be below train.num_steps ({last})"


def check(config: ConfigDict, rules: dict[str, Rule], *relations: Relation) -> None:
    """Check all fields, and name each that is wrong.

    Args:
        config: the experiment.
        rules: by the dotted name of a field; `section.*` means all fields of a section.
        relations: what else must hold, once each field by itself is what it may be.

    Raises:
        ValueError: a field is missing or not what it may be, or fields do not go together.
    """
    faults = [fault for name, rule in rules.items() for fault in _faults(config, name, rule)]
    if not faults:
        faults = [fault for relation in relations if (fault := relation(config)) is not None]
    if faults:
        raise ValueError(faults[0] if len(faults) == 1 else "the config is invalid:\n  " + "\n  ".join(faults))


def _faults(config: ConfigDict, name: str, rule: Rule) -> Iterable[str]:
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
            yield f"{full} must be {rule.words}, got {value[field]!r}"


def _allows(rule: Rule, value: Any) -> bool:
    try:
        return bool(rule.allows(value))
    except (TypeError, ValueError):
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
