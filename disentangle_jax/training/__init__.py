"""Training of the autoencoder: objective, train step, optimizer and state. `experiment.run` trains from a config."""
