"""The autoencoder: shapes, statistics, what an untrained one says, and its file."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from disentangle_jax import arrays
from disentangle_jax.model import Autoencoder
from disentangle_jax.weights import named_arrays, with_arrays
from stylegan2_flax.run.trees import leaves_by_path

SIZES: dict[str, Any] = {"appearance_dim": 6, "structure_dim": 3, "embed_dim": 4, "width": 16, "num_blocks": 1}
LAYERS, W_DIM = 5, 8


@pytest.fixture(scope="module")
def ws():
    return 1 + 2 * np.random.default_rng(0).normal(size=(7, 3, LAYERS, W_DIM)).astype(np.float32)


def init(mean, std, seed, **sizes):
    shape = (LAYERS, W_DIM)
    return Autoencoder(
        jnp.full(shape, mean), jnp.full(shape, std), **(SIZES | sizes), rngs=nnx.Rngs(jax.random.key(seed))
    )


create = jax.jit(init, static_argnames="input_space")
encode = jax.jit(Autoencoder.encode)
decode = jax.jit(Autoencoder.decode)


@pytest.mark.parametrize("leading", [(), (3,), (7, 3)])
def test_any_leading_axes(ws, leading):
    autoencoder = create(0.0, 1.0, 0)
    some = ws.reshape(-1, LAYERS, W_DIM)[: int(np.prod(leading))].reshape(*leading, LAYERS, W_DIM)
    codes = jax.eval_shape(Autoencoder.encode, autoencoder, some)
    assert codes.appearance.shape == (*leading, 6)
    assert codes.structure.shape == (*leading, 3)
    assert jax.eval_shape(Autoencoder.decode, autoencoder, *codes).shape == some.shape


def test_untrained_decoder_gives_the_mean_latent(ws):
    autoencoder = create(1.0, 2.0, 0)
    np.testing.assert_array_equal(decode(autoencoder, *encode(autoencoder, ws)), np.ones_like(ws))


def test_codes_do_not_depend_on_the_scale_of_the_latents(ws):
    plain, scaled = create(0.0, 1.0, 0), create(5.0, 4.0, 0)
    for a, b in zip(encode(plain, ws), encode(scaled, 5 + 4 * ws), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_an_encoder_of_w_reads_the_mean_of_the_layers_alone(ws):
    permuted = ws[..., ::-1, :]
    for space, same in (("w", True), ("w+", False)):
        autoencoder = create(0.0, 1.0, 0, input_space=space)
        one, other = (encode(autoencoder, latents).structure for latents in (ws, permuted))
        assert np.allclose(one, other, atol=1e-5) == same


def test_decode_uses_both_codes(ws):
    autoencoder = create(0.0, 1.0, 0)
    kernel = autoencoder.decoder.unembed.kernel
    kernel[...] = jnp.asarray(np.random.default_rng(1).normal(size=kernel.shape), jnp.float32)
    appearance, structure = map(np.asarray, encode(autoencoder, ws))
    own = decode(autoencoder, appearance, structure)
    assert not np.allclose(own, decode(autoencoder, appearance[::-1], structure))
    assert not np.allclose(own, decode(autoencoder, appearance, structure[::-1]))


def test_statistics_are_no_parameters():
    named = leaves_by_path(nnx.to_pure_dict(nnx.state(create(0.0, 1.0, 0), nnx.Param)))
    assert "encoder/trunk/blocks/0/up/kernel" in named
    assert not {"mean", "std", "log_temperature"} & named.keys()


def read_back(path, seed=0, **sizes):
    return with_arrays(nnx.eval_shape(lambda: init(0.0, 1.0, seed, **sizes)), arrays.load(path)[0], path)


def test_file_round_trip_is_exact(ws, tmp_path):
    autoencoder, path = create(1.0, 2.0, 0), tmp_path / "model.safetensors"
    arrays.save(path, named_arrays(autoencoder))
    np.testing.assert_array_equal(encode(autoencoder, ws).appearance, encode(read_back(path, seed=1), ws).appearance)


def test_file_of_another_form_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays.save(path, named_arrays(create(0.0, 1.0, 0)))
    with pytest.raises(ValueError, match=r"has shape \(9, \d+\) there; the config gives \(10, \d+\)"):
        read_back(path, structure_dim=4)
    with pytest.raises(ValueError, match=r"blocks/1/.*has shape none"):
        read_back(path, num_blocks=2)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        read_back(path)
