"""Training of a StyleGAN2: data, networks, train step, scores and snapshots. `experiment.run` trains from a config."""
