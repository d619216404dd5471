"""What the settings of a transfer may be."""

from ml_collections import ConfigDict

from disentangle_jax.configs import transfer
from disentangle_jax.inversion import rules as inversion
from stylegan2_flax.run import config_rules
from stylegan2_flax.run.config_rules import at_least, positive

RULES = {
    "fps": positive(),
    "max_cells": at_least(1),
    "smooth.min_cutoff": positive(),
    "smooth.beta": positive(or_zero=True),
    **{f"inversion.{name}": rule for name, rule in inversion.RULES.items() if not name.startswith("tune.")},
}


def check(config: ConfigDict) -> None:
    """Check all fields. Raises ValueError if some are missing, invalid or unknown."""
    config_rules.check(config, RULES)
    config_rules.check_known(config, config_rules.names(transfer.get_config()))
