"""What all commands (`python -m disentangle_jax.X`) share, from the package below."""

from stylegan2_flax.command import call, run

__all__ = ["call", "run"]
