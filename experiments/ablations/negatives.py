"""Which frames are negatives of the structure contrast?

Frames of other clips differ in looks as well: if an augmentation keeps some, they tell the positive from the negatives,
and the structure code learns them. Near frames are false negatives.

Answer: Those of the batch, as long as positives are another face: they are better in structure and on mixed faces,
those of the clip find motions again more often. Where an augmentation keeps looks neither helps. Near ones make no
difference.
"""

CONFIG = "faces64:demo,abstract"
OF_CLIP = {"loss.structure_contrast.negatives": "clip"}
LOOKS_KEPT = {"clips.change_face": 0.0, "clips.mix_layers": 1.0}
NEAR_TOO = {"loss.structure_contrast.min_gap": 0.0}


def points():
    yield "of the batch", {}
    yield "of the clip", OF_CLIP
    yield "of both", {"loss.structure_contrast.negatives": "both"}
    yield "of the batch, near ones too", NEAR_TOO
    yield "of the clip, near ones too", OF_CLIP | NEAR_TOO
    yield "of the batch, fine layers mixed", LOOKS_KEPT
    yield "of the clip, fine layers mixed", OF_CLIP | LOOKS_KEPT
