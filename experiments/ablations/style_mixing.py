"""How many of the faces should be mixed from two?

Answer: The fewer, the more of appearance is kept on whole faces; codes of mixed ones are not looked at here.
"""

CONFIG = "faces64:demo"


def points():
    for share in (0.0, 0.1, 0.25, 0.5, 1.0):
        yield f"{share:.0%}", {"clips.style_mixing": share}
