"""Training: state, step, loop, data, scores and checkpoints. `experiment.run` is the way in.

What any trainer needs, whatever it trains, is in files of its own: arrays, checkpoint, interrupt, metrics, parallel,
record.
"""
