"""How well pictures could be inverted, in a sentence."""

from disentangle_jax.inversion.latent_files import FAR
from disentangle_jax.inversion.pieces import Piece
from disentangle_jax.reenactment.encoding import Encoded
from disentangle_jax.reenactment.footage import Footage, PictureFootage


def report(footage: Footage, encoded: Encoded) -> str | None:
    """A line on the inversion; None for what was not inverted."""
    if encoded.psnr is None or encoded.deviations is None:
        return None
    mean, worst, far = encoded.psnr.mean(), encoded.psnr.min(), encoded.deviations.max()
    frames = f" (worst of {len(encoded.psnr)} frames {worst:.1f} dB)" if len(encoded.psnr) > 1 else ""
    return f"{footage.name}: inverted at {mean:.1f} dB{frames}, {far:.1f} standard deviations from the mean face"


def doubts(footage: Footage, found: Encoded | Piece, poor: float) -> list[str]:
    """What the user should be warned of, a sentence each.

    Args:
        footage: what was inverted.
        found: the codes or the latents of all its frames.
        poor: the PSNR in dB that an inversion should reach.
    """
    if not isinstance(footage, PictureFootage):
        return []
    said = [f"{footage.name}: {remark}" for remark in footage.pictures.placement.remarks]
    if found.psnr is None or found.deviations is None:
        return said
    problems = []
    if (psnr := found.psnr.mean()) < poor:
        problems.append(f"{psnr:.1f} dB, less than {poor:g}")
    if (far := found.deviations.max()) > FAR:
        problems.append(f"{far:.1f} standard deviations from the mean face, more than {FAR:g}")
    if problems:
        said.append(f"{footage.name} could not be inverted well ({'; '.join(problems)}): {_reason(footage)}")
    return said


def _reason(footage: PictureFootage) -> str:
    """Why, and what to do."""
    if footage.pictures.placement.aligned:
        return (
            "its face is aligned, but not like those that this generator draws. Do not trust the result, or tune the "
            "generator to it (disentangle_jax.invert --tune_steps) and give the latents"
        )
    return (
        "it is not like what this generator draws, or shows it at another place or size. If the generator is of faces "
        "aligned as FFHQ's, say --align=ffhq; else crop the picture like those that it was trained on"
    )
