"""Which frames are negatives of the structure contrast?

Frames of other clips may teach it to tell faces apart; near frames of the same clip are false negatives.

Answer: Those of the batch are better in structure, most of all on mixed faces: where positives are another face, they
cannot teach identity. Near ones make no difference.
"""

CONFIG = "faces64:demo,abstract"


def points():
    for negatives in ("clip", "batch", "both"):
        yield (
            f"of the {negatives}" if negatives != "both" else "of both",
            {"loss.structure_contrast.negatives": negatives},
        )
    yield "of the clip, near ones too", {"loss.structure_contrast.min_gap": 0.0}
