"""All that is measured on a trained model, in order."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import JudgedDomain
from disentangle_jax.evaluation import baselines
from disentangle_jax.evaluation.baselines import Method
from disentangle_jax.evaluation.held_out import HeldOut, MovingFaces, Pairs
from disentangle_jax.evaluation.probes import FitOptions, probe, probe_matrix
from disentangle_jax.evaluation.retrieval import same_face, same_motion
from disentangle_jax.evaluation.transfer import Exam, best_split, jitter_ratio
from disentangle_jax.scores import in_batches

COPIES = ("copy source", "copy driving")
LAYER_SWAP = "best layer swap"
LINEAR = "linear transfer"
OURS = "ours"
METHODS = (*COPIES, LAYER_SWAP, LINEAR, OURS)


def measure(
    model: Disentangler,
    domain: JudgedDomain | None,
    compare: Mapping[str, Disentangler],
    data: HeldOut,
    announce: Callable[[str], None],
) -> tuple[dict[str, Any], dict[str, Method]]:
    """Every metric as plain numbers, by section, and the methods that were compared.

    What needs a truth is left out where there is none: the transfer exam, the layer swap that is chosen by it, the
    linear readout.

    Args:
        model: the model under test; its `config.evaluation` holds the sizes.
        domain: the truth about the generator's pictures.
        compare: further models by name.
        data: what all are tested on.
        announce: is told what comes next.
    """
    plan, num_ws = model.config.evaluation, model.generator.num_ws
    metrics: dict[str, Any] = {}
    split = None
    if domain is not None:
        announce("choosing the layer split")
        split = best_split(Exam(domain, model.render, *data.selection, plan.batch_size), num_ws)
    methods = _methods(model, compare, split)
    if domain is not None:
        announce("expression transfer")
        exam = Exam(domain, model.render, *data.pairs, plan.batch_size)
        metrics["transfer"] = {"best_split": split, **_transfer(exam, methods, num_ws)}
        metrics["linearity"] = _linearity(data.crowd, domain, plan.seed, FitOptions.of(plan.probes))
    announce("motion transfer")
    metrics["motion"] = _motion(model, data, methods, domain)
    announce("probes")
    metrics["probes"] = _leakage(model, data.poses, domain)
    if data.mixed_poses is not None:
        metrics["probes"]["mixed_r2"] = _leakage(model, data.mixed_poses, domain)["r2"]
    announce("retrieval")
    metrics["retrieval"] = _retrieval(model, data.chorus)
    metrics["reconstruction"] = _reconstruction(model, data.pairs)
    return metrics, methods


def _methods(model: Disentangler, compare: Mapping[str, Disentangler], split: int | None) -> dict[str, Method]:
    return {
        **dict(zip(COPIES, (baselines.copy_source, baselines.copy_driving), strict=True)),
        **({} if split is None else {LAYER_SWAP: baselines.layer_swap(split)}),
        LINEAR: baselines.linear_transfer(model.directions),
        **{name: baselines.autoencoder(other) for name, other in compare.items()},
        OURS: baselines.autoencoder(model),
    }


def _transfer(exam: Exam, methods: Mapping[str, Method], num_ws: int) -> dict[str, Any]:
    """Marks of all methods, of an oracle and the exact pictures, which are the ceilings, and of every layer split."""
    marks = {name: exam.take(method)[1] for name, method in methods.items()}
    splits = {split: exam.take(baselines.layer_swap(split))[1] for split in range(1, num_ws)}
    splits = {0: marks[COPIES[0]], **splits, num_ws: marks[COPIES[1]]}
    return {
        "num_pairs": len(exam.source_ws),
        "methods": {name: mark.report() for name, mark in marks.items()},
        "oracle": exam.take(baselines.oracle(exam.domain.domain))[1].report(),
        "exact": exam.ceiling().report(),
        "generator_psnr": exam.generator_psnr(),
        "splits": {
            str(split): {"structure_r2": float(mark.structure.mean()), "appearance_r2": float(mark.appearance.mean())}
            for split, mark in splits.items()
        },
    }


def _linearity(ws: Float[Array, "n l d"], domain: JudgedDomain, seed: int, options: FitOptions) -> dict[str, float]:
    """R^2 of a ridge regression from latents to true factors: how much of the task a linear method could do at best."""
    factors, features, groups = domain.truth(ws), np.asarray(ws).reshape(len(ws), -1), np.arange(len(ws))

    def score(values: Array) -> float:
        return float(probe(features, np.asarray(values), groups, kind="ridge", seed=seed, options=options).mean())

    return {f"{name}_r2": score(values) for name, values in factors._asdict().items()}


def _motion(
    model: Disentangler, data: HeldOut, methods: Mapping[str, Method], domain: JudgedDomain | None
) -> dict[str, Any]:
    """Faces driven by clips, frame by frame: restlessness of the result, and marks where there is a truth."""
    driving_ws = data.drivings.ws
    n, num_frames, *_ = driving_ws.shape
    source_ws = data.sources.repeat(num_frames, axis=0)
    flat_ws = driving_ws.reshape(source_ws.shape)
    batch_size = model.config.evaluation.batch_size
    exam = Exam(domain, model.render, source_ws, flat_ws, batch_size) if domain is not None else None
    results = {}
    for name, method in methods.items():
        if exam is not None:
            output_ws, marks = exam.take(method)
            scores = {name: value for name, value in marks.report().items() if not name.endswith("_std")}
        else:
            output_ws, scores = in_batches(method, batch_size, source_ws, flat_ws), {}
        results[name] = {
            "jitter_ratio": jitter_ratio(output_ws.reshape(driving_ws.shape), np.asarray(driving_ws)),
            **scores,
        }
    return {"num_clips": n, "num_frames": num_frames, "methods": results}


def _leakage(model: Disentangler, clips: MovingFaces, domain: JudgedDomain | None) -> dict[str, Any]:
    """What each code, and the latent itself, tells about either kind of factor, by probes that are tested on new
    faces.
    """
    plan = model.config.evaluation
    n, num_frames, *_ = clips.ws.shape
    ws = clips.ws.reshape(n * num_frames, *clips.ws.shape[2:])
    codes = model.encode(ws)
    features = {
        "appearance code": codes.appearance,
        "structure code": codes.structure,
        "latent": ws.reshape(len(ws), -1),
    }
    if domain is not None:
        targets = domain.truth(ws)._asdict()
    else:
        targets = {
            "appearance": _components(clips.ws, plan.probes.components),
            "structure": clips.motion.reshape(n * num_frames, -1),
        }
    groups = np.repeat(np.arange(n), num_frames)
    features, targets = ({name: np.asarray(x) for name, x in table.items()} for table in (features, targets))
    scores = probe_matrix(features, targets, groups, plan.seed, FitOptions.of(plan.probes))
    return {"num_faces": n, "num_frames": num_frames, "r2": scores}


def _components(ws: Float[Array, "n t l d"], count: int) -> Float[np.ndarray, "m c"]:
    """The first principal components of the clips' mean latents, the same for every frame of a clip."""
    n, num_frames, *_ = ws.shape
    means = np.asarray(ws).mean(axis=1).reshape(n, -1)
    means = means - means.mean(axis=0, keepdims=True)
    u, s, _ = np.linalg.svd(means, full_matrices=False)
    return np.repeat((u * s)[:, :count], num_frames, axis=0)


def _retrieval(model: Disentangler, clips: MovingFaces) -> dict[str, Any]:
    """R@1 of faces by their appearance codes, of moments by their structure codes, and of both by the latents
    themselves.
    """
    codes, latents = model.encode(clips.ws), clips.ws.reshape(*clips.ws.shape[:2], -1)
    return {
        "num_faces": clips.ws.shape[0],
        "num_frames": clips.ws.shape[1],
        "same_face": {"appearance code": same_face(codes.appearance)._asdict(), "latent": same_face(latents)._asdict()},
        "same_motion": {
            "structure code": same_motion(codes.structure)._asdict(),
            "latent": same_motion(latents)._asdict(),
        },
    }


def _reconstruction(model: Disentangler, pairs: Pairs) -> dict[str, float]:
    """Share of the latents' variance that survives encoding and decoding."""
    ws = np.asarray(pairs.source_ws)
    rebuilt = np.asarray(model.decode(*model.encode(ws)))
    residual, total = (np.square(ws - other).sum() for other in (rebuilt, ws.mean(axis=0, keepdims=True)))
    return {"latent_r2": float(1 - residual / total)}
