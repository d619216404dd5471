"""What does each part of the objective do?

Beside the full objective with both ratios: what the paper's abstract tells (reconstruction and both contrasts), the
swaps without the contrasts, each part left out, and reconstruction alone.

Answer: The contrasts and ratios are enough to transfer, and so are the swaps; without these more weight on the ratio of
appearance keeps structure out of its code. The ratio of appearance keeps structure out of the appearance code; the
structure contrast and the ratio of structure keep appearance out of the structure code, and have it read mixed faces;
the appearance contrast adds nothing beside the swaps.
"""

CONFIG = "faces64:demo"
NO_CROSS_SWAP = {"loss.weights.cross_swap": 0.0, "loss.weights.factors": 0.0}
NO_SWAPS = {"loss.weights.swap": 0.0} | NO_CROSS_SWAP
NO_CONTRASTS = {"loss.weights.appearance_contrast": 0.0, "loss.weights.structure_contrast": 0.0}
NO_RATIOS = {"loss.weights.appearance_ratio": 0.0, "loss.weights.structure_ratio": 0.0}


def points():
    yield "full", {}
    yield "abstract (no swaps)", NO_SWAPS
    yield "abstract, ratio of appearance 100", NO_SWAPS | {"loss.weights.appearance_ratio": 100.0}
    yield "abstract, no ratios", NO_SWAPS | NO_RATIOS
    yield "no contrasts", NO_CONTRASTS
    yield "no contrasts, no ratios", NO_CONTRASTS | NO_RATIOS
    yield "no appearance ratio", {"loss.weights.appearance_ratio": 0.0}
    yield "no structure ratio", {"loss.weights.structure_ratio": 0.0}
    yield "no appearance contrast", {"loss.weights.appearance_contrast": 0.0}
    yield "no structure contrast", {"loss.weights.structure_contrast": 0.0}
    yield "no factors", {"loss.weights.factors": 0.0}
    yield "no cross swap, no factors", NO_CROSS_SWAP
    yield "reconstruction alone", NO_SWAPS | NO_CONTRASTS | NO_RATIOS
