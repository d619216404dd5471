"""How many identities does contrastive learning need?

The paper's reason for synthetic videos: a generator shows as many people as one likes, recorded ones few.

Answer: As many as there are: 16 teach no transfer that holds for other faces, 256 fall far behind in appearance.
"""

CONFIG = "faces64:demo"


def points():
    for number in (16, 64, 256, 1024):
        yield f"{number} identities", {"clips.num_identities": number}
    yield "unlimited", {}
