"""How wide should the structure code be?

Answer: 8 or 16: fewer have no room for seven factors, more let appearance in.
"""

CONFIG = "faces64:demo"


def points():
    for width in (2, 4, 8, 16, 32, 64):
        yield f"{width} numbers", {"model.structure_dim": width}
