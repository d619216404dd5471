"""From a config to a clip source with all it may have: directions of appearance, a purifier, a latent readout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.clips import ClipSource, build_clip_source, sample_clip
from disentangle_jax.clips.from_config import blank_clip_source
from disentangle_jax.configs import faces64
from disentangle_jax.directions.readout import Readout
from disentangle_jax.faces import APPEARANCE, Judge


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny generator, the folder of a run, and a config of which a tiny judge is the scorer."""
    folder = tmp_path_factory.mktemp("run")

    @jax.jit
    def build(key):
        rngs, sizes = nnx.Rngs(key), {"channel_base": 64, "channel_max": 4}
        generator = sg2.Generator(8, 0, 16, 64, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=sizes, rngs=rngs)
        return generator, Judge((4, 4, 4, 4), 16, rngs=rngs)

    generator, judge = build(jax.random.key(0))
    judge.save(folder / "judge.safetensors")
    config = faces64.get_config("linear")
    judge_of_layers = {"scorer": f"faces_judge:{folder}/judge.safetensors", "style_mixing": 0.9}
    config.directions.update(source="random", num=2, num_samples=128, **judge_of_layers)
    config.clips.update(appearance=1.0)
    config.purify.update(scorer=f"faces_judge:{folder}/judge.safetensors", steps=1, num_faces=64)
    return generator, folder, config


@pytest.fixture(scope="module")
def source(world):
    generator, folder, config = world
    return build_clip_source(config, generator, folder)


def test_directions_of_appearance_and_a_purifier_are_found_and_kept(world, source):
    generator, folder, config = world
    assert source.appearance.names == APPEARANCE
    files = [folder / name for name in ("directions.safetensors", "factors.safetensors")]
    times = [file.stat().st_mtime_ns for file in files]
    again = build_clip_source(config, generator, folder)
    assert [file.stat().st_mtime_ns for file in files] == times
    for one, other in zip(jax.tree.leaves(again.purifier), jax.tree.leaves(source.purifier), strict=True):
        np.testing.assert_array_equal(one, other)


def test_purified_clips_are_other_clips_with_the_same_coefficients(source):
    @jax.jit
    def make(source, keys):
        clips = jax.vmap(sample_clip, (None, 0))(source, keys)
        return clips, source.purifier(clips)

    clips, purified = make(source, jax.random.split(jax.random.key(1), 2))
    assert bool(jnp.isfinite(purified.ws).all() & jnp.isfinite(purified.augmented).all())
    assert float(jnp.abs(purified.ws - clips.ws).max()) > 1e-4
    np.testing.assert_array_equal(purified.coefficients, clips.coefficients)


def test_a_readout_is_fitted_kept_and_read_again(world, tmp_path, capsys):
    generator, _, config = world
    config = config.copy_and_resolve_references()
    config.directions.update(source="scorer", style_mixing=0.0)
    config.clips.update(motion="readout", layers="each", jitter=0.5, appearance=0.0)
    config.readout.update(num_samples=64, posed=0.0, num_moved=64, hidden=4, num_steps=2, batch_size=8)
    config.purify.steps = 0
    source = build_clip_source(config, generator, tmp_path)
    assert "R^2 of the latent readout: skin " in capsys.readouterr().out
    file = tmp_path / "readout.safetensors"
    written = file.stat().st_mtime_ns
    again = build_clip_source(config, generator, tmp_path)
    assert file.stat().st_mtime_ns == written
    for one, other in zip(jax.tree.leaves(again.readout), jax.tree.leaves(source.readout), strict=True):
        np.testing.assert_array_equal(one, other)
    blank = jax.tree.leaves(blank_clip_source(config, generator, tmp_path))
    assert [leaf.shape for leaf in blank] == [leaf.shape for leaf in jax.tree.leaves(again)]
    config.readout.restraint = 2.0  # of a copied readout too, which was fitted with another
    assert getattr(build_clip_source(config, generator, tmp_path).readout, "restraint", None) == 2.0
    assert Readout.load(file).restraint == 2.0
    clip = jax.jit(sample_clip)(source, jax.random.key(1))
    assert bool(jnp.isfinite(clip.ws).all() & jnp.isfinite(clip.augmented).all())
    with pytest.raises(ValueError, match="linear' and a latent readout do not go together"):
        ClipSource.create(
            generator, source.directions, source.config._replace(motion="linear", jitter=0.0), readout=source.readout
        )


def test_a_file_of_directions_of_appearance_is_kept(world, source, tmp_path):
    generator, _, config = world
    config = config.copy_and_resolve_references()
    config.purify.steps = 0
    config.clips.appearance_from = str(tmp_path / "mine.npy")
    np.save(tmp_path / "mine.npy", np.asarray(source.appearance.vectors[:2]))
    kept = build_clip_source(config, generator, tmp_path / "run").appearance
    (tmp_path / "mine.npy").unlink()
    again = build_clip_source(config, generator, tmp_path / "run").appearance
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(kept), strict=True):
        np.testing.assert_array_equal(one, other)
    assert blank_clip_source(config, generator, tmp_path / "run").appearance.names == kept.names


def test_a_ranking_and_a_readout_do_not_go_together(world, tmp_path):
    generator, _, config = world
    config = config.copy_and_resolve_references()
    config.directions.update(source="scorer", style_mixing=0.0, rank="pictures")
    config.clips.update(motion="readout", layers="each", appearance=0.0)
    with pytest.raises(ValueError, match=r"set directions\.rank='none' \(it is 'pictures'\)"):
        build_clip_source(config, generator, tmp_path)


def test_what_does_not_go_together_is_refused(world):
    generator, folder, config = world
    config = config.copy_and_resolve_references()
    config.clips.layers, config.directions.source, config.directions.style_mixing = "each", "scorer", 0.9
    with pytest.raises(ValueError, match=r"set directions\.style_mixing=0 \(it is 0\.9\), or clips\.layers='together'"):
        build_clip_source(config, generator, folder)
    config.clips.layers, config.directions.source = "together", "random"
    config.clips.coordinates = "offset"
    with pytest.raises(ValueError, match="offset coordinates cannot be purified"):
        build_clip_source(config, generator, folder)
    config.clips.appearance_from = "judge"
    with pytest.raises(ValueError, match=r"unknown clips\.appearance_from 'judge'"):
        build_clip_source(config, generator, folder)
    config.clips.motion = "readout"
    with pytest.raises(ValueError, match=r"set directions\.source='scorer', or take the switch linear"):
        build_clip_source(config, generator, folder)
