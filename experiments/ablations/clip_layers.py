"""Which layers of a face does a clip move?

Together: along one vector of W+, which leaves each layer its own remainder of the pose. Each: every layer to the pose.
Offsets add the motion to the face's own pose instead of replacing it.

Answer: Each, for the jitter, which only layers have that move by themselves: with it mixed faces are read best. Whole
ones are the same. Directions of mixed faces leave pose in the appearance code, and offsets lose structure.
"""

CONFIG = "faces64:demo"
TOGETHER = {"clips.layers": "together", "clips.jitter": 0.0}


def points():
    yield "each", {}
    yield "each, without jitter", {"clips.jitter": 0.0}
    yield "together", TOGETHER
    yield "together, mixed faces' directions", TOGETHER | {"directions.style_mixing": 0.9}
    yield "together, as offsets", TOGETHER | {"clips.coordinates": "offset"}
