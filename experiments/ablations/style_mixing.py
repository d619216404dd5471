"""How many of the faces should be mixed from two?

Answer: A tenth: it helps to read the structure of mixed faces and to rebuild them; more hardly help further, and let
appearance into the structure code.
"""

CONFIG = "faces64:demo"


def points():
    for share in (0.0, 0.1, 0.25, 0.5, 1.0):
        yield f"{share:.0%}", {"clips.style_mixing": share}
