"""How should a clip move?

Answer: It hardly matters. Paths that reach far within a clip, sinusoids and independent poses, leak a little less.
"""

CONFIG = "faces64:demo"


def points():
    for kind in ("sinusoid", "random_walk", "ornstein_uhlenbeck", "spline", "pulses", "iid"):
        yield kind.replace("_", " "), {"clips.trajectories": (kind,)}
