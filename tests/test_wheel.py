"""The built wheel holds both packages and the bundled networks, and works without the checkout."""

import os
import subprocess
import sys

USE = """
import stylegan2_flax, disentangle_jax
from importlib.metadata import version
from disentangle_jax.faces import Judge, Truth
from disentangle_jax.generators import load_generator
assert "site" in disentangle_jax.__file__ and "site" in stylegan2_flax.__file__, disentangle_jax.__file__
generator = load_generator("faces64")
import jax.numpy as jnp
images = generator.synthesis(generator.mapping(jnp.ones((1, generator.z_dim))))
versions = {disentangle_jax.__version__, stylegan2_flax.__version__, version("disentangle_jax")}
assert len(versions) == 1, versions
print(Judge.load("judge_a")(images).shape, Truth.load("faces64").mean.shape)
"""


def output_of(code, site, folder):
    """What code prints that finds the packages in the unpacked wheel."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_works_without_the_checkout(site, tmp_path):
    assert "(1, 16) (64,)" in output_of(USE, site, tmp_path)


def test_the_wheel_holds_the_cards_and_the_licence(site):
    assets = {path.name for path in (site / "disentangle_jax" / "assets").iterdir()}
    assert {"faces64.json", "judge_a.json", "judge_b.json"} <= assets
    assert list(site.glob("*.dist-info/**/LICENSE"))


def test_the_wheel_holds_all_files_of_bundled_models(site):
    held = {path.name for path in (site / "disentangle_jax" / "assets" / "models" / "exported").iterdir()}
    assert held == {"config.json", "SHA256SUMS", "model.safetensors", "README.md", "motion.gif"}


def test_the_wheel_holds_the_configs(site, tmp_path):
    use = "from disentangle_jax.configs import faces64, ffhq1024, gan_folder; print(ffhq1024.get_config().seed)"
    assert output_of(use, site, tmp_path) == "0\n"
    assert not (site / "disentangle_jax" / "configs").is_symlink()


def test_the_wheel_holds_the_templates_of_the_report(site, tmp_path):
    use = "from disentangle_jax.report import report; report.environment().get_template('report.html.jinja')"
    output_of(use, site, tmp_path)
    assert (site / "disentangle_jax" / "report" / "templates" / "style.css").exists()


def test_the_wheel_says_that_it_is_typed(site):
    assert (site / "disentangle_jax" / "py.typed").exists()
    assert (site / "stylegan2_flax" / "py.typed").exists()
