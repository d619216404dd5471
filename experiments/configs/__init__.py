"""Configs of experiments, each a module with `get_config(arg)`.

The package is installed as disentangle_jax.configs, and its configs go by their names: --config=faces64:demo.
"""

from collections.abc import Sequence


def parse_switches(arg: str, known: Sequence[str]) -> list[str]:
    """The switches in `arg`, which commas separate. Raises ValueError if one is not known."""
    switches = [switch for switch in arg.split(",") if switch]
    for switch in switches:
        if switch not in known:
            raise ValueError(f"unknown switch {switch!r}: this config knows {', '.join(known)}")
    return switches
