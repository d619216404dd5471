"""Training: state, optimiser, step and loop; checkpoints are stylegan2_flax's. `loop.train` is the way in."""
