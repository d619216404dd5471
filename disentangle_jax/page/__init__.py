"""The page of `python -m disentangle_jax.app`: what it computes needs no Gradio, what it shows does."""
