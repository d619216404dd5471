"""Every network against the output of its published code. What differs is rounding: 1e-6 of the largest value."""

import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.inversion import from_state_dict, pictures
from disentangle_jax.inversion.published import backbones, networks, state_dict

TOLERANCE = 1e-5
UNITS = {
    "ir_se_64_64_1": (64, 64, 1, "ir_se"),
    "ir_se_64_64_2": (64, 64, 2, "ir_se"),
    "ir_se_64_128_2": (64, 128, 2, "ir_se"),
    "ir_64_128_2": (64, 128, 2, "ir"),
}
LONG = pytest.mark.slow
ENCODERS = [
    ("psp", "BackboneEncoderUsingLastLayerIntoW"),
    pytest.param("psp", "GradualStyleEncoder/32", marks=LONG),
    pytest.param("psp", "GradualStyleEncoder/256_ir", marks=LONG),
    pytest.param("e4e", "Encoder4Editing/32", marks=LONG),
    pytest.param("e4e", "Encoder4Editing/1024", marks=LONG),
    pytest.param("e4e", "SingleStyleCodeEncoder/32", marks=LONG),
    pytest.param("restyle", "restyle_psp/BackboneEncoder", marks=LONG),
    pytest.param("restyle", "restyle_psp/ResNetBackboneEncoder", marks=LONG),
    pytest.param("restyle", "restyle_e4e/ProgressiveBackboneEncoder", marks=LONG),
    ("restyle", "restyle_e4e/ResNetProgressiveBackboneEncoder"),
]


@pytest.mark.parametrize("name", UNITS)
def test_a_residual_unit_is_the_published_one(golden, name):
    case = golden("e4e", f"block/{name}")
    unit = state_dict.build(lambda: backbones.IRUnit(*UNITS[name]), case.state_dict(), name)
    assert case.error(unit(jnp.asarray(*case.inputs()))) < TOLERANCE


def test_a_map_to_styles_is_the_published_one(golden):
    case = golden("e4e", "block/style_16")
    style = state_dict.build(lambda: networks.StyleMap(16), case.state_dict(), "style")
    assert case.error(style(jnp.asarray(*case.inputs()))) < TOLERANCE


def test_the_pyramid_is_upsampled_as_published(golden):
    case = golden("e4e", "upsample_add")
    assert case.error(pictures.upsample_add(*map(jnp.asarray, case.inputs()))) < TOLERANCE


@pytest.mark.parametrize(("project", "name"), ENCODERS)
def test_a_whole_encoder_is_the_published_one(golden, project, name):
    case = golden(project, name)
    kind = next(part for part in name.split("/") if "Encoder" in part)
    num_ws = case.output.shape[1] if case.output.ndim == 3 else 8
    mode = "ir" if name.endswith("_ir") else "ir_se"
    encoder = from_state_dict(case.state_dict(), encoder_type=kind, num_ws=num_ws, mode=mode)
    ws = np.asarray(encoder(*case.inputs()))
    if case.output.ndim == 2:  # pSp gives one w, which is the same for every layer
        np.testing.assert_array_equal(ws, np.broadcast_to(ws[:, :1], (len(ws), num_ws, 512)))
        ws = ws[:, 0]
    assert case.error(ws) < TOLERANCE


@pytest.mark.parametrize("count", [24, 49, 50])
def test_the_depth_of_a_backbone_is_known_by_its_units(count):
    assert (
        state_dict.ir_units({f"body.{i}.res_layer.1.weight": None for i in range(count)}) == backbones.IR_UNITS[count]
    )
    assert sum(backbones.IR_UNITS[count]) == count
