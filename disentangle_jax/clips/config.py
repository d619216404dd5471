"""How clips are made: the section `clips` of a config as a hashable record."""

import math
from typing import NamedTuple

from ml_collections import ConfigDict

from disentangle_jax.clips import trajectories

COORDINATES = ("absolute", "offset")
MOTIONS = ("linear", "readout")
LAYERS = ("together", "each")


class ClipConfig(NamedTuple):
    """How clips are made; the fields are those of `config.clips`."""

    length: int  # frames of a trajectory
    num_frames: int  # of these, drawn without replacement, are the clip's
    trajectories: tuple[str, ...]
    tau: float  # time scale of the trajectories, in frames
    amplitude: float  # of the coefficients, 1 = the population's own spread
    bound: float  # largest Mahalanobis norm of the coordinates, in standard deviations
    coordinates: str  # "absolute": the trajectory replaces a face's coordinates; "offset": it adds to them
    motion: str  # "linear": along the directions; "readout": from there on to where a latent readout finds the goal
    layers: str  # "each": every layer is moved to the coordinates; "together": all along one move of W+
    jitter: float  # of "readout": how far each layer then strays from them by itself, in standard deviations
    truncation_psi: float
    style_mixing: float  # probability that a face takes its layers from a random cut on from another
    num_identities: int  # faces that all clips show; 0: another one in each
    change_face: float  # augmentation: probability that the motion is put on another face altogether
    mix_layers: float  # augmentation: probability that fine layers come from another face
    mix_from: int  # the first of the fine layers
    noise: float  # augmentation: of the fine layers, in standard deviations of the latents
    appearance: float  # augmentation: of the coordinates along the appearance directions, in standard deviations
    appearance_from: str  # those directions: the "scorer"'s, or a file of them
    classes: tuple[int, ...]  # of a conditional generator, those that faces are drawn from; () for all
    stats_samples: int  # faces whose latents tell the mean and the spread of the population

    @classmethod
    def of(cls, clips: ConfigDict) -> "ClipConfig":
        """The record of `config.clips`.

        Raises ValueError if there is a trajectory that does not exist, or none at all.
        """
        fields = clips.to_dict()
        fields["trajectories"] = trajectories.checked_families(clips.trajectories)
        return cls(**{**fields, "classes": tuple(clips.classes)})

    def check(self, num_ws: int, num_directions: int) -> None:
        """Raise ValueError if no such clip can be made of latents with `num_ws` layers along `num_directions`."""
        if not 1 <= self.num_frames <= self.length:
            raise ValueError(f"a clip of {self.length} frames has no {self.num_frames} to draw")
        if not 0 < self.mix_from < num_ws:
            raise ValueError(f"mix_from={self.mix_from} must lie between 1 and {num_ws - 1}")
        if self.coordinates not in COORDINATES:
            raise ValueError(f"coordinates must be one of {', '.join(COORDINATES)}; got {self.coordinates!r}")
        if self.motion not in MOTIONS:
            raise ValueError(f"clips.motion must be one of {', '.join(MOTIONS)}; got {self.motion!r}")
        if self.jitter > 0.0 and (self.motion, self.layers) != ("readout", "each"):
            raise ValueError(
                f"clips.jitter={self.jitter} moves each layer off the pose by itself, and only a readout finds back: "
                "it needs clips.motion='readout' and clips.layers='each'"
            )
        if self.layers not in LAYERS:
            raise ValueError(f"clips.layers must be one of {', '.join(LAYERS)}; got {self.layers!r}")
        if self.layers == "each" and self.coordinates == "offset":
            raise ValueError(
                "clips.layers='each' moves all layers of a face to the same coordinates, while coordinates='offset' "
                "keeps those that it has: with offsets set clips.layers='together'"
            )
        if self.tau <= 0.0:
            raise ValueError(f"tau={self.tau} must be above 0: it is a time, in frames")
        if self.bound < math.sqrt(num_directions):
            raise ValueError(
                f"bound={self.bound} would hold back most faces: along {num_directions} directions they lie "
                f"{math.sqrt(num_directions):.1f} standard deviations from the mean face, so give more than that"
            )
