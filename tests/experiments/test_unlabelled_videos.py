"""The videos that experiments/unlabelled_videos.py makes, and how it measures what is learnt from them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from disentangle_jax.directions.by_scorer import from_scores
from disentangle_jax.directions.find import Found
from disentangle_jax.domains import load_domain
from disentangle_jax.evaluation.motion import truth_animator
from disentangle_jax.generators import load_generator
from disentangle_jax.latents import sample_ws
from disentangle_jax.scorers import split
from stylegan2_flax import command

SCRIPT = Path(__file__).parents[2] / "experiments" / "unlabelled_videos.py"


def truth_directions(generator, domain):
    """What finding directions gives, of readings of the truth."""
    ws = sample_ws(generator.mapping, jax.random.key(2), 256, 1.0)
    return Found(from_scores(ws, domain.truth(ws), domain.names, domain.structure, 1e-2), None)


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


def test_the_table_has_a_row_for_sets_of_each_size_and_for_what_they_stand_beside(script, domain, monkeypatch):
    """Latents that the truth moves stand for inverted ones."""
    monkeypatch.setattr(script, "PAIRS", 64)
    generator = load_generator("faces64")
    faces = sample_ws(generator.mapping, jax.random.key(0), 4, 1.0)
    known = truth_directions(generator, domain)
    monkeypatch.setattr(script.find, "find_directions", lambda *given: known)  # in place of 8,192 readings
    motion = jax.random.uniform(jax.random.key(1), (4, 16, len(domain.structure)), minval=-1.0)
    videos = list(np.asarray(truth_animator(domain, 0.8).animate(faces, motion)))
    _, _, *rows = script.table(videos, generator, domain).splitlines()
    cells = {name.strip(): [cell.split() for cell in rest] for _, name, *rest, _ in (row.split("|") for row in rows)}
    *sets, swap, scorer = cells
    assert sets[:2] == ["2 videos (2 sets)", "4 videos (1 sets)"]
    assert (swap[:18], scorer) == ("swap of the first ", "directions of a scorer")
    assert [len(cells[name][0]) for name in (*sets[:2], swap)] == [3, 1, 1]  # a spread of two sets alone
    (structure,), (appearance,) = cells["4 videos (1 sets)"]
    assert (float(structure) > 0.1, float(appearance) > 0.6) == (True, True)


def test_videos_of_other_settings_are_not_mixed_in(script, tmp_path):
    (tmp_path / "latents").mkdir()
    (tmp_path / "latents" / "seed1_16_frames_000.safetensors").touch()
    with pytest.raises(SystemExit, match="holds videos of another --num, --frames or --seed"):
        command.run(script.main, script.FLAGS, ["unlabelled_videos", f"--out={tmp_path}", "--num=2"])
