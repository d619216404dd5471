"""How wide should the appearance code be?

A face of W needs 64 numbers. What is left over is free to hold the pose.

Answer: 64 or 96: fewer lose appearance, and in more a linear probe finds structure.
"""

CONFIG = "faces64:demo"


def points():
    for width in (32, 64, 96, 128, 256):
        yield f"{width} numbers", {"model.appearance_dim": width}
