"""How many clips should a step have?

Every run sees the same number of clips, at the same learning rate.

Answer: 8 to 32 do alike; with 64 and more there are too few steps.
"""

CONFIG = "faces64:demo"


def points():
    for clips in (8, 16, 32, 64, 128):
        changes = {
            "train.batch_size": clips,
            "train.num_steps": 64000 // clips,
            "train.checkpoint_every": 16000 // clips,
        }
        yield f"{clips} clips", changes
