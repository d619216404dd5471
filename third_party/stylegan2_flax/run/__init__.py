"""Training infrastructure: loop, checkpoints, interruption, devices and processes, metrics, config records."""
