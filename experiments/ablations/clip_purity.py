"""Is it worth purifying clips with a scorer's readings?"""

CONFIG = "faces64:demo"


def points():
    for steps in (0, 1, 4):
        yield f"{steps} steps", {"purify.steps": steps, "train.num_steps": 500, "train.checkpoint_every": 100}
