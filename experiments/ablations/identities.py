"""How many identities does contrastive learning need?

The paper's reason for synthetic videos: a generator shows as many people as one likes, recorded ones few. All points
are without the appearance contrast, which takes another clip of the same face, as few identities have, for another
face.

Answer: As many as there are: 16 teach no transfer that holds for other faces, 256 fall far behind in appearance.
"""

CONFIG = "faces64:demo"
COMMON = {"loss.weights.appearance_contrast": 0.0}


def points():
    for number in (16, 64, 256, 1024):
        yield f"{number} identities", COMMON | {"clips.num_identities": number}
    yield "unlimited", COMMON
