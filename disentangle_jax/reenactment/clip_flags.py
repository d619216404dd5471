"""The flags on clips that `evaluate` is given, and their values."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from disentangle_jax.configs import transfer
from disentangle_jax.evaluation.given_clips import LEAST_FRAMES
from disentangle_jax.inversion import METHODS, encoders, portraits
from disentangle_jax.inversion.opening import FRAMES
from disentangle_jax.reenactment import inputs, rules
from stylegan2_flax import files

KINDS = "a video, an animation such as a GIF, frames:FOLDER, a latent file [frames, l, d], or clip:N"

MOST_FRAMES = 256
"""Frames of a clip that are looked at if nothing else is said: 10 seconds of a video."""


class ClipOptions(NamedTuple):
    """Clips and how they become latents; the values of flags of these names, None where nothing is said.

    Attributes:
        clip: as --driving of a transfer.
        clip_frames: frames of a clip that are looked at, at most.
        align, method: as of a transfer.
        space: of the latents, "w" or "w+".
        steps: of optimisation.
        encoder: as of a transfer.
    """

    clip: Sequence[str] = ()
    clip_frames: int | None = None
    align: str | None = None
    method: str | None = None
    space: str | None = None
    steps: int | None = None
    encoder: str | None = None

    @property
    def most(self) -> int:
        """Frames of a clip that are looked at, at most."""
        return self.clip_frames or MOST_FRAMES

    def check(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            ValueError: flags are given that are for clips, and no clip; a clip is given twice, or is a URL.
        """
        if not self.clip and (said := self.said()):
            raise ValueError(f"--{next(iter(said))} says how clips are read: give one too, with --clip=FILE")
        for name in self.clip:
            files.local_path(name, "--clip")
        if twice := [name for name, count in Counter(map(_absolute, self.clip)).items() if count > 1]:
            raise ValueError(f"--clip={twice[0]} is given twice: each clip is driven by all others anyway")

    def reading(self, face_finder: str = portraits.DLIB) -> inputs.Reading:
        """How they become latents. Raises ValueError if an option is invalid."""
        config: ConfigDict = transfer.get_config()
        steps = {f"{phase}.steps": self.steps for phase in ("optimise", "refine")}
        said = {name: value for name, value in {"space": self.space, **steps}.items() if value is not None}
        config.inversion.update_from_flattened_dict(said)
        rules.check(config)
        align, method = self.align or "auto", self.method or "auto"
        return inputs.Reading(config, align=align, face_finder=face_finder, method=method, encoder=self.encoder)

    def said(self) -> dict[str, Any]:
        """The flags that are given, but for the clips."""
        return {name: value for name, value in self._asdict().items() if name != "clip" and value is not None}

    def arguments(self) -> list[str]:
        """The flags as they are written, with paths that hold in any folder."""
        said = self.said()
        if self.encoder:
            said["encoder"] = encoders.absolute(self.encoder)
        return [f"--clip={_absolute(name)}" for name in self.clip] + [f"--{k}={v}" for k, v in said.items()]


NO_CLIPS = ClipOptions()


def define(flag_values: flags.FlagValues) -> None:
    """Define the flags of `ClipOptions`."""
    text = f"a clip of yours to measure on as well: {KINDS}; may be given several times"
    flags.DEFINE_multi_string("clip", [], text, flag_values=flag_values)
    text = f"frames of a --clip that are looked at, at most (if not said: {MOST_FRAMES})"
    flags.DEFINE_integer("clip_frames", None, text, lower_bound=LEAST_FRAMES, flag_values=flag_values)
    text = "what of a --clip is inverted, as in transfer (if not said: auto)"
    flags.DEFINE_enum("align", None, portraits.ALIGN, text, flag_values=flag_values)
    text = "how a --clip is inverted, as in transfer (if not said: auto)"
    flags.DEFINE_enum("method", None, METHODS, text, flag_values=flag_values)
    text = "what a --clip is inverted into (if not said: w+)"
    flags.DEFINE_enum("space", None, ["w", "w+"], text, flag_values=flag_values)
    text = "of optimisation when a --clip is inverted (if not said: 100 from an encoder's latents, else 1000)"
    flags.DEFINE_integer("steps", None, text, lower_bound=1, flag_values=flag_values)
    encoders.define_flag(flag_values)


def options(flag_values: flags.FlagValues) -> ClipOptions:
    """The values of the flags."""
    return ClipOptions._make(flag_values[name].value for name in ClipOptions._fields)


def _absolute(name: str) -> str:
    """What stands for the same clip in any folder."""
    if inputs.parse_seed(name):
        return name
    is_folder = name.startswith(FRAMES)
    path = files.absolute(name.removeprefix(FRAMES))
    return FRAMES + path if is_folder else path
