"""Teaching the generator: a run that was interrupted ends where one that was not does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from disentangle_jax.faces import train_generator
from stylegan2_flax import command


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Three steps a stage, a checkpoint after the second and the last, plain pictures; nothing is bundled."""
    stages = tuple(stage._replace(steps=3) for stage in train_generator._STAGES)
    monkeypatch.setattr(train_generator, "_STAGES", stages)
    monkeypatch.setattr(train_generator, "_CHANNELS", {"channel_base": 64, "channel_max": 2})
    monkeypatch.setattr(train_generator, "_BATCH", 2)
    monkeypatch.setattr(train_generator, "_SAVE_EVERY", 2)
    monkeypatch.setattr(train_generator, "render", plain)
    monkeypatch.setattr(train_generator, "bundle", lambda generator, truth, weights, *_, **__: taught.append(weights))


taught = []


def plain(factors):
    """Pictures of one colour, made in no time."""
    return jnp.broadcast_to(factors.structure[:, None, None, :3], (len(factors.structure), 64, 64, 3))


def teach(out):
    """The weights at the end of `python -m disentangle_jax.faces.train_generator --out=OUT`."""
    command.run(train_generator.main, train_generator._FLAGS, ["train_generator", f"--out={out}"])
    return taught.pop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("generator")


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(folder, monkeypatch):
    whole = teach(folder / "whole")
    store, seen = train_generator._store, []

    def store_and_interrupt(path, state):
        store(path, state)
        seen.append((path.name, int(state["step"])))
        if len(seen) in (1, 4):
            raise KeyboardInterrupt

    monkeypatch.setattr(train_generator, "_store", store_and_interrupt)
    for _ in range(2):
        with pytest.raises(SystemExit):
            teach(folder / "stopped")
    resumed = teach(folder / "stopped")
    # In the middle of the first stage, then at the end of the second, each resumed where it stood.
    assert seen == [(f"checkpoint_{side}.npz", step) for side, step in ((32, 2), (32, 3), (64, 2), (64, 3))]
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoint_32.npz").write_bytes(b"half")
    with pytest.raises(SystemExit, match=r"error: .*checkpoint_32.npz is damaged .*; delete it"):
        teach(tmp_path)
