"""Clips that the user gives, judged as the held-out ones of `reenactment` are.

Self-driven results are compared with the footage itself and with what the generator makes of its latents: the former
has the costs of the inversion and of the model in it, the latter those of the model alone. Cross-driven, the first
frame of each clip is driven by every other clip.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, permutations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from disentangle_jax.evaluation.baselines import Method
from disentangle_jax.evaluation.proxies import Instruments, Proxy
from disentangle_jax.evaluation.reenactment import CROSS, SELF, Measures, Seen, Stage, summarise
from disentangle_jax.evaluation.suite import COPY_DRIVING
from disentangle_jax.evaluation.transfer import Render, jitter_ratio

FOOTAGE, INVERTED = "footage", "inverted"
"""What self-driven results are compared with."""

LATENT_JITTER = "latent_jitter_ratio"
LEAST_FRAMES = 3
"""Frames that a clip needs to have a jitter."""

Row = dict[str, float | None]
"""Means of one method by measure; None where there was nothing to read."""


class GivenClip(NamedTuple):
    """A clip of the user's, inverted.

    Attributes:
        name: what it is called in the results.
        ws: its latents, of `LEAST_FRAMES` frames at least.
        render: the generator that draws them, ws [n, l, d] -> images [n, h, w, c].
        footage: gives its pictures in [-1, 1], one by one; None of latents that did not come from pictures.
        total: about how many frames it has if only the first of them are here; 0 if that is unknown, None if all are.
    """

    name: str
    ws: Float[np.ndarray, "t l d"]
    render: Render
    footage: Callable[[], Iterator[Float[np.ndarray, "h w c"]]] | None
    total: int | None = None


def measure_clips(
    clips: Sequence[GivenClip],
    methods: Mapping[str, Method],
    instruments: Instruments,
    batch_size: int,
    on_stage: Callable[[str], None],
) -> dict[str, Any]:
    """Measure clips. A batch of pictures is in memory at a time, however long they are.

    Args:
        clips: at least one. Their names differ.
        methods: what is compared, with `COPY_DRIVING`, which shows what inversion alone costs.
        instruments: what reads the pictures, and the perceptual distance.
        batch_size: pictures rendered at a time.
        on_stage: called with the name of each stage before it begins.

    Returns:
        Plain numbers: what there is of each clip and of each pair, and means in which every clip or pair counts alike.
        "inversion" and "self"/`FOOTAGE` are of clips with footage, "cross" needs two clips.
    """
    bench = _Bench(methods, instruments, min(batch_size, max(len(clip.ws) for clip in clips)))
    records, readings, pairs = {}, {}, []
    for clip in clips:
        on_stage(f"{clip.name}, driven by itself")
        records[clip.name], readings[clip.name] = bench.self_driven(clip)
    if len(clips) > 1:
        on_stage(f"the first frames of {len(clips)} clips, each driven by the other clips")
    for source, driving in permutations(clips, 2):
        rows = bench.cross_driven(source, driving, readings[source.name], readings[driving.name])
        pairs.append({"source": source.name, "driving": driving.name, "methods": rows})
    inversions = [record["inversion"] for record in records.values() if "inversion" in record]
    driven: dict[str, list[dict[str, Row]]] = defaultdict(list)
    for record in records.values():
        for against, rows in record["self"].items():
            driven[against].append(rows)
    return {
        "num_clips": len(clips),
        "proxies": {name: proxy.record() for name, proxy in bench.proxies.items()},
        "clips": records,
        **({"inversion": _mean_inversion(inversions)} if inversions else {}),
        "self": {against: _mean_rows(rows) for against, rows in driven.items()},
        **({"cross": _mean_rows([pair["methods"] for pair in pairs]), "pairs": pairs} if pairs else {}),
    }


class _Bench:
    """Measures one clip or one pair after the other with the same instruments."""

    def __init__(self, methods: Mapping[str, Method], instruments: Instruments, batch_size: int):
        self._methods, self._instruments, self._batch_size = methods, instruments, batch_size
        self.proxies: Mapping[str, Proxy] = instruments.reader.proxies if instruments.reader else {}

    def self_driven(self, clip: GivenClip) -> tuple[dict[str, Any], Seen]:
        """The record of a clip, and the readings of its footage, or of its latents where there is none."""
        stage, ws = self._stage(clip), clip.ws[None]
        answers: dict[str, list[Seen]] = defaultdict(list)
        results: dict[str, list[Seen]] = defaultdict(list)
        pixels: dict[tuple[str, str], list[Measures]] = defaultdict(list)
        footage = clip.footage() if clip.footage else None
        for rows in self._batches(ws):
            seen, drawn = stage.look(ws[:, rows])
            shown = {INVERTED: drawn}
            answers[INVERTED].append(seen)
            if footage is not None:
                shown = {FOOTAGE: np.stack(list(islice(footage, drawn.shape[1])))[None], **shown}
                answers[FOOTAGE].append(stage.read(ws[:, rows], shown[FOOTAGE]))
            for name, method in self._methods.items():
                result, images = stage.look(stage.drive(method, ws[:, :1], ws[:, rows]))
                results[name].append(result)
                for against, wanted in shown.items():
                    pixels[against, name].append(stage.pixels(images, wanted))
        whole = {against: _joined(answers[against]) for against in (FOOTAGE, INVERTED) if against in answers}
        rows_of: dict[str, dict[str, Row]] = {against: {} for against in whole}
        driven = {name: _joined(parts) for name, parts in results.items()}
        for (against, name), parts in pixels.items():
            answer = whole[against]
            rows_of[against][name] = self._row(stage, driven[name], answer, answer, SELF, _in_time(parts))
        del rows_of[INVERTED][COPY_DRIVING]  # which is the answer itself
        record = {"num_frames": len(clip.ws), **({} if clip.total is None else {"cut_from": clip.total or None})}
        if FOOTAGE in whole:
            record["inversion"] = _inversion(_in_time(pixels[FOOTAGE, COPY_DRIVING]))
        return record | {"self": rows_of}, whole.get(FOOTAGE, whole[INVERTED])

    def cross_driven(self, source: GivenClip, driving: GivenClip, face: Seen, moves: Seen) -> dict[str, Row]:
        """The rows of all methods; `face` and `moves` are the readings of the two clips."""
        stage, driving_ws, rows = self._stage(source), driving.ws[None], {}
        for name, method in self._methods.items():
            ws = stage.drive(method, source.ws[None, :1], driving_ws)
            seen = Seen(ws, {})
            if self.proxies:
                seen = _joined([stage.look(ws[:, batch])[0] for batch in self._batches(ws)])
            rows[name] = self._row(stage, seen, face, moves, CROSS, {})
        return rows

    def _row(self, stage: Stage, result: Seen, source: Seen, driving: Seen, protocol: str, pixels: Measures) -> Row:
        measures = stage.distances(result, source.part(slice(None), slice(1)), driving) | pixels
        return summarise(measures, self.proxies, protocol) | {LATENT_JITTER: _latent_jitter(result.ws, driving.ws)}

    def _stage(self, clip: GivenClip) -> Stage:
        """The clip's own generator draws what becomes of its face."""
        return Stage(clip.render, self._instruments.reader, self._instruments.distance, None, self._batch_size)

    def _batches(self, ws: Float[np.ndarray, "1 t l d"]) -> Iterator[slice]:
        for start in range(0, ws.shape[1], self._batch_size):
            yield slice(start, start + self._batch_size)


def _joined(parts: Sequence[Seen]) -> Seen:
    """Parts of a clip, in order. Readings in which nothing was found may be narrower than others."""
    readings = {}
    for name in parts[0].readings:
        values = [part.readings[name] for part in parts]
        width = max(value.shape[-1] for value in values)
        readings[name] = np.concatenate([np.broadcast_to(x, (*x.shape[:-1], width)) for x in values], axis=1)
    return Seen(np.concatenate([part.ws for part in parts], axis=1), readings)


def _in_time(parts: Sequence[Mapping[str, Float[np.ndarray, "n _"]]]) -> Measures:
    """Measures of parts of a clip, in order."""
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _inversion(pixels: Measures) -> dict[str, Any]:
    """Means over all frames, and the worst of them."""
    worst = int(pixels["psnr"].argmin())
    means = {name: float(values.mean()) for name, values in pixels.items()}
    return means | {"psnr_worst": float(pixels["psnr"].min()), "worst_frame": worst}


def _latent_jitter(result: Float[np.ndarray, "1 t l d"], driving: Float[np.ndarray, "1 t l d"]) -> float | None:
    """`jitter_ratio`; None if the driving stands still or moves evenly."""
    return jitter_ratio(result, driving) if np.diff(driving, n=2, axis=1).any() else None


def _mean_inversion(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over clips, and the worst frame of all."""
    names = [name for name in records[0] if name not in ("psnr_worst", "worst_frame")]
    means = {name: float(np.mean([record[name] for record in records])) for name in names}
    return means | {"psnr_worst": min(record["psnr_worst"] for record in records)}


def _mean_rows(rows: Sequence[Mapping[str, Row]]) -> dict[str, Row]:
    """Means over clips or pairs of what is known, by method."""

    def mean(method: str, measure: str) -> float | None:
        known = [value for row in rows if (value := row[method][measure]) is not None]
        return float(np.mean(known)) if known else None

    return {method: {measure: mean(method, measure) for measure in row} for method, row in rows[0].items()}
