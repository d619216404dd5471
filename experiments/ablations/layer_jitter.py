"""How far should each layer of a frame stray from the pose by itself?

Latents of W+ whose layers disagree, such as mixed faces and inverted pictures, are then nothing new to the encoder.

Answer: By 0.3: without, the structure of mixed faces is read less, and 1 lets structure into the appearance code.
"""

CONFIG = "faces64:demo"


def points():
    for jitter in (0.0, 0.1, 0.3, 0.5, 1.0):
        yield f"{jitter} standard deviations", {"clips.jitter": jitter}
