"""How anything here is trained: checkpoints, interruption, devices and processes, metrics, the record of a config."""
