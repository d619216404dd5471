"""The benchmarks on tiny networks, with a peer of their own making."""

import importlib
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from stylegan2_flax import command

FOLDER = Path(__file__).parents[2] / "experiments" / "benchmarks"
TINY = ("--resolutions=8", "--channel_base=64", "--rounds=3", "--dtypes=float32")
PEER = """
import jax.numpy as jnp

class SynthesisNetwork:
    def __init__(self, resolution, fmap_base, rng):
        assert (resolution, fmap_base) == (8, 32)

    def init(self, rng, ws, noise_mode):
        return {"params": jnp.zeros(3)}

    def apply(self, variables, ws, noise_mode):
        assert ws.shape == (1, 4, 512)
        return ws + jnp.sum(variables["params"])
"""


def run(module, *arguments):
    command.run(module.main, module.FLAGS, [module.__name__, *arguments])


@pytest.fixture
def script(monkeypatch):
    """Imports a file of the folder, which finds its neighbours there, as when it is run."""
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_gradients_agree_with_float64_but_for_flips(script, capsys):
    """At 8 px no unit is within rounding of zero: every form gives float64's gradient."""
    run(script("gradients"), "--resolution=8", "--channels=4", "--seeds=0")
    title, *rows = capsys.readouterr().out.splitlines()
    assert title == "8 px, seed 0: 644 units"
    assert len(rows) == 4
    for row in rows:
        *_, largest, rms, share, _, flips = row.split()
        assert 0.0 < float(rms) <= float(largest) < 2e-6
        assert (float(share), int(flips)) == (0.0, 0)


@pytest.fixture
def benchmark(script, monkeypatch):
    module = script("stylegan2")
    monkeypatch.setattr(module, "rates", lambda dtype: (1e13, 1e13))
    return module


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """Gives this Python a flaxmodels whose networks have this source."""

    def install(source: str) -> str:
        folder = tmp_path / "flaxmodels"
        folder.mkdir()
        (folder / "__init__.py").write_text("from flaxmodels import stylegan2\n", encoding="utf-8")
        (folder / "stylegan2.py").write_text(source, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return sys.executable

    return install


def test_forms_are_one_operation(script):
    forms, sizes = script("forms"), ((1, 4, 4, 3), (2, 3, 3, 3))
    x, k = (np.random.default_rng(0).standard_normal(size).astype(np.float32) for size in sizes)
    for family in (forms.UP, forms.PLAIN):
        first, *others = (jax.jit(form)(x, k) for form in family.values())
        for other in others:
            np.testing.assert_allclose(other, first, atol=1e-5)


def test_forms_are_compared(script, capsys):
    forms, sizes = script("forms"), ((1, 4, 4, 3), (2, 3, 3, 3))
    with pytest.raises(AssertionError, match="wrong is another operation"):
        forms.compare({"right": forms.convolution, "wrong": lambda x, k: 2 * x[..., :2]}, *sizes, rounds=1)
    assert capsys.readouterr().out.split()[0] == "right"


def test_rates(script):
    flops, bandwidth = script("stylegan2").rates("float32", seconds=0.0)
    assert flops > bandwidth > 1e6


def test_table(benchmark, tmp_path, capsys):
    file = tmp_path / "table.json"
    run(benchmark, *TINY, "--batches=1", "--dtypes=float32,bfloat16", f"--json={file}")
    table = json.loads(file.read_text(encoding="utf-8"))
    assert set(table["rates"]) == {"float32", "bfloat16"}
    of = [(row["batch"], row["dtype"]) for row in table["rows"]]
    assert of == [(1, "float32"), (1, "bfloat16")]
    for row in table["rows"]:
        assert len(row["seconds"]) == 3
        assert row["images_per_s"] == row["batch"] / min(row["seconds"])
        assert 0 < row["floor_s"] < min(row["seconds"])
        assert "ratio" not in row
    assert len(capsys.readouterr().out.splitlines()) == 2 + 1 + 2  # rates, heads, rows


def test_work_by_hand(benchmark):
    """8 channels at 4 px and at 8 px, of 64 / resolution."""
    synthesis = benchmark.abstract_synthesis(8, 64)
    at_4 = {"conv1": (9 * 16 * 16 * 16, 2 * 16 * 16, 9 * 16 * 16), "torgb": (3 * 16 * 16, 16 * 16 + 3 * 16, 3 * 16)}
    at_8 = {
        "conv0": (9 * 16 * 8 * 16, 16 * 16 + 8 * 64, 9 * 16 * 8),  # one product a pixel of its 4 px input and tap
        "conv1": (9 * 8 * 8 * 64, 2 * 8 * 64, 9 * 8 * 8),
        "torgb": (3 * 8 * 64, 8 * 64 + 3 * 64, 3 * 8),
    }
    products, values, weights = map(sum, zip(*at_4.values(), *at_8.values(), strict=True))
    assert benchmark.work(synthesis, 2, "float32") == (2 * products, 4 * 2 * values + 4 * weights)
    assert benchmark.work(synthesis, 2, "bfloat16") == (2 * products, 2 * 2 * values + 4 * weights)


def test_ratio_to_a_peer(benchmark, peer, tmp_path):
    file = tmp_path / "table.json"
    run(benchmark, *TINY, "--batches=1", f"--peer={peer(PEER)}", f"--json={file}")
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    ratios = sorted(theirs / ours for ours, theirs in zip(row["seconds"], row["peer_seconds"], strict=True))
    assert row["ratio"] == ratios[1]


def test_a_peer_that_stops(benchmark, peer):
    with pytest.raises(SystemExit, match="the peer stopped"):
        run(benchmark, *TINY, "--batches=1", f"--peer={peer('raise ImportError')}")


def test_what_does_not_fit_is_left_out(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "free_memory", lambda: 2.0**10)
    run(benchmark, *TINY, "--batches=1")
    assert "left out: it needs 0.0 GiB, 0.0 GiB are free" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("stylegan2", "--batches=few"),
        ("stylegan2", "--dtypes=float8"),
        ("train", "--devices=x"),
        ("gradients", "--seeds=-1"),
    ],
)
def test_values_that_are_no_numbers_are_refused(script, name, argument):
    with pytest.raises(SystemExit, match=rf"error: flag {argument.partition('=')[0]}=.* must be"):
        run(script(name), argument)


@pytest.mark.slow
def test_training(script, tmp_path, monkeypatch, capsys):
    module, file = script("train"), tmp_path / "table.json"
    monkeypatch.setattr(module, "rates", lambda dtype: (1e13, 1e13))
    run(module, "--batches=16", "--devices=2", "--rounds=1", f"--json={file}")
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert (row["batch"], row["devices"], row["speed_up"]) == (16, 2, 1)
    assert 0 <= row["share_of_clips"] < 1
    assert 0 < row["of_floor"] < 1
    assert len(capsys.readouterr().out.splitlines()) == 2 + 1


WORKER = """
import sys
import numpy as np
np.save(sys.argv[1] + ".npy", np.full((int(sys.argv[2]), 18, 512), 2.0, np.float32))
print("ready", flush=True)
for _ in sys.stdin:
    print(0.5, flush=True)
"""


@pytest.fixture
def encoders(script, tmp_path, monkeypatch):
    """The benchmark of encoders, with a peer that encodes everything as 2."""
    module = script("encoders")
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(module, "_PROGRAM", worker)
    return module


def test_encoders_that_agree_are_timed_in_turn(encoders, monkeypatch, capsys):
    monkeypatch.setattr(encoders, "load_encoder", lambda path: lambda images: np.full((len(images), 18, 512), 2.0))
    run(encoders, f"--peer={sys.executable}", "--batch=1", "--rounds=3")
    agreement, _, row = capsys.readouterr().out.splitlines()
    assert agreement == "largest difference of the latents: 0.0e+00 of the largest value"
    assert row.split()[2] == "2.00"


def test_encoders_that_disagree_are_not_timed(encoders, monkeypatch):
    monkeypatch.setattr(encoders, "load_encoder", lambda path: lambda images: np.full((len(images), 18, 512), 2.1))
    with pytest.raises(SystemExit, match="the latents are not PyTorch's"):
        run(encoders, f"--peer={sys.executable}", "--batch=1", "--rounds=1")


def test_a_peer_that_stops_says_what_it_may_lack(encoders, tmp_path):
    (tmp_path / "worker.py").write_text("import no_such_library", encoding="utf-8")
    with pytest.raises(SystemExit, match="Has its environment PyTorch"):
        run(encoders, f"--peer={sys.executable}", "--batch=1", "--rounds=1")
