"""Where do directions come from, and who ranks them?"""

CONFIG = "faces64:small,linear"


def points():
    yield "scorer", {}
    yield "scorer, hyperplanes", {"directions.method": "linear"}
    for source in ("sefa", "pca", "stylespace", "random"):
        yield source, {"directions.source": source}
    for source in ("sefa", "pca"):
        for rank in ("pictures", "scorer"):
            yield f"{source}, ranked by {rank}", {"directions.source": source, "directions.rank": rank}
