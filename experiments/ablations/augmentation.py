"""Which augmentation teaches the structure code to ignore appearance?

All but another face keep looks of the face, so their negatives are of the clip: those of the batch would teach them.

Answer: Another face altogether: with any other the structure code keeps looks, and a transfer takes them over, or
structure is lost.
"""

CONFIG = "faces64:demo"
OF_CLIP = {"loss.structure_contrast.negatives": "clip"}
NONE = OF_CLIP | {"clips.change_face": 0.0}


def points():
    yield "another face", {}
    yield "another face, negatives of the clip", OF_CLIP
    yield "another face, or fine layers mixed", OF_CLIP | {"clips.change_face": 0.5, "clips.mix_layers": 1.0}
    yield "fine layers mixed", NONE | {"clips.mix_layers": 1.0}
    yield "noise in fine layers", NONE | {"clips.noise": 0.5}
    yield "moved along appearance", NONE | {"clips.appearance": 1.0}
    yield "none", NONE
