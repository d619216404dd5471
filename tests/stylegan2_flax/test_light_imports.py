"""What heavy packages are not needed for."""

import subprocess
import sys

from flax import nnx

import stylegan2_flax as sg2

HEAVY = ("tensorflow_datasets", "grain", "array_record", "sklearn", "matplotlib")
BLOCK = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run_without_heavy_packages(code):
    done = subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_heavy_packages_are_absent_in_these_tests():
    for name in HEAVY:
        code = f"try:\n    import {name}\nexcept ModuleNotFoundError:\n    print('absent')"
        assert run_without_heavy_packages(code) == "absent\n"


def test_importing_sampling_and_converting_take_no_heavy_package(randomized, tmp_path):
    blocks = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"channel_base": 16, "channel_max": 2}}
    network = randomized(lambda: sg2.Generator(4, 0, 4, 4, 3, **blocks, rngs=nnx.Rngs(0)))
    sg2.save(network, path := tmp_path / "g.safetensors")
    run_without_heavy_packages(f"""
import stylegan2_flax, stylegan2_flax.train, stylegan2_flax.gan.experiment
from stylegan2_flax import convert, sample
convert.main(["convert", {str(path)!r}, {str(tmp_path / "g.npz")!r}])
for out, more in (({str(tmp_path / "grid.png")!r}, []), ({str(tmp_path / "loop.gif")!r}, ["--frames=1"])):
    sample.main(["sample", {str(path)!r}, "--seeds=0-3", "--out", out, *more])
""")
    assert {path.name for path in tmp_path.iterdir()} == {"g.safetensors", "g.npz", "grid.png", "loop.gif"}
