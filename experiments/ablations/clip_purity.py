"""Is it worth making clips purer than straight lines, and does it take pictures?

Along straight lines appearance drifts. A latent readout holds it without pictures; the purifier renders every frame, at
54 seconds of a core a step (20 steps): its point, which takes three hours of a core, has not been run.

Answer: The readout's clips give 0.16 of structure, 0.07 of appearance and 3.8 dB more after 2,000 steps, little after
200. That mixed faces are read is due to the jitter alone.
"""

CONFIG = "faces64:demo"
READOUT = {"loss.weights.factors": 0.0}  # which straight lines cannot have
LINES = READOUT | {"clips.motion": "linear", "clips.jitter": 0.0}
SHORT = {"train.num_steps": 200, "train.checkpoint_every": 100}


def points():
    yield "straight lines", LINES
    yield "a latent readout", READOUT
    yield "a latent readout, without jitter", READOUT | {"clips.jitter": 0.0}
    yield "straight lines, 200 steps", SHORT | LINES
    yield "a latent readout, 200 steps", SHORT | READOUT
    rendered = {"purify.steps": 4, "data.tile": 32}  # convolutions are slow in a loop over tiles, on a CPU
    yield "rendered, 200 steps", SHORT | LINES | rendered
