"""Every operation against the goldens."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan2_flax import ops

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def data(golden):
    return golden("ops")


@pytest.fixture(scope="module")
def cases(data):
    return json.loads(str(data["cases_json"]))


@pytest.fixture(scope="module")
def filters(data):
    return {
        "1331": ops.setup_filter([1, 3, 3, 1]),
        "asym5": ops.setup_filter([1, 2, -1, 0.5, 0.25], normalize=False),
        "sep8": ops.setup_filter([1, 2, 3, 4, 4.5, 3, 2, 1]),
        "f3x4": jnp.asarray(data["in/filter2d_3x4"]),
        "none": None,
    }


def nhwc(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def nchw(x):
    return np.asarray(x).transpose(0, 3, 1, 2)


def test_setup_filter(data, relative_error):
    taps = [1, 2, -1, 0.5, 0.25]
    made = {
        "1331": ops.setup_filter([1, 3, 3, 1]),
        "1331_gain4_flip": ops.setup_filter([1, 3, 3, 1], gain=4, flip_filter=True),
        "asym5": ops.setup_filter(taps),
        "asym5_nonorm": ops.setup_filter(taps, normalize=False),
        "sep8": ops.setup_filter([1, 2, 3, 4, 4.5, 3, 2, 1]),
        "none": ops.setup_filter(None),
    }
    for name, f in made.items():
        assert relative_error(f, data[f"out/setup_filter_{name}"]) < 1e-6, name


@pytest.mark.parametrize("number", range(14))
def test_upfirdn2d(number, data, cases, filters, relative_error):
    arguments = dict(cases[f"upfirdn_case{number:02d}"])
    f = filters[arguments.pop("filter")]
    y = jax.jit(lambda x: ops.upfirdn2d(x, f, **arguments))(nhwc(data["in/upfirdn_x"]))
    assert relative_error(nchw(y), data[f"out/upfirdn_case{number:02d}"]) < TOLERANCE


def test_upfirdn2d_gradient(data, cases, filters, relative_error):
    arguments = dict(cases["upfirdn_vjp"])
    f = filters[arguments.pop("filter")]
    cotangent = nhwc(data["in/upfirdn_vjp_cotangent"])
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(ops.upfirdn2d(x, f, **arguments) * cotangent)))(
        nhwc(data["in/upfirdn_x"])
    )
    assert relative_error(nchw(gradient), data["out/upfirdn_vjp"]) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "function", "filter_name", "arguments"),
    [
        ("upsample2d_1331", ops.upsample2d, "1331", {}),
        ("downsample2d_1331", ops.downsample2d, "1331", {}),
        ("filter2d_1331", ops.filter2d, "1331", {}),
        ("upsample2d_asym5", ops.upsample2d, "asym5", {}),
        ("downsample2d_asym5_flip", ops.downsample2d, "asym5", {"flip_filter": True}),
    ],
)
def test_resampling(name, function, filter_name, arguments, data, filters, relative_error):
    y = jax.jit(lambda x: function(x, filters[filter_name], **arguments))(nhwc(data["in/upfirdn_x"]))
    assert relative_error(nchw(y), data[f"out/{name}"]) < TOLERANCE


def test_upsample2d_of_many_channels_is_that_of_few(data, filters, relative_error):
    few = nhwc(data["in/upfirdn_x"])
    many = jax.jit(lambda x: ops.upsample2d(x, filters["asym5"]))(np.concatenate([few, few], axis=-1))
    assert relative_error(nchw(many[..., 3:]), data["out/upsample2d_asym5"]) < TOLERANCE


@pytest.mark.parametrize("name", [*(f"case{i:02d}" for i in range(10)), "asymfilter_up2", "asymfilter_down2"])
def test_conv2d_resample(name, data, cases, filters, relative_error):
    arguments = dict(cases[f"convres_{name}"])
    weight, f = jnp.asarray(data[f"in/conv_{arguments.pop('weight')}"]), filters[arguments.pop("filter")]
    y = jax.jit(lambda x: ops.conv2d_resample(x, weight, f, **arguments))(nhwc(data["in/conv_x"]))
    assert relative_error(nchw(y), data[f"out/convres_{name}"]) < TOLERANCE


@pytest.mark.parametrize(("demodulate", "noise"), [(0, 1), (1, 1), (1, 0), pytest.param(0, 0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_conv2d(kernel, up, demodulate, noise, data, cases, filters, relative_error):
    name = f"modconv_w{kernel}_up{up}_demod{demodulate}_noise{noise}"
    case = cases[name]
    y = jax.jit(ops.modulated_conv2d, static_argnames=("up", "padding", "demodulate", "flip_weight"))(
        nhwc(data[case["x"]]),
        jnp.asarray(data[case["weight"]]),
        jnp.asarray(data[case["styles"]]),
        noise=nhwc(data[case["noise"]]) if case["noise"] else None,
        resample_filter=filters[case["filter"]],
        **{key: case[key] for key in ("up", "padding", "demodulate", "flip_weight")},
    )
    assert relative_error(nchw(y), data[f"out/{name}"]) < TOLERANCE


ACTIVATIONS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *((f"{act}_default", {"act": act}) for act in ACTIVATIONS),
        ("lrelu_gain0.7_clamp0.9", {"act": "lrelu", "gain": 0.7, "clamp": 0.9}),
        ("lrelu_alpha0.35_gain1", {"act": "lrelu", "alpha": 0.35, "gain": 1}),
        ("linear_nobias_clamp1.5", {"clamp": 1.5}),
    ],
)
def test_bias_act(name, arguments, data, relative_error):
    b = None if "nobias" in name else jnp.asarray(data["in/biasact_b"])
    y = jax.jit(lambda x: ops.bias_act(x, b, dim=1, **arguments))(data["in/biasact_x"])
    assert relative_error(y, data[f"out/biasact_{name}"]) < TOLERANCE


def test_bias_act_clamps_after_the_gain(data, relative_error):
    x, b = np.float32(200) * data["in/biasact_x"], jnp.asarray(data["in/biasact_b"])
    y = jax.jit(lambda x: ops.bias_act(x, b, dim=1, act="lrelu", gain=1, clamp=256 * 0.5**0.5))(x)
    assert relative_error(y, data["out/biasact_lrelu_gain_sqrt2xsqrt0.5_clamp256xsqrt0.5"]) < TOLERANCE


def test_bias_act_defaults_to_the_last_axis(data, relative_error):
    b = jnp.asarray(np.array([*data["in/biasact_b"], 0.25], np.float32))
    y = jax.jit(lambda x: ops.bias_act(x, b, act="lrelu"))(data["in/biasact_x"])
    assert relative_error(y, data["out/biasact_lrelu_dim2"]) < TOLERANCE


def test_fully_connected(data, relative_error):
    x, weight, b = (jnp.asarray(data[f"in/fc_{name}"]) for name in "xwb")
    for act in ("linear", "lrelu"):
        y = jax.jit(lambda x, act=act: ops.fully_connected(x, weight, b, act, lr_multiplier=0.01))(x)
        assert relative_error(y, data[f"out/fc_{act}_lrmul0.01"]) < TOLERANCE


def test_normalize_2nd_moment(data, relative_error):
    for given, name in (("fc_x", "normalize_2nd_moment"), ("norm_small_x", "normalize_2nd_moment_small")):
        y = jax.jit(ops.normalize_2nd_moment)(data[f"in/{given}"])
        assert relative_error(y, data[f"out/{name}"]) < TOLERANCE


@pytest.mark.parametrize(("group", "features"), [(4, 1), (2, 1), (None, 1), (4, 2), (8, 3), (16, 1)])
def test_minibatch_stddev(group, features, data, relative_error):
    y = jax.jit(lambda x: ops.minibatch_stddev(x, group, features))(nhwc(data["in/mbstd_x"]))
    assert relative_error(y, data[f"out/mbstd_group{group}_F{features}"]) < TOLERANCE


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.setup_filter(np.ones((2, 2, 2))), "one or two dimensions"),
        (lambda x: ops.setup_filter(np.ones((2, 2)), separable=True), "2-D filter"),
        (lambda x: ops.upfirdn2d(x, None, up=0), "up is one positive integer"),
        (lambda x: ops.upfirdn2d(x, None, padding=(1, 2, 3)), "padding is"),
        (
            lambda x: ops.conv2d_resample(x, jnp.asarray(np.ones((1, 3, 1, 1), np.float32)), up=2, down=2),
            "one way at a time",
        ),
        (lambda x: ops.bias_act(x, act="gelu"), "unknown activation 'gelu'"),
        (lambda x: ops.minibatch_stddev(x, 2), "a batch of 3 is no multiple of the 2 samples"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.asarray(np.ones((3, 4, 4, 3), np.float32)))


@pytest.mark.parametrize("function", [ops.upsample2d, ops.downsample2d])
def test_an_axis_whose_factor_is_one_keeps_its_size_and_its_mean(function, filters):
    x = np.full((1, 8, 6, 1), 0.5, np.float32)
    y = np.asarray(jax.jit(lambda x: function(x, filters["1331"], (2, 1)))(x))
    assert y.shape == ((1, 8, 12, 1) if function is ops.upsample2d else (1, 8, 3, 1))
    np.testing.assert_allclose(y[:, 2:-2, 1:-1], 0.5, rtol=1e-6)
