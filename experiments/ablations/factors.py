"""How much should the factors of a transferred frame weigh?

A small error in latents may be a large one of an expression. The readout, which moves the clips, tells it apart.

Answer: 0.3 in the demo, 1 in the full run, whose readout is finer: 0.01 of structure. More lets structure into the
appearance code.
"""

CONFIG = "faces64:demo"


def points():
    for weight in (0.0, 0.1, 0.3, 1.0, 3.0):
        yield f"weight {weight:g}", {"loss.weights.factors": weight}
