"""Everything that is measured of a trained model, in order."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from sklearn.metrics import r2_score

from disentangle_jax.batching import in_batches
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain
from disentangle_jax.evaluation import baselines
from disentangle_jax.evaluation.baselines import Method
from disentangle_jax.evaluation.held_out import HeldOut, HeldOutClips, Pairs
from disentangle_jax.evaluation.probes import ProbeOptions, probe, probe_matrix
from disentangle_jax.evaluation.proxies import Instruments
from disentangle_jax.evaluation.reenactment import Stage, summarise, validity
from disentangle_jax.evaluation.retrieval import same_face, same_motion
from disentangle_jax.evaluation.seeds import over_seeds
from disentangle_jax.evaluation.transfer import TransferTask, best_split, jitter_ratio

COPY_SOURCE = "copy source"
COPY_DRIVING = "copy driving"
COPIES = (COPY_SOURCE, COPY_DRIVING)
LAYER_SWAP = "best layer swap"
LINEAR = "linear transfer"
SEARCH = "search on the readout"
OURS = "ours"
METHODS = (*COPIES, LAYER_SWAP, LINEAR, SEARCH, OURS)


def measure(
    model: Disentangler,
    domain: JudgedDomain | None,
    compare: Mapping[str, Disentangler],
    data: HeldOut,
    on_stage: Callable[[str], None],
    instruments: Instruments | None = None,
    seeds: Sequence[Disentangler] = (),
) -> tuple[dict[str, Any], dict[str, Method]]:
    """Measure everything.

    Without a domain, what needs the truth is left out: scores of transfer, the layer swap that is chosen by them, and
    the linear readout.

    Args:
        model: the model under test; its `config.evaluation` holds the sizes.
        domain: the truth about the generator's images, if there is one.
        compare: further models by name.
        data: what all of them are tested on.
        on_stage: called with the name of each stage before it begins.
        instruments: what driven clips are looked at with, beside pixels.
        seeds: models of the same experiment with other seeds.

    Returns:
        All metrics as plain numbers, by section, and the methods that were compared, by name.
    """
    options = model.config.evaluation
    metrics: dict[str, Any] = {}
    if domain is None:
        methods = _methods(model, compare, split=None)
    else:
        on_stage("choosing the layer split")
        num_ws = model.generator.num_ws
        split = best_split(TransferTask(domain, model.render, *data.selection_pairs, options.batch_size), num_ws)
        methods = _methods(model, compare, split)
        on_stage("transfer")
        task = TransferTask(domain, model.render, *data.pairs, options.batch_size)
        metrics["transfer"] = {"best_split": split, **_transfer(task, methods, num_ws)}
        metrics["linearity"] = _linearity(data.readout_ws, domain, options.seed, ProbeOptions.of(options.probes))
    on_stage("motion transfer")
    metrics["motion"] = _motion(model, data, methods, domain)
    on_stage("reenactment")
    metrics["reenactment"] = _reenactment(model, data, methods, domain, instruments or Instruments())
    on_stage("probes and retrieval")
    metrics |= _codes(model, domain, data)
    if seeds:
        own = {**metrics, "transfer": metrics["transfer"]["methods"][OURS]} if domain else metrics
        measured = [own]
        for number, other in enumerate(seeds, 2):
            on_stage(f"seed {number} of {1 + len(seeds)}")
            measured.append(measure_alone(other, domain, data))
        metrics["seeds"] = over_seeds(measured)
    return metrics, methods


def measure_alone(model: Disentangler, domain: JudgedDomain | None, data: HeldOut) -> dict[str, Any]:
    """What is measured of a model by itself: its own scores of transfer if there is a domain, and its codes."""
    codes = _codes(model, domain, data)
    if domain is None:
        return codes
    task = TransferTask(domain, model.render, *data.pairs, model.config.evaluation.batch_size)
    return {"transfer": task.run(baselines.autoencoder(model))[1].report(), **codes}


def _codes(model: Disentangler, domain: JudgedDomain | None, data: HeldOut) -> dict[str, Any]:
    """What the codes tell, of faces of W and of mixed ones, and how well they rebuild latents."""
    probes = _leakage(model, data.probe_clips, domain)
    if data.mixed_probe_clips is not None:
        probes["mixed_r2"] = _leakage(model, data.mixed_probe_clips, domain)["r2"]
    return {
        "probes": probes,
        "retrieval": _retrieval(model, data.retrieval_clips, domain),
        "reconstruction": _reconstruction(model, data.pairs),
    }


def _methods(model: Disentangler, compare: Mapping[str, Disentangler], split: int | None) -> dict[str, Method]:
    swap = {} if split is None else {LAYER_SWAP: baselines.layer_swap(split)}
    search = {} if model.readout is None else {SEARCH: baselines.readout_search(model.directions, model.readout)}
    return {
        COPY_SOURCE: baselines.copy_source,
        COPY_DRIVING: baselines.copy_driving,
        **swap,
        LINEAR: baselines.linear_transfer(model.directions),
        **search,
        **{name: baselines.autoencoder(other) for name, other in compare.items()},
        OURS: baselines.autoencoder(model),
    }


def _transfer(task: TransferTask, methods: Mapping[str, Method], num_ws: int) -> dict[str, Any]:
    """Scores of all methods, of two ceilings (the oracle and the exact images), and of every layer split."""
    scores = {name: task.run(method)[1] for name, method in methods.items()}
    inner_splits = {split: task.run(baselines.layer_swap(split))[1] for split in range(1, num_ws)}
    splits = {0: scores[COPY_SOURCE], **inner_splits, num_ws: scores[COPY_DRIVING]}
    return {
        "num_pairs": len(task.source_ws),
        "methods": {name: score.report() for name, score in scores.items()},
        "oracle": task.run(baselines.oracle(task.domain.domain))[1].report(),
        "exact": task.ceiling().report(),
        "generator_psnr": task.generator_psnr(),
        "splits": {
            str(split): {"structure_r2": float(score.structure.mean()), "appearance_r2": float(score.appearance.mean())}
            for split, score in splits.items()
        },
    }


def _linearity(ws: Float[Array, "n l d"], domain: JudgedDomain, seed: int, options: ProbeOptions) -> dict[str, float]:
    """R^2 of a ridge regression from latents to true factors, which bounds what a linear method can do."""
    features = np.asarray(ws).reshape(len(ws), -1)
    groups = np.arange(len(ws))

    def score(values: Array) -> float:
        return float(probe(features, np.asarray(values), groups, kind="ridge", seed=seed, options=options).mean())

    return {f"{kind}_r2": score(values) for kind, values in domain.truth(ws)._asdict().items()}


def _motion(
    model: Disentangler, data: HeldOut, methods: Mapping[str, Method], domain: JudgedDomain | None
) -> dict[str, Any]:
    """Sources driven by clips, frame by frame: jitter of the outputs, and their transfer scores where they exist."""
    driving_ws = data.motion_drivings.ws
    n, num_frames, *_ = driving_ws.shape
    source_frames = data.motion_sources.repeat(num_frames, axis=0)
    driving_frames = driving_ws.reshape(source_frames.shape)
    batch_size = model.config.evaluation.batch_size
    task = None if domain is None else TransferTask(domain, model.render, source_frames, driving_frames, batch_size)

    def scores(method: Method) -> dict[str, Any]:
        if task is None:
            output_ws, report = in_batches(method, batch_size, source_frames, driving_frames), {}
        else:
            output_ws, transfer_scores = task.run(method)
            report = {name: x for name, x in transfer_scores.report().items() if not name.endswith("_std")}
        return {"jitter_ratio": jitter_ratio(output_ws.reshape(driving_ws.shape), np.asarray(driving_ws)), **report}

    return {
        "num_clips": n,
        "num_frames": num_frames,
        "methods": {name: scores(method) for name, method in methods.items()},
    }


def _reenactment(
    model: Disentangler,
    data: HeldOut,
    methods: Mapping[str, Method],
    domain: JudgedDomain | None,
    instruments: Instruments,
) -> dict[str, Any]:
    """What the pictures alone tell of driven clips, and, where the domain is known, what that is worth."""
    batch_size = model.config.evaluation.batch_size
    reader = instruments.of(domain, batch_size).reader
    proxies = reader.proxies if reader else {}
    shown = slice(instruments.num_clips)
    source_ws, driving_ws = data.motion_sources[shown], data.motion_drivings.ws[shown]
    stage = Stage(model.render, reader, instruments.distance, domain, batch_size)
    found = stage.measure(source_ws, driving_ws, methods)
    summaries = {
        protocol: {name: summarise(measures, proxies, protocol) for name, measures in by_method.items()}
        for protocol, by_method in found.items()
    }
    del summaries["self"][COPY_DRIVING]  # which is the answer itself
    contenders = [name for name in methods if name not in COPIES]
    return {
        "num_clips": len(source_ws),
        "proxies": {name: proxy.record() for name, proxy in proxies.items()},
        **summaries,
        **({} if domain is None else {"validity": validity(found, proxies, contenders, OURS)}),
    }


def _leakage(model: Disentangler, clips: HeldOutClips, domain: JudgedDomain | None) -> dict[str, Any]:
    """R^2 of probes from each code, and from the latent itself, to both kinds of factors, on held-out faces.

    Without a domain, the motion stands for the structure factors, and principal components of the clips' mean latents
    for the appearance factors.
    """
    options = model.config.evaluation
    n, num_frames, *_ = clips.ws.shape
    ws = clips.ws.reshape(n * num_frames, *clips.ws.shape[2:])
    codes = model.encode(ws)
    features = {
        "appearance code": np.asarray(codes.appearance),
        "structure code": np.asarray(codes.structure),
        "latent": np.asarray(ws).reshape(len(ws), -1),
    }
    if domain is None:
        targets = {
            "appearance": _components(clips.ws, options.probes.components),
            "structure": np.asarray(clips.motion).reshape(n * num_frames, -1),
        }
    else:
        targets = {kind: np.asarray(values) for kind, values in domain.truth(ws)._asdict().items()}
    groups = np.repeat(np.arange(n), num_frames)
    scores = probe_matrix(features, targets, groups, options.seed, ProbeOptions.of(options.probes))
    return {"num_faces": n, "num_frames": num_frames, "r2": scores}


def _components(ws: Float[Array, "n t l d"], count: int) -> Float[np.ndarray, "m c"]:
    """The first principal components of the clips' mean latents, repeated for every frame of a clip."""
    n, num_frames, *_ = ws.shape
    means = np.asarray(ws).mean(axis=1).reshape(n, -1)
    means = means - means.mean(axis=0, keepdims=True)
    u, s, _ = np.linalg.svd(means, full_matrices=False)
    return np.repeat((u * s)[:, :count], num_frames, axis=0)


def _retrieval(model: Disentangler, clips: HeldOutClips, domain: JudgedDomain | None) -> dict[str, Any]:
    """R@1 of faces by the appearance code, and of moments by the structure code.

    Beside them those of the latent itself, of the readout that moved the training's clips, and of the true factors:
    clips show what latents can, so that these need not find all.
    """
    codes = model.encode(clips.ws)
    latents = clips.ws.reshape(*clips.ws.shape[:2], -1)
    faces = {"appearance code": codes.appearance, "latent": latents}
    moments = {"structure code": codes.structure, "latent": latents}
    if model.readout is not None:
        moments["latent readout"] = model.readout.read_structure(clips.ws)
    if domain is not None:
        truth = domain.truth(clips.ws)
        faces["true factors"], moments["true factors"] = jnp.asarray(truth.appearance), jnp.asarray(truth.structure)
    return {
        "num_faces": clips.ws.shape[0],
        "num_frames": clips.ws.shape[1],
        "same_face": {name: same_face(found)._asdict() for name, found in faces.items()},
        "same_motion": {name: same_motion(found)._asdict() for name, found in moments.items()},
    }


def _reconstruction(model: Disentangler, pairs: Pairs) -> dict[str, float]:
    """Share of the sources' variance that survives encoding and decoding."""
    ws = np.asarray(pairs.source_ws).reshape(len(pairs.source_ws), -1)
    rebuilt = np.asarray(model.decode(*model.encode(pairs.source_ws))).reshape(ws.shape)
    return {"latent_r2": float(r2_score(ws, rebuilt, multioutput="variance_weighted"))}
