"""Configs are checked as a whole."""

import math

import pytest
from ml_collections import ConfigDict

from stylegan2_flax.run.config_rules import (
    at_least,
    between,
    check,
    check_known,
    each,
    file_name,
    finite,
    flag,
    one_of,
    positive,
    seed,
    warmup,
    window,
)


def fault(rule, value):
    try:
        check(ConfigDict({"a": {"b": value}}), {"a.b": rule})
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("rule", "fine", "wrong", "words"),
    [
        (at_least(1), (1, 5), (0, -1, 1.5, True, "1", None), "must be a whole number of at least 1, got"),
        (seed(), (0, 2**32 - 1), (-1, 2**32, 0.5, True), "must be a whole number from 0 to 4294967295, got"),
        (finite(), (-1, 0, 0.7), (math.nan, math.inf, "x", None), "must be a finite number, got"),
        (positive(), (1, 0.1), (0, -1.0, math.nan, math.inf, "x"), "must be positive, got"),
        (positive(or_zero=True), (0, 0.0, 3), (-1, math.nan), "must be 0 or more, got"),
        (between(0, 1), (0, 0.5, 1), (-0.1, 1.5, math.nan), "must be from 0 to 1, got"),
        (between(0, 1, without_high=True), (0, 0.99), (1, 1.0), "must be from 0 to below 1, got"),
        (one_of("float32", "bfloat16"), ("float32",), ("float17", 3), "must be one of float32, bfloat16, got"),
        (flag(), (True, False), (0, 1, "yes"), "must be True or False, got"),
        (
            window(),
            ((0, 0), (3, 5)),
            ((5, 2), (0, 2), (1,), 3, (0.5, 1)),
            "must be (first, last), from 1 on, the first",
        ),
        (file_name(), ("judge_a",), ("", "a/b", 3, "/"), "must be a file name without a folder, got"),
        (each(at_least(0)), ((), (1, 2)), ((1, -1), 3, "12"), "must be each a whole number of at least 0, got"),
    ],
)
def test_values_that_a_rule_refuses_are_named(rule, fine, wrong, words):
    for value in fine:
        assert fault(rule, value) is None
    for value in wrong:
        message = fault(rule, value)
        assert message is not None, value
        assert message.startswith(f"a.b {words}")
        assert message.endswith(repr(value)) or "first" in words


def test_a_section_in_place_of_a_value_is_called_one():
    assert fault(positive(), {"c": 1, "d": 2}) == "a.b must be positive, got a section"


def test_the_config_of_another_command_is_called_one():
    rules = {f"section{i // 2}.field{i}": flag() for i in range(50)}
    with pytest.raises(ValueError, match="the config is invalid") as error:
        check(ConfigDict({"model": {"width": 3}}), rules)
    _, first, *_, last = str(error.value).splitlines()
    assert first == "  the section section0 is missing"
    assert str(error.value).count("section0 ") == 1
    assert last == "  and 5 more: is it the config of another command?"


def test_all_faults_are_told_at_once():
    config = ConfigDict({"train": {"steps": 0, "rate": 1.0}, "weights": {"x": -1.0, "y": 1.0, "z": -2.0}})
    rules = {
        "train.steps": at_least(1),
        "weights.*": positive(or_zero=True),
        "train.batch": at_least(1),
    }
    with pytest.raises(ValueError, match="the config is invalid") as error:
        check(config, rules, lambda config: "asked of fields that are fine alone")
    assert str(error.value).splitlines()[1:] == [
        "  train.steps must be a whole number of at least 1, got 0",
        "  weights.x must be 0 or more, got -1.0",
        "  weights.z must be 0 or more, got -2.0",
        "  train.batch is missing: it must be a whole number of at least 1",
    ]
    with pytest.raises(ValueError, match="the section optimizer is missing"):
        check(config, {"optimizer.b1": positive()})


def test_fields_must_go_together():
    config = ConfigDict({"train": {"num_steps": 5}, "optimizer": {"warmup_steps": 5}})
    rules = {"train.num_steps": at_least(1), "optimizer.warmup_steps": at_least(0)}
    with pytest.raises(ValueError, match=r"^optimizer.warmup_steps \(5\) must be below train.num_steps \(5\)$"):
        check(config, rules, lambda config: None, warmup)
    config.optimizer.warmup_steps = 4
    check(config, rules, warmup)


def test_a_field_that_nothing_reads_is_named_with_those_that_may_be_meant():
    config = ConfigDict({"seed": 0, "train": {"stepz": 3, "odd": 1}, "generator": {"anything": 1}})
    known = ["seed", "train.steps", "scout.steps", "generator.*"]
    with pytest.raises(
        ValueError, match=r"config's train\.odd, train\.stepz \(did you mean train\.steps or scout\.steps\?\)"
    ):
        check_known(config, known)
