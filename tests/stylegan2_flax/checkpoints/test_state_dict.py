"""State dicts: what goes in comes back bit for bit; what does not fit is refused in words."""

import numpy as np
import pytest

import stylegan2_flax as sg2

NETWORKS = pytest.mark.parametrize(
    ("name", "kind"), [("Gv_resnet", "generator"), ("Dv_skip", "discriminator"), ("D_d_cond", "discriminator")]
)


@NETWORKS
def test_identity(name, kind, parameters, arguments):
    given = parameters(name)
    returned = sg2.to_state_dict(sg2.from_state_dict(given, kind=kind, **arguments(name)))
    assert given.keys() == returned.keys()
    for key in given:
        np.testing.assert_array_equal(returned[key], given[key], strict=True)


@NETWORKS
def test_other_dtypes_become_float32(name, kind, parameters, arguments):
    arrays = {key: array.astype(np.float16) for key, array in parameters(name).items()}
    returned = sg2.to_state_dict(sg2.from_state_dict(arrays, kind=kind, **arguments(name)))
    for key, array in arrays.items():
        np.testing.assert_array_equal(returned[key], array.astype(np.float32), strict=True)


@NETWORKS
def test_what_does_not_fit_is_listed(name, kind, parameters, arguments):
    arrays = dict(parameters(name))
    block = "synthesis.b8" if kind == "generator" else "b8"
    arrays[f"{block}.conv9.weight"] = arrays.pop(f"{block}.conv0.weight")
    arrays[f"{block}.conv1.bias"] = arrays[f"{block}.conv1.bias"][:3]
    with pytest.raises(ValueError, match=f"do not fit the {kind}") as error:
        sg2.from_state_dict(arrays, kind=kind, **arguments(name))
    size = len(parameters(name)[f"{block}.conv1.bias"])
    for part in (
        f"missing {block}.conv0.weight;",
        f"unexpected {block}.conv9.weight;",
        f"{block}.conv1.bias must have shape [{size}], has [3]",
    ):
        assert part in str(error.value)


def test_unknown_kind(parameters, arguments):
    with pytest.raises(ValueError, match="kind 'encoder': choose one of generator, discriminator"):
        sg2.from_state_dict(parameters("Gv_resnet"), kind="encoder", **arguments("Gv_resnet"))


def test_filter_that_no_taps_make_is_refused(parameters, arguments):
    arrays = dict(parameters("D_d_cond"))
    arrays["b8.resample_filter"] = np.eye(4, dtype=np.float32) / 4
    with pytest.raises(ValueError, match=r"^b8\.resample_filter: layers resample by taps"):
        sg2.from_state_dict(arrays, kind="discriminator", **arguments("D_d_cond"))
