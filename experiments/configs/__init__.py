"""Configs of experiments, each a module with `get_config(arg)`.

The package is installed as disentangle_jax.configs, and its configs go by their names: --config=faces64:demo.
"""
