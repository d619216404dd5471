"""How wide should the appearance code be?

A face of W needs few numbers and a mixed one twice as many. What is left over is free to hold the pose.
"""

CONFIG = "faces64:demo"


def points():
    for width in (32, 64, 96, 128, 256):
        yield f"{width} numbers", {"model.appearance_dim": width}
