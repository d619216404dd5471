"""StyleSpace: the styles of every layer, read, edited and drawn from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2

from_styles = jax.jit(lambda synthesis, styles: synthesis.from_styles(styles))
styles_of = jax.jit(lambda synthesis, ws: synthesis.styles(ws))


@pytest.fixture(scope="module")
def ws(golden):
    return golden("Gv_clamp")["in/wplus"]


@pytest.fixture(scope="module")
def styles(generator, ws):
    return jax.device_get(styles_of(generator("Gv_clamp").synthesis, ws))


def test_names_and_sizes():
    def of(architecture):
        synthesis = sg2.SynthesisNetwork(8, 8, 3, channel_base=64, architecture=architecture, rngs=nnx.Rngs(0))
        return synthesis.styles(jnp.zeros((2, 4, 8)))

    styles = {name: jax.eval_shape(lambda name=name: of(name)) for name in ("skip", "orig")}
    assert {name: style.shape for name, style in styles["skip"].items()} == {
        "b4.conv1": (2, 16),
        "b4.torgb": (2, 16),
        "b8.conv0": (2, 16),
        "b8.conv1": (2, 8),
        "b8.torgb": (2, 8),
    }
    assert set(styles["orig"]) == set(styles["skip"]) - {"b4.torgb"}


def test_styles(golden, generator, relative_error):
    data = golden("Gv_clamp")
    styles = styles_of(generator("Gv_clamp").synthesis, data["out/ws_psi1"])
    assert relative_error(styles["b8.conv0"], data["out/b8_conv0_styles"]) < 1e-5


def test_torgb_shares_its_latent_with_the_next_block(generator, ws, styles):
    more = np.zeros_like(ws)
    more[:, 3] = 1
    changed = styles_of(generator("Gv_clamp").synthesis, ws + more)
    assert {name for name in styles if np.abs(changed[name] - styles[name]).max() > 0.01} == {"b8.torgb", "b16.conv0"}


def test_image_of_the_styles_is_that_of_the_latents(golden, generator, styles, relative_error):
    images = from_styles(generator("Gv_clamp").synthesis, styles)
    assert relative_error(images.transpose(0, 3, 1, 2), golden("Gv_clamp")["out/img_const_wplus"]) < 1e-5


def test_an_edited_channel_changes_the_image(generator, styles):
    """Of the edited sample alone."""
    synthesis = generator("Gv_clamp").synthesis
    images, style = from_styles(synthesis, styles), styles["b8.conv1"].copy()
    style[0, 3] += 5
    edited = from_styles(synthesis, styles | {"b8.conv1": style})
    assert np.abs(edited[0] - images[0]).max() > 0.01
    np.testing.assert_array_equal(edited[1], images[1])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "b8.conv0"}, r"missing \['b8\.conv0'\], unknown \[\]"),
        (lambda s: s | {"b8.skip": s["b8.conv0"]}, r"missing \[\], unknown \['b8\.skip'\]"),
        (lambda s: s | {"b8.conv0": s["b8.conv0"][:, 1:]}, r"styles\['b8\.conv0'\] must be \[2, 16\], got \[2, 15\]"),
        (lambda s: s | {"b16.torgb": s["b16.torgb"][:1]}, r"styles\['b16\.torgb'\] must be \[2, 16\], got \[1, 16\]"),
        (lambda s: s | {"b4.conv1": s["b4.conv1"][0]}, r"styles\['b4\.conv1'\] must be \[b, 16\], got \[16\]"),
    ],
)
def test_other_styles_are_refused(edit, message, generator, styles):
    with pytest.raises(ValueError, match=message):
        generator("Gv_clamp").synthesis.from_styles(edit(styles))
