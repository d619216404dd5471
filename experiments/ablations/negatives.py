"""Which frames are negatives of the structure contrast?

Frames of other clips teach it to tell faces apart; near frames of the same clip are false negatives.

Answer: With the abstract's objective it makes no difference that one seed could tell.
"""

CONFIG = "faces64:demo,abstract"


def points():
    for negatives in ("clip", "batch", "both"):
        yield (
            f"of the {negatives}" if negatives != "both" else "of both",
            {"loss.structure_contrast.negatives": negatives},
        )
    yield "of the clip, near ones too", {"loss.structure_contrast.min_gap": 0.0}
