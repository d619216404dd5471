"""How much should the two views of a frame differ in their structure codes?

Both show one structure, on two faces: what of their codes differs tells of the face.

Answer: By 10: more weight lets structure into the appearance code, less leaves appearance in the structure code.
"""

CONFIG = "faces64:demo"


def points():
    for weight in (0.0, 1.0, 10.0, 30.0, 100.0):
        yield f"weight {weight:g}", {"loss.weights.structure_ratio": weight}
