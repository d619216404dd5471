"""The user's handle, on a model that was really trained (for three steps, on a tiny generator)."""

from typing import Any

import jax
import numpy as np
import pytest

import stylegan2_flax as sg2
from disentangle_jax import batching
from disentangle_jax.configs import faces64, inversion
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.training import experiment

LAYERS, W_DIM = 4, 8


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, untrained):
    folder = tmp_path_factory.mktemp("run")
    sizes: dict[str, Any] = {
        "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
    }
    sg2.save(untrained(lambda rngs: sg2.Generator(16, 0, W_DIM, 8, **sizes, rngs=rngs)), folder / "tiny.safetensors")
    config = faces64.get_config("demo,linear")
    config.generator = str(folder / "tiny.safetensors")
    config.directions.update(source="pca", num_samples=64, layers=(0, 2), num=2)
    config.clips.update(mix_from=3, trajectories=("sinusoid",), stats_samples=64)
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=1)
    config.optimizer.update(name="adamw", warmup_steps=1, learning_rate=1e-2)
    config.train.update(batch_size=8, num_steps=3, log_every=1)
    experiment.run(config, folder)
    return folder


@pytest.fixture(scope="module")
def model(workdir):
    return Disentangler.load(workdir)


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(1).normal(size=(5, LAYERS, W_DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(2).normal(size=(3, LAYERS, W_DIM)).astype(np.float32)


def close(a, b):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_codes_of_any_leading_shape(model, faces):
    codes = model.encode(faces)
    assert codes.appearance.shape == (5, 6)
    assert codes.structure.shape == (5, 3)
    close(model.encode(faces[0]).structure, codes.structure[0])
    assert model.decode(*codes).shape == faces.shape


def test_transfer_swaps_codes(model, faces, clip):
    expected = model.decode(model.encode(faces[0]).appearance, model.encode(clip).structure)
    assert expected.shape == clip.shape
    close(model.transfer(faces[0], clip), expected)


def test_transfer_broadcasts_faces_over_clips(model, faces, clip):
    grid = model.transfer(faces[:, None], clip)
    assert grid.shape == (5, 3, LAYERS, W_DIM)
    close(grid[2], model.transfer(faces[2], clip))
    close(model.transfer(clip, faces[0]), model.transfer(clip, np.stack([faces[0]] * 3)))


def test_strength_goes_from_the_source_to_the_driving_and_beyond(model, faces, clip):
    source = model.encode(faces[0])
    close(model.transfer(faces[0], clip, strength=0.0)[1], model.decode(*source))
    driving = model.encode(clip).structure
    beyond = source.structure + 2 * (driving[1] - source.structure)
    close(model.transfer(faces[0], clip, strength=2.0)[1], model.decode(source.appearance, beyond))


def test_relative_transfer_starts_from_the_source(model, faces, clip):
    source, driving = model.encode(faces[0]), model.encode(clip).structure
    moved = model.transfer(faces[0], clip, relative=True, reference=1)
    close(moved[1], model.decode(*source))
    close(moved[2], model.decode(source.appearance, source.structure + driving[2] - driving[1]))
    close(moved, model.transfer(faces[0], clip, relative=True, reference=-2))
    halved = source.structure + 0.5 * (driving[2] - driving[1])
    close(
        model.transfer(faces[0], clip, relative=True, reference=1, strength=0.5)[2],
        model.decode(source.appearance, halved),
    )


def test_render_keeps_leading_axes_and_bounds_its_batches(model, faces, monkeypatch):
    expected = jax.jit(lambda synthesis, ws: synthesis(ws))(model.generator.synthesis, faces)
    close(model.render(faces), expected)
    close(model.render(faces[0]), expected[0])
    assert model.render(faces[:4].reshape(2, 2, LAYERS, W_DIM)).shape == (2, 2, 8, 8, 3)
    monkeypatch.setattr(batching, "_PIXELS", 2 * 8 * 8)  # two images at once, and one left over
    close(model.render(faces), expected)


def test_images_are_inverted_by_the_generator_of_the_model(model, faces):
    settings = inversion.get_config()
    settings.optimise.steps = settings.scout.steps = 2
    settings.starts, settings.candidates = 1, 2
    images = model.render(faces[:4].reshape(2, 2, LAYERS, W_DIM))
    found = model.invert(images, settings=settings)
    assert (found.ws.shape, found.psnr.shape) == ((2, 2, LAYERS, W_DIM), (2, 2))
    close(model.render(found.ws), found.images)


def test_transfer_and_render_does_both(model, faces, clip, monkeypatch):
    close(model.transfer_and_render(faces[0], clip), model.render(model.transfer(faces[0], clip)))
    relative = {"relative": True, "reference": 2, "strength": 0.7}
    close(
        model.transfer_and_render(faces[0], clip, **relative), model.render(model.transfer(faces[0], clip, **relative))
    )
    monkeypatch.setattr(batching, "_PIXELS", 2 * 8 * 8)
    close(model.transfer_and_render(faces[0], clip), model.render(model.transfer(faces[0], clip)))


def test_export_knows_the_home_folder_and_refuses_urls(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    model.export("~/export")
    assert (tmp_path / "home" / "export" / "model.safetensors").is_file()
    with pytest.raises(ValueError, match="s3://bucket/export is a URL"):
        model.export("s3://bucket/export")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_exported_folder_needs_nothing_else(model, workdir, faces, tmp_path):
    model.export(tmp_path / "export")
    names = {path.name for path in (tmp_path / "export").iterdir()}
    assert names == {
        *("config.json", "model.safetensors", "generator.safetensors", "directions.safetensors", "SHA256SUMS")
    }
    again = Disentangler.load(tmp_path / "export")
    np.testing.assert_array_equal(again.encode(faces).structure, model.encode(faces).structure)
    np.testing.assert_array_equal(again.render(faces), model.render(faces))
    np.testing.assert_array_equal(again.directions.vectors, model.directions.vectors)


def test_a_model_without_its_directions_is_told_what_it_lacks(model, tmp_path):
    model.export(tmp_path)
    for name in ("directions.safetensors", "SHA256SUMS"):
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"no directions at .*directions\.safetensors: copy them"):
        Disentangler.load(tmp_path)


def test_it_uses_the_averaged_parameters(workdir, model):
    state = experiment.run(model.config, workdir)  # finished: gives the last state
    kernel = model.autoencoder.encoder.structure.kernel[...]
    np.testing.assert_array_equal(kernel, state.ema_params["encoder"]["structure"]["kernel"])
    assert not np.array_equal(kernel, state.params["encoder"]["structure"]["kernel"])


def test_wrong_input_is_told_apart(model, faces, clip, tmp_path):
    with pytest.raises(ValueError, match=r"ws must be latents of W\+, .*\[\.\.\., 4, 8\].* got shape \(5, 4, 7\)"):
        model.encode(faces[..., :7])
    with pytest.raises(ValueError, match="driving_ws must be latents"):
        model.transfer(faces[0], clip[:, :2])
    with pytest.raises(ValueError, match=r"\(5, 4, 8\) and driving_ws \(3, 4, 8\) do not broadcast"):
        model.transfer(faces, clip)
    with pytest.raises(ValueError, match="from frame 3 of a clip"):
        model.transfer(faces[0], clip, relative=True, reference=3)
    with pytest.raises(ValueError, match="from frame 0 of a clip"):
        model.transfer(faces[0], clip[0], relative=True)
    for options in ({"relative": True, "reference": 3}, {"relative": True, "reference": -4}):
        with pytest.raises(ValueError, match=r"of a clip \[\.\.\., t, l, d\]; driving_ws has shape \(3, 4, 8\)"):
            model.transfer_and_render(faces[0], clip, **options)
    with pytest.raises(ValueError, match="reference=2 is for relative transfer: say relative=True too"):
        model.transfer(faces[0], clip, reference=2)
    with pytest.raises(ValueError, match="from frame 0 of a clip"):
        model.transfer(faces[0], clip[:0], relative=True)
    for strength in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"strength must be a finite number; got {strength}"):
            model.transfer(faces[0], clip[0], strength=strength)
    codes = model.encode(faces)
    with pytest.raises(ValueError, match=r"structure must be codes \[\.\.\., 3\]; got shape \(5, 6\)"):
        model.decode(codes.appearance, codes.appearance)
    with pytest.raises(ValueError, match=r"appearance \(5, 6\) and structure \(2, 3\) do not broadcast"):
        model.decode(codes.appearance, codes.structure[:2])
    with pytest.raises(FileNotFoundError, match="neither a training workdir nor an exported folder"):
        Disentangler.load(tmp_path)


def test_no_latents_give_no_pictures(model, faces):
    assert model.render(faces[:0]).shape == (0, 8, 8, 3)
    assert model.render(faces[:0].reshape(2, 0, LAYERS, W_DIM)).shape == (2, 0, 8, 8, 3)
    assert model.transfer(faces[:0], faces[0]).shape == (0, LAYERS, W_DIM)
    assert model.transfer_and_render(faces[0], faces[:0]).shape == (0, 8, 8, 3)
    assert model.encode(faces[:0]).structure.shape == (0, 3)


def test_it_says_what_it_is(model):
    assert repr(model).startswith("Disentangler(W+ [4, 8] -> appearance [6], structure [3]; generator /")
    assert repr(model).endswith("tiny.safetensors, 8 px)")
    assert repr(model.directions).startswith("Directions(2 in W+ [4, 8], by pca of generator ")
    assert repr(model.directions).endswith(": pca_0, pca_1)")


def test_a_model_that_a_package_offers_is_found_by_name(model, faces, tmp_path, monkeypatch):
    model.export(tmp_path / "model")
    (tmp_path / "offering.py").write_text(f"def model():\n    return {str(tmp_path / 'model')!r}\n")
    (tmp_path / "offering-1.dist-info").mkdir()
    (tmp_path / "offering-1.dist-info" / "entry_points.txt").write_text(
        "[disentangle_jax.models]\ntiny = offering:model\n"
    )
    (tmp_path / "offering-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(Disentangler.load("tiny").encode(faces).structure, model.encode(faces).structure)
    with pytest.raises(FileNotFoundError, match=r"no model 'tall'.* an installed package registers \(faces64, tiny\)"):
        Disentangler.load("tall")
