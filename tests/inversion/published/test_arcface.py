"""The identity network against the output of its published code, and CSIM."""

import re

import numpy as np
import pytest

from disentangle_jax.inversion import csim, load_arcface
from disentangle_jax.inversion.published import arcface, state_dict


def pictures(n, size, seed=0):
    coarse = np.random.default_rng(seed).uniform(-1, 1, (n, 8, 8, 3)).astype(np.float32)
    return np.kron(coarse, np.ones((1, size // 8, size // 8, 1), np.float32))


@pytest.fixture(scope="module")
def network(golden, writers, tmp_path_factory):
    """From a file as torch.save wrote it before version 1.6, which the published one is."""
    path = tmp_path_factory.mktemp("arcface") / "model_ir_se50.pth"
    path.write_bytes(writers.torch_legacy(golden("e4e", "arcface_ir_se50_112").state_dict()))
    return load_arcface(path)


def test_a_loaded_network_embeds_as_published(golden, network):
    case = golden("e4e", "arcface_ir_se50_112")
    assert case.error(network(*case.inputs())) < 1e-5


def test_faces_are_cut_out_of_aligned_pictures():
    images = np.random.default_rng(0).uniform(-1, 1, (1, 256, 256, 3)).astype(np.float32)
    face = np.asarray(arcface.face_of(images))
    assert face.shape == (1, 112, 112, 3)
    np.testing.assert_allclose(face[0, 0, 0], images[0, 35:37, 32:34].mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(face[0, -1, -1], images[0, 221:223, 218:220].mean((0, 1)), atol=1e-6)
    larger = np.kron(images, np.ones((1, 4, 4, 1), np.float32))
    np.testing.assert_allclose(arcface.face_of(larger), face, atol=1e-6)


@pytest.fixture(scope="module")
def shallow(golden):
    """The first unit of each size alone."""
    arrays, first = {}, {"0": "0", "3": "1", "7": "2", "21": "3"}
    for name, array in golden("e4e", "arcface_ir_se50_112").state_dict().items():
        if unit := re.match(r"body\.(\d+)\.", name):
            name = f"body.{first.get(unit[1])}.{name[unit.end() :]}"
        if "None" not in name:
            arrays[name] = array
    return state_dict.build(lambda: arcface.ArcFace((1, 1, 1, 1)), arrays, "a shallow network")


def test_csim_is_the_cosine_of_the_embeddings_of_each_pair(shallow):
    images, others = pictures(2, 64), pictures(2, 64)
    others[1] = pictures(1, 64, seed=1)[0]
    same, strange = np.asarray(csim(shallow, images, others))
    embeddings = [np.asarray(shallow(arcface.face_of(x)))[1].astype(np.float64) for x in (images, others)]
    assert same == pytest.approx(1, abs=1e-5)
    assert strange == pytest.approx(float(embeddings[0] @ embeddings[1]), abs=1e-5)
    assert strange < 0.999


def test_other_pictures_are_refused(shallow):
    with pytest.raises(ValueError, match=r"images must be square, .* got \[1, 8, 9, 3\]"):
        arcface.face_of(np.zeros((1, 8, 9, 3), np.float32))
    with pytest.raises(ValueError, match=r"faces must be \[n, 112, 112, 3\], got \[1, 64, 64, 3\]"):
        shallow(np.zeros((1, 64, 64, 3), np.float32))
    with pytest.raises(ValueError, match="CSIM is of pairs of pictures, got 2 and 1"):
        csim(shallow, pictures(2, 64), pictures(1, 64))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "no state dict"),
        ({"weight": np.zeros(3, "f4")}, "not those of ArcFace on IR-SE: missing body.0.*unexpected weight"),
    ],
)
def test_files_of_other_networks_are_refused(writers, tmp_path, content, message):
    (tmp_path / "other.pth").write_bytes(writers.torch_zip(content))
    with pytest.raises(ValueError, match=rf"other\.pth: .*{message}"):
        load_arcface(tmp_path / "other.pth")
