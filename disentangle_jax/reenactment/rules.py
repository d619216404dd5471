"""What the settings of a transfer may be, for `run.config_rules.check`."""

from disentangle_jax.inversion import rules as inversion
from stylegan2_flax.run.config_rules import at_least, positive

RULES = {
    "fps": positive(),
    "piece": at_least(1),
    "max_cells": at_least(1),
    "smooth.min_cutoff": positive(),
    "smooth.beta": positive(or_zero=True),
    **{f"inversion.{name}": rule for name, rule in inversion.RULES.items()},
}
