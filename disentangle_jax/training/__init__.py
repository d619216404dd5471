"""Training: state, optimiser, step, loop and checkpoints. `loop.train` is the way in."""
