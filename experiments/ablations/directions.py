"""Where do directions come from, and who ranks them?

Answer: Of these a scorer's are the only ones that teach transfer; ranking helps SeFa's a little, and PCA's not at all.
Directions from videos (experiments/unlabelled_videos.py) come second.
"""

CONFIG = "faces64:demo,linear"


def points():
    yield "scorer", {}
    yield "scorer, hyperplanes", {"directions.method": "linear"}
    for source in ("sefa", "pca", "stylespace", "random"):
        yield source, {"directions.source": source}
    for source in ("sefa", "pca"):
        for rank in ("pictures", "scorer"):
            yield f"{source}, ranked by {rank}", {"directions.source": source, "directions.rank": rank}
