"""How should a clip move?

Answer: It hardly matters. Sinusoids and independent poses, which reach far within a clip, leave a little less structure
in the appearance code and a little more appearance in the structure code.
"""

CONFIG = "faces64:demo"


def points():
    for kind in ("sinusoid", "random_walk", "ornstein_uhlenbeck", "spline", "pulses", "iid"):
        yield kind.replace("_", " "), {"clips.trajectories": (kind,)}
