"""How should a clip move?

Answer: It hardly matters to structure. Paths that stay near a clip's first pose lose up to 0.8 dB.
"""

CONFIG = "faces64:demo"


def points():
    for kind in ("sinusoid", "random_walk", "ornstein_uhlenbeck", "spline", "pulses", "iid"):
        yield kind.replace("_", " "), {"clips.trajectories": (kind,)}
