"""Training a StyleGAN2: data, networks, step, loop, scores and snapshots. `experiment.run` is the way in."""
