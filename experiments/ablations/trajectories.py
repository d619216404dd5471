"""How should a clip move?

Answer: It hardly matters to transfer. After pulses motions are found again less often.
"""

CONFIG = "faces64:demo"


def points():
    for kind in ("sinusoid", "random_walk", "ornstein_uhlenbeck", "spline", "pulses", "iid"):
        yield kind.replace("_", " "), {"clips.trajectories": (kind,)}
