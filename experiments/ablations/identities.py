"""How many identities does contrastive learning need?

The paper's reason for synthetic videos: a generator shows as many people as one likes, recorded ones few.
"""

CONFIG = "faces64:small"


def points():
    for number in (16, 64, 256, 1024):
        yield f"{number} identities", {"clips.num_identities": number}
    yield "unlimited", {}
