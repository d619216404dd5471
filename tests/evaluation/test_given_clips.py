"""The user's clips in a world so small that every number is known: a latent is a colour, of which blue moves."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax import media
from disentangle_jax.evaluation.given_clips import GivenClip, measure_clips
from disentangle_jax.evaluation.proxies import APPEARANCE, STRUCTURE, Instruments, Proxy, mean_difference
from disentangle_jax.report.clips import clips_summary, make_strips, strips_picture

SIDE = 8
RNG = np.random.default_rng(0)


def render(ws):
    return jnp.broadcast_to(ws[:, 0, None, None], (len(ws), SIDE, SIDE, 3))


class Colours:
    """Reads nothing in pictures whose red is negative, as face readers do where there is no face."""

    def __init__(self):
        self.proxies = {
            "look": Proxy("red and green", APPEARANCE, mean_difference),
            "move": Proxy("blue", STRUCTURE, mean_difference),
        }

    def read(self, images):
        seen = images[:, 0, 0].astype(np.float64)
        seen[seen[:, 0] < 0] = np.nan
        narrow = np.isnan(seen).all()
        return {"look": seen[:, :1] if narrow else seen[:, :2], "move": seen[:, 2:]}


METHODS = {
    "copy source": lambda source, driving: source,
    "copy driving": lambda source, driving: driving,
    "linear transfer": lambda source, driving: source + 0.1,
    "ours": lambda source, driving: jnp.concatenate([source[..., :2], driving[..., 2:]], axis=-1),
}


def clip(name, frames, error, colour=(0.2, 0.3)):
    """Footage whose blue moves, and latents that miss its colours by the error."""
    ws = np.zeros((frames, 1, 3), np.float32)
    ws[:, 0, :2], ws[:, 0, 2] = colour, 0.4 * np.sin(np.arange(frames) ** 1.5)
    footage = list(np.asarray(render(ws)))
    return GivenClip(name, (ws + error).astype(np.float32), render, lambda: iter(footage))


def measure(clips, batch_size=4, reader=None):
    found = measure_clips(clips, METHODS, Instruments(reader or Colours()), batch_size, lambda stage: None)
    return json.loads(json.dumps(found, allow_nan=False))


def test_what_the_inversion_costs_is_told_from_what_the_model_costs():
    missed = np.array([0.12, 0.0, 0.06])
    found = measure([clip("a", 7, missed), clip("b", 5, 0.0, (0.6, 0.1))])
    a = found["clips"]["a"]
    assert a["num_frames"] == 7
    assert a["inversion"]["l1"] == pytest.approx(0.18 / 3 / 2)
    assert a["inversion"]["psnr"] == pytest.approx(a["inversion"]["psnr_worst"])
    to_footage, to_inverted = a["self"]["footage"], a["self"]["inverted"]
    assert to_inverted["ours"]["l1"] == pytest.approx(0, abs=1e-6), "the model is perfect"
    assert to_footage["ours"] == pytest.approx(to_footage["copy driving"], abs=1e-5), "what is wrong is the inversion"
    assert to_footage["ours"]["look"] == pytest.approx(0.06, abs=1e-6)
    assert to_footage["ours"]["move"] == pytest.approx(0.06, abs=1e-6)
    assert "copy driving" not in to_inverted
    assert to_inverted["copy source"]["move"] > 0.1
    by_pair = {(pair["source"], pair["driving"]): pair["methods"]["ours"] for pair in found["pairs"]}
    assert by_pair["a", "b"]["look"] == pytest.approx(0.06, abs=1e-6)
    assert by_pair["a", "b"]["move"] == pytest.approx(0, abs=1e-6)
    assert by_pair["b", "a"]["move"] == pytest.approx(0.06, abs=1e-6)
    assert found["cross"]["ours"]["look"] == pytest.approx(0.03, abs=1e-6), "each pair counts alike"
    assert found["cross"]["ours"]["jitter_ratio"] == pytest.approx(1, abs=1e-4)
    assert found["cross"]["copy source"]["latent_jitter_ratio"] == pytest.approx(0, abs=1e-6)
    told = clips_summary(found).split("\n")
    assert [line.split(" ")[0] for line in told] == ["your", "a", "b", "mean", "linear", "ours:"]
    assert told[-1].endswith("cross-driven look 0.030, move 0.030, jitter ratio 1.000, jitter of latents 1.000")
    assert found["inversion"]["psnr_worst"] == a["inversion"]["psnr_worst"] < found["inversion"]["psnr"]


def test_the_two_comparisons_differ_by_no_more_than_the_inversion_costs():
    clips = [clip(str(i), 6, 0.1 * RNG.normal(size=(6, 1, 3))) for i in range(4)]
    for record in measure(clips)["clips"].values():
        footage, inverted = record["self"]["footage"], record["self"]["inverted"]
        for method in inverted:
            assert abs(footage[method]["l1"] - inverted[method]["l1"]) <= footage["copy driving"]["l1"] + 1e-6


def test_the_number_of_pictures_in_memory_changes_no_number():
    clips = [clip("a", 7, 0.1), clip("b", 5, 0.05)]
    few, all_at_once = (leaves(measure(clips, batch_size)) for batch_size in (4, 64))
    assert few == pytest.approx(all_at_once, abs=1e-5)


def leaves(node, prefix=""):
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        return {prefix: node} if isinstance(node, float) else {}
    return {path: value for key, child in items for path, value in leaves(child, f"{prefix}/{key}").items()}


def test_latents_without_footage_have_no_inversion_and_one_clip_drives_no_other():
    found = measure([clip("a", 5, 0.1)._replace(footage=None)])
    assert set(found) == {"num_clips", "proxies", "clips", "self"}
    assert set(found["clips"]["a"]) == {"num_frames", "self"}
    assert set(found["self"]) == {"inverted"}
    assert "latents" in clips_summary(found)
    both = measure([clip("a", 5, 0.1)._replace(footage=None), clip("b", 5, 0.1)])
    assert both["inversion"]["psnr"] == both["clips"]["b"]["inversion"]["psnr"]


def test_frames_in_which_nothing_is_read_and_clips_that_stand_still_have_no_numbers():
    still = clip("still", 6, 0.0)
    still = still._replace(ws=np.repeat(still.ws[:1], 6, axis=0), footage=None)
    dark = clip("dark", 6, np.where(np.arange(6) > 3, -0.5, 0)[:, None, None])  # its last batch is not read
    found = measure([still, dark])
    moves = found["clips"]["still"]["self"]["inverted"]["ours"]
    assert moves["jitter_ratio"] is None
    assert moves["latent_jitter_ratio"] is None
    row = found["clips"]["dark"]["self"]["footage"]["copy driving"]
    assert row["read"] == pytest.approx(3 / 5)
    assert row["look"] == pytest.approx(0, abs=1e-6)
    assert "dark" in clips_summary(found)


def test_strips_show_footage_inversion_and_results_with_their_numbers():
    clips = [clip("a", 12, 0.1), clip("b", 3, 0.0)._replace(footage=None)]
    found = measure(clips)
    first, second = make_strips(clips, METHODS["ours"], found, 3)
    assert [len(images) for images in first.rows.values()] == [8] * 4
    titles = list(first.rows)
    assert titles[0] == "footage"
    assert titles[1] == f"inverted: {found['clips']['a']['inversion']['psnr']:.1f} dB to the footage"
    assert titles[2].startswith("self-driven: 26.0 dB to the footage, ")
    assert titles[3].startswith("the first frame of b, cross-driven: look 0.0")
    assert list(first.sources) == titles[2:]
    assert (second.moments, next(iter(second.rows))) == ([0, 1, 2], "what the latents show")
    assert clips[0].footage
    footage = list(clips[0].footage())
    assert np.array_equal(first.rows["footage"], np.stack([footage[moment] for moment in first.moments]))
    picture = strips_picture([first, second])
    assert media.to_uint8(picture).shape == picture.shape
    assert len(make_strips(clips, METHODS["ours"], found, 1)) == 1
