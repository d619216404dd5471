"""What heavy packages are not needed for."""

import subprocess
import sys

import pytest
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


@pytest.mark.parametrize("module", ["stylegan2_flax", "stylegan2_flax.train", "stylegan2_flax.gan.experiment"])
def test_importing_takes_no_heavy_package(module):
    run_without_heavy_packages(f"import {module}")


def test_sampling_and_converting_take_no_heavy_package(tmp_path):
    blocks = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"channel_base": 16, "channel_max": 2}}
    sg2.save(sg2.Generator(4, 0, 4, 4, 3, **blocks, rngs=nnx.Rngs(0)), path := tmp_path / "g.safetensors")
    run_without_heavy_packages(f"""
from stylegan2_flax import convert, sample
convert.main(["convert", {str(path)!r}, {str(tmp_path / "g.npz")!r}])
sample.main(["sample", {str(path)!r}, "--seeds", "0-3", "--out", {str(tmp_path / "grid.png")!r}])
sample.main(["sample", {str(path)!r}, "--seeds", "0,1", "--frames", "2", "--out", {str(tmp_path / "loop.gif")!r}])
""")
    assert {path.name for path in tmp_path.iterdir()} == {"g.safetensors", "g.npz", "grid.png", "loop.gif"}
