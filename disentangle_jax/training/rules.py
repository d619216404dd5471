"""Validation of the config of an experiment, as far as possible without its generator."""

import math
from functools import partial

from ml_collections import ConfigDict

from disentangle_jax.clips.config import COORDINATES, LAYERS, MOTIONS
from disentangle_jax.clips.streams import SOURCES
from disentangle_jax.configs import faces64
from disentangle_jax.model.autoencoder import INPUT_SPACES
from disentangle_jax.model.contrast_forms import FORMS
from disentangle_jax.model.losses import NEGATIVES
from disentangle_jax.training import optimizer
from disentangle_jax.training.objective import CONTRASTS
from stylegan2_flax.run import config_rules
from stylegan2_flax.run.config_rules import Rule, at_least, between, finite, flag, one_of, positive, seed

_COUNT, _SHARE, _SIZE = at_least(1), between(0, 1), positive(or_zero=True)
_LEAST_FACES = 8  # of each kind that a readout is fitted to

RULES = config_rules.TRAIN | {
    "generator": Rule(lambda value: isinstance(value, str) and value != "", "a generator's name, path or URL"),
    "train.batch_size": _COUNT,
    "train.accumulate": _COUNT,
    "optimizer.name": one_of(*optimizer.NAMES),
    "optimizer.learning_rate": positive(),
    "optimizer.warmup_steps": at_least(0),
    "optimizer.b1": between(0, 1, without_high=True),
    "optimizer.b2": between(0, 1, without_high=True),
    "optimizer.weight_decay": _SIZE,
    "optimizer.clip_norm": positive(),
    "optimizer.ema_decay": between(0, 1, without_high=True),
    "model.appearance_dim": _COUNT,
    "model.structure_dim": _COUNT,
    "model.embed_dim": _COUNT,
    "model.width": _COUNT,
    "model.num_blocks": at_least(0),
    "model.dtype": one_of("float32", "bfloat16"),
    "model.input_space": one_of(*INPUT_SPACES),
    "model.learn_temperature": flag(),
    **{f"loss.weights.{name}": _SIZE for name in faces64.get_config().loss.weights},
    "loss.least_temperature": positive(),
    "loss.appearance_contrast.temperature": positive(),
    "loss.appearance_contrast.form": one_of(*FORMS),
    "loss.appearance_contrast.block_size": at_least(0),
    "loss.structure_contrast.temperature": positive(),
    "loss.structure_contrast.form": one_of(*FORMS),
    "loss.structure_contrast.block_size": at_least(0),
    "loss.structure_contrast.negatives": one_of(*NEGATIVES),
    "loss.structure_contrast.min_gap": _SIZE,
    "clips.length": at_least(2),
    "clips.num_frames": at_least(2),
    "clips.tau": positive(),
    "clips.amplitude": _SIZE,
    "clips.bound": positive(),
    "clips.coordinates": one_of(*COORDINATES),
    "clips.motion": one_of(*MOTIONS),
    "clips.jitter": _SIZE,
    "clips.layers": one_of(*LAYERS),
    "clips.truncation_psi": finite(),
    "clips.change_face": _SHARE,
    "clips.mix_layers": _SHARE,
    "clips.style_mixing": _SHARE,
    "clips.num_identities": at_least(0),
    "clips.noise": _SIZE,
    "clips.appearance": _SIZE,
    "clips.stats_samples": at_least(2),
    "directions.layers": Rule(
        lambda value: len(value) == 2 and all(isinstance(i, int) for i in value), "(first, last)"
    ),
    "directions.num_samples": at_least(2),
    "directions.pca_samples": at_least(2),
    "directions.ridge": positive(),
    "directions.tail": Rule(lambda value: 0 < value <= 0.5, "above 0, and 0.5 at most"),
    "directions.orthogonalise": flag(),
    "directions.least_change": positive(),
    "directions.style_mixing": _SHARE,
    "directions.num": _COUNT,
    "directions.candidates": _COUNT,
    "directions.rank_faces": at_least(2),
    "readout.source": Rule(lambda value: isinstance(value, str) and value != "", "scorer, or a readout.safetensors"),
    "readout.num_samples": at_least(16),
    "readout.posed": between(0, 1, without_high=True),
    "readout.style_mixing": _SHARE,
    "readout.num_moved": at_least(2),
    "readout.hidden": _COUNT,
    "readout.num_steps": _COUNT,
    "readout.batch_size": _COUNT,
    "readout.learning_rate": positive(),
    "readout.weight_decay": _SIZE,
    "readout.test_share": between(0, 1, without_high=True),
    "readout.restraint": positive(),
    "purify.steps": at_least(0),
    "purify.damping": positive(),
    "purify.num_faces": at_least(2),
    "data.source": one_of(*SOURCES),
    "data.tile": _COUNT,
    "data.threads": _COUNT,
    "data.prefetch": _COUNT,
    "data.clips_per_shard": _COUNT,
    "evaluation.seed": seed(),
    "evaluation.batch_size": _COUNT,
    "evaluation.num_pairs": at_least(2),
    "evaluation.num_selection_pairs": at_least(2),
    "evaluation.num_readout_faces": at_least(2),
    "evaluation.motion.num_clips": at_least(2),  # of one the appearance does not vary
    "evaluation.motion.num_frames": at_least(3),  # for the jitter
    "evaluation.motion.factor_amplitude": between(0, 1),
    "evaluation.motion.direction_amplitude": positive(),
    "evaluation.probes.num_faces": _COUNT,
    "evaluation.probes.num_frames": _COUNT,
    "evaluation.probes.test_share": between(0, 1, without_high=True),
    "evaluation.probes.folds": at_least(2),
    "evaluation.probes.components": _COUNT,
    "evaluation.probes.hidden": _COUNT,
    "evaluation.probes.max_epochs": _COUNT,
    "evaluation.probes.patience": _COUNT,
    "evaluation.retrieval.num_faces": at_least(2),
    "evaluation.retrieval.num_frames": at_least(2),
    "evaluation.pictures.*": _COUNT,
}


def _check_block_size(contrast: str, config: ConfigDict) -> str | None:
    size = config.loss[contrast].block_size
    frames = config.train.batch_size // config.train.accumulate * config.clips.num_frames
    embeddings = frames if contrast == "appearance_contrast" else 2 * frames
    if size == 0 or embeddings % size == 0:
        return None
    return f"loss.{contrast}.block_size ({size}) must divide the {embeddings} embeddings of a (part of a) batch"


def _check_other_clips(config: ConfigDict) -> str | None:
    """Contrasts with frames of other clips, and the ratio of appearance, need some."""
    if config.train.batch_size // config.train.accumulate != 1:
        return None
    if config.loss.weights.appearance_ratio > 0:
        return (
            "one clip in a (part of a) batch has no variance but its own, to which loss.appearance_ratio could be "
            "relative: raise train.batch_size, lower train.accumulate, or set loss.weights.appearance_ratio=0"
        )
    for name in CONTRASTS:
        has_own = name == "structure_contrast" and config.loss[name].negatives != "batch"
        if config.loss.weights[name] > 0 and not has_own:
            return (
                f"one clip in a (part of a) batch leaves loss.{name} no negatives, which are frames of other clips: "
                f"raise train.batch_size, lower train.accumulate, or set loss.weights.{name}=0"
            )
    return None


def _check_posed(config: ConfigDict) -> str | None:
    """Either fit of the readout needs some faces."""
    count = config.readout.num_samples
    posed = round(config.readout.posed * count)
    if posed == 0 or min(posed, count - posed) >= _LEAST_FACES:
        return None
    return (
        f"readout.posed={config.readout.posed:g} poses {posed} of {count} faces and leaves {count - posed}, but it "
        f"takes at least {_LEAST_FACES} of each kind, or none posed: change it, or raise readout.num_samples"
    )


def _check_probe_split(config: ConfigDict) -> str | None:
    """The probes need at least two faces to fit to and two to be tested on; the linear readout as well."""
    share = config.evaluation.probes.test_share
    for name, count in (
        ("evaluation.probes.num_faces", config.evaluation.probes.num_faces),
        ("evaluation.num_readout_faces", config.evaluation.num_readout_faces),
    ):
        tested = math.ceil(share * count)
        if not 2 <= tested <= count - 2:
            return (
                f"{name} ({count}) leaves {tested} faces for testing and {count - tested} for fitting, of which at "
                f"least 2 each are needed: raise it, or change evaluation.probes.test_share ({share:g})"
            )
    return None


BLOCKS = tuple(partial(_check_block_size, contrast) for contrast in CONTRASTS)


def check(config: ConfigDict) -> None:
    """Check all fields.

    Raises:
        ValueError: fields are missing, invalid or contradict each other; the message names all of them.
    """
    config_rules.check(
        config, RULES, config_rules.warmup, *BLOCKS, _check_other_clips, _check_posed, _check_probe_split
    )
    config_rules.check_known(config, [*config_rules.names(faces64.get_config()), "generator_digest"])


def check_objective(config: ConfigDict) -> None:
    """Raise ValueError if a loss with a weight lacks what it looks through; only a training needs to know."""
    if config.loss.weights.factors > 0 and config.clips.motion != "readout":
        raise ValueError(
            f"loss.weights.factors={config.loss.weights.factors:g} needs a latent readout, which clips.motion="
            f"{config.clips.motion!r} has not: set loss.weights.factors=0, or clips.motion='readout'"
        )


def identity_leak(config: ConfigDict) -> str | None:
    """Why the structure code would learn identity, if it would; see `tests/clips/test_leaks.py`."""
    share, contrast = config.clips.change_face, config.loss.structure_contrast
    if share == 1 or contrast.negatives == "clip" or config.loss.weights.structure_contrast == 0:
        return None
    return (
        f"with clips.change_face={share:g} an augmented frame may keep looks of its face, which tell it from frames of "
        "other clips, so the structure code learns them: set loss.structure_contrast.negatives=clip, or "
        "clips.change_face=1"
    )


def taught_by_judge(config: ConfigDict) -> str | None:
    """Why the judge of the evaluation would flatter the model, if it would: because it taught it."""
    judge, uses = config.evaluation.judge, [config.directions.source, config.directions.rank]
    if config.clips.motion == "readout":
        uses.append(config.readout.source)
    if config.clips.appearance > 0:
        uses.append(config.clips.appearance_from)
    if config.purify.steps > 0:
        uses.append("scorer")  # clips are corrected along its directions
    if config.directions.scorer == judge and "scorer" in uses:
        teacher = "directions.scorer"
    elif config.purify.scorer == judge and config.purify.steps > 0:
        teacher = "purify.scorer"
    else:
        return None
    return f"evaluation.judge and {teacher} are both {judge}, which flatters the model: let another network judge"


def check_evaluation(config: ConfigDict) -> None:
    """Check the section `evaluation` only.

    Raises:
        ValueError: see `check`.
    """
    own = {name: rule for name, rule in RULES.items() if name.startswith("evaluation.")}
    config_rules.check(config, own, _check_probe_split)
