"""Put one face's pose and expression on another:

    python -m disentangle_jax.transfer --workdir=runs/demo --source=seed:1 --driving=seed:2 --out=transfer.png
    python -m disentangle_jax.transfer --workdir=runs/demo --source=face.npy --driving=clip:3 --out=transfer.gif
    --relative

A face is seed:N (a random one of the generator) or a latent file, .npy or .npz, of shape [d] (W), [l, d] (W+) or [t,
l, d] (a clip). The driving may also be clip:N, a random face in motion. The output shows source, driving and result
side by side.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags
from jaxtyping import Array, Float

from disentangle_jax import media
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.domains import load_domain
from disentangle_jax.evaluation.motion import loops, puppeteer_of
from disentangle_jax.latents import read_ws, sample_ws
from disentangle_jax.report.pictures import columns, columns_in_motion
from stylegan2_flax import command, files

FLAGS = flags.FlagValues()
WORKDIR = flags.DEFINE_string(
    "workdir", None, "a training workdir or an exported model", required=True, flag_values=FLAGS
)
SOURCE = flags.DEFINE_string(
    "source", None, "whose appearance: seed:N or a latent file", required=True, flag_values=FLAGS
)
DRIVING = flags.DEFINE_string(
    "driving", None, "whose pose and expression: seed:N, clip:N or a latent file", required=True, flag_values=FLAGS
)
OUT = flags.DEFINE_string(
    "out",
    None,
    "what to write: .png, .jpg or .webp of a picture, .gif or .mp4 of a clip",
    required=True,
    flag_values=FLAGS,
)
RELATIVE = flags.DEFINE_bool(
    "relative", False, "carry over how the driving clip moves, not how its frames look", flag_values=FLAGS
)
REFERENCE = flags.DEFINE_string(
    "reference",
    "first",
    "with --relative, the frame that motion is measured from: first, best (nearest the source), N",
    flag_values=FLAGS,
)
STRENGTH = flags.DEFINE_float(
    "strength", 1.0, "0 leaves the source's own expression, 1 transfers, more exaggerates", flag_values=FLAGS
)
PSI = flags.DEFINE_float(
    "psi", None, "truncation of seed:N and clip:N (default: that of the training clips)", flag_values=FLAGS
)

_SIZE = 256  # of one face in the output, at least


def main() -> None:
    workdir, out = files.local_path(WORKDIR.value, "--workdir"), files.local_path(OUT.value, "--out")
    transfer(workdir, SOURCE.value, DRIVING.value, out)
    print(f"Wrote {out}")


def transfer(workdir: Path, source: str, driving: str, out: Path) -> None:
    """Transfer as the other flags say, and write the outcome."""
    media.require_suffix(out, media.IMAGE_SUFFIXES + media.VIDEO_SUFFIXES)
    model = Disentangler.load(workdir)
    psi = model.config.clips.truncation_psi if PSI.value is None else PSI.value
    source_ws, driving_ws = (_latents(model, name, psi) for name in (source, driving))
    reference = _reference(model, source_ws, driving_ws, REFERENCE.value) if RELATIVE.value else 0
    options = {"relative": RELATIVE.value, "reference": reference, "strength": STRENGTH.value}
    result_ws = model.transfer(source_ws, driving_ws, **options)
    _write(model, {"source": source_ws, "driving": driving_ws, "result": result_ws}, out)


def _latents(model: Disentangler, name: str, psi: float) -> Float[Array, "*t l d"]:
    """What --source or --driving names: a face [l, d] or a clip [t, l, d]."""
    kind, colon, number = name.partition(":")
    if not colon or kind not in ("seed", "clip"):
        return jnp.asarray(read_ws(name, model.generator.num_ws, model.generator.w_dim))
    if not number.isdecimal():
        raise ValueError(f"{name!r} wants a number after the colon, such as {kind}:1")
    face_key, motion_key = jax.random.split(jax.random.key(int(number)))
    face = sample_ws(model.generator.mapping, face_key, 1, psi, tuple(model.config.clips.classes))
    if kind == "seed":
        return face[0]
    puppeteer = puppeteer_of(load_domain(model.config.generator), model.directions)
    motion = loops(motion_key, model.config.evaluation.motion.num_frames, len(puppeteer.names))
    return puppeteer.clips(face, motion[None])[0]


def _reference(
    model: Disentangler, source_ws: Float[Array, "*m l d"], driving_ws: Float[Array, "*n l d"], choice: str
) -> int:
    """The frame of the driving clip that `choice` means; the best has the structure nearest to the source's."""
    if choice == "best":
        source, driving = (model.encode(ws.reshape(-1, *ws.shape[-2:])).structure for ws in (source_ws, driving_ws))
        return int(jnp.argmin(jnp.linalg.norm(driving - source[:1], axis=-1)))
    if choice != "first" and not choice.isdecimal():
        raise ValueError(f"--reference={choice}: say first, best, or the number of a frame")
    return 0 if choice == "first" else int(choice)


def _write(model: Disentangler, latents: dict[str, Float[Array, "*t l d"]], out: Path) -> None:
    """Draw the latents side by side, as a picture or, if any is a clip, as a video."""
    shape = latents["result"].shape
    is_clip, size = len(shape) == 3, max(_SIZE, model.generator.img_resolution)
    suffixes = media.VIDEO_SUFFIXES if is_clip else media.IMAGE_SUFFIXES
    if out.suffix.lower() not in suffixes:
        kind = f"clip of {shape[0]} frames" if is_clip else "single picture"
        raise ValueError(f"the result is a {kind}: end --out in {' or '.join(suffixes)} instead of {out.suffix}")
    images = {title: model.render(jnp.broadcast_to(ws, shape))[None] for title, ws in latents.items()}
    if is_clip:
        media.save_video(columns_in_motion(images, size), out)
    else:
        media.save_image(columns(images, size), out)


if __name__ == "__main__":
    command.run(main, FLAGS)
