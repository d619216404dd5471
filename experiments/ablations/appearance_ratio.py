"""How much weight does the ratio of appearance need?

Answer: 10 is enough against the leak, and costs nothing.
"""

CONFIG = "faces64:demo"


def points():
    for weight in (0.0, 1.0, 10.0, 100.0, 1000.0):
        yield f"weight {weight:g}", {"loss.weights.appearance_ratio": weight}
