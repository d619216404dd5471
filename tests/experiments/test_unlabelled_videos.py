"""The videos that experiments/unlabelled_videos.py makes, and how it measures what is learnt from them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from disentangle_jax.domains import load_domain
from disentangle_jax.evaluation.motion import truth_animator
from disentangle_jax.generators import load_generator
from disentangle_jax.latents import sample_ws
from disentangle_jax.scorers import split

SCRIPT = Path(__file__).parents[2] / "experiments" / "unlabelled_videos.py"


@pytest.fixture(scope="module")
def script(load_module):
    return load_module(SCRIPT)


@pytest.fixture(scope="module")
def domain():
    return load_domain("faces64")


def test_a_video_shows_one_face_in_motion_and_each_another(script, domain):
    drawn = []

    class Recorder:
        names, structure, truth, pose = domain.names, domain.structure, None, None

        def render(self, factors, resolution):
            drawn.append(split(np.asarray(factors), domain))
            return np.zeros((len(factors), resolution, resolution, 3), np.float32)

    assert [script.draw(jax.random.key(seed), 4, 16, Recorder()).shape for seed in (0, 1)] == 2 * [(4, 16, 16, 3)]
    one, other = drawn
    assert np.ptp(one.appearance, axis=0).max() == 0.0
    assert np.abs(one.appearance - other.appearance).min() > 0.0
    assert np.ptp(one.structure, axis=0).min() > 0.1


def test_directions_of_exact_videos_transfer_better_than_nothing(script, domain, monkeypatch):
    """Latents that the truth moves stand for inverted ones."""
    monkeypatch.setattr(script, "PAIRS", 64)
    generator = load_generator("faces64")
    faces = sample_ws(generator.mapping, jax.random.key(0), 4, 1.0)
    motion = jax.random.uniform(jax.random.key(1), (4, 16, len(domain.structure)), minval=-1.0)
    videos = list(np.asarray(truth_animator(domain, 0.8).animate(faces, motion)))
    *_, two, four = script.table(videos, generator, domain).splitlines()
    assert two.startswith("| 2 | 2 | ")
    structure, appearance = (float(cell.split()[0]) for cell in four.split("|")[3:5])
    assert structure > 0.1
    assert appearance > 0.6
