"""Which latents should the encoder read?

W+ has a vector for every layer, W one for all: here the mean of the layers. A layer's styles (StyleSpace) are an affine
function of its vector, which the first layer of the encoder learns anyway.

Answer: W+: the mean does nearly as well on faces of W, but knows little of the structure of mixed ones.
"""

CONFIG = "faces64:demo"


def points():
    yield "W+", {}
    yield "W", {"model.input_space": "w"}
