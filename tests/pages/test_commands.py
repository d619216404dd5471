"""Every command of README and site is typed as it stands there, in the order of its page, or listed with the reason."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

import stylegan2_flax as sg2
from disentangle_jax.configs import inversion

ROOT = Path(__file__).parents[2]
EXECUTED = re.compile(
    r"(\w+=\S+ )?python (-m (disentangle_jax|stylegan2_flax)\.\S+|experiments/\S+\.py)( |$)|\.venv/bin/pytest tests/"
)
"""What is typed into a shell here; Python is executed as well."""

INSTALLED = "the tests run in an environment where this is installed; tests/test_wheel.py builds what would be"
BUCKETS = "tests/test_buckets.py and tests/training/test_buckets.py, on an emulator of Google Cloud Storage"
NOT_EXECUTED = {
    "pip install '.[video]'": INSTALLED,
    "pip install '.[video,portraits]'": INSTALLED,
    "pip install '.[checkpoints]'": INSTALLED,
    "pip install '.[app]'": "Gradio wants another Pillow than the tests; tests/page/ runs where it is installed",
    "pip install '.[cuda]'": "needs a GPU",
    "pip install pre-commit && pre-commit install": "changes the repository; it runs ruff, as `make test` does",
    "python -m disentangle_jax.app --model=faces64": "needs Gradio; tests/page/test_page.py",
    "make demo": "takes minutes; its commands are those of the README with `demo`, and its figures stand there",
    "make test": "runs these tests",
    ".venv/bin/pytest -m slow": "runs these tests",
    ".venv/bin/basedpyright": "is what `make test` runs beside these tests",
    "make test-lowest test-newest": "installs other releases, and runs these tests",
    "make owner NAME=you": "tests/experiments/test_notebooks.py",
    "import stylegan2_flax": "tests/stylegan2_flax/test_light_imports.py",
    "python experiments/curved_world.py --out=runs/curved_world --curvatures=0,0.5,1": "takes minutes: "
    "tests/experiments/test_curved_world.py",
    "python experiments/benchmarks/stylegan2.py --resolutions=256 --batches=4 --dtypes=float32 --peer=peer/bin/python "
    "--rounds=7": "needs flaxmodels and an old jax; tests/experiments/test_benchmarks.py with a stand-in",
    "python experiments/benchmarks/encoders.py --peer=peer/bin/python --batch=1": "needs PyTorch; "
    "tests/experiments/test_benchmarks.py with a stand-in",
    "python -m disentangle_jax.make_clips --config=faces64 --num_clips=100000 --out=gs://BUCKET/data": BUCKETS,
    "python -m disentangle_jax.train --config=faces64 --config.data.source=stored --config.data.directory=gs://BUCKET/data"
    " --workdir=gs://BUCKET/RUN": BUCKETS,
    "python -m disentangle_jax.evaluate --workdir=gs://BUCKET/RUN": BUCKETS,
    'disentangle_jax.Disentangler.load("gs://BUCKET/RUN")': BUCKETS,
    "convert --drop_clamp": "short for a command that is executed on the same page",
    "make_clips --out": "short for a command that is executed on another page",
    "python -m disentangle_jax.train --config=ffhq256:scorer --config.generator=PATH "
    "--config.directions.scorer=my_package.my_module:Attributes --workdir=runs/with_scorer": "of a scorer that is not "
    "there; tests/training/test_published.py",
    "python -m disentangle_jax.export": "names the program, which is executed on another page",
    'Disentangler.load("NAME")': "of a package that is not there; tests/test_disentangler.py",
    'checkpoint = torch.load(\n    "ffhq.pt", weights_only=True\n)  # {"g_ema": ..., "latent_avg": ...}; {"d": ...} '
    'for a discriminator\ngenerator.load_state_dict(checkpoint["g_ema"])\n': "needs torch and rosinality's code; "
    "tests/stylegan2_flax/checkpoints/test_rosinality.py",
}
"""Commands that are not executed here, and why, or where else."""


MODEL = "--config.model.width=16 --config.model.num_blocks=1"
MODEL += " --config.optimizer.warmup_steps=1 --config.optimizer.name=adamw"
FACES = "--config.directions.num_samples=256 --config.clips.stats_samples=256 --config.readout.num_samples=256"
FACES += " --config.readout.num_moved=64 --config.readout.num_steps=20 --config.readout.hidden=16"
STEPS = "--config.train.num_steps=2 --config.train.batch_size=8"
EXAM = "batch_size=8 num_pairs=16 num_selection_pairs=16 num_readout_faces=200 motion.num_clips=2 motion.num_frames=4"
EXAM += " probes.num_faces=24 probes.num_frames=2 retrieval.num_faces=4 retrieval.num_frames=4"
EXAM += " pictures.num_sources=1 pictures.num_drivings=1 pictures.num_pairs=1 pictures.num_clips=1"
EXAM = " ".join(f"--config.evaluation.{option}" for option in EXAM.split())
SEARCH = "optimise.steps=2 refine.steps=2 scout.steps=1 starts=1 candidates=3"
SHORTENED = {
    r"disentangle_jax\.(train|make_clips) .*=faces64\b": f"{FACES} {MODEL}",  # 24,576 readings of a judge
    r"disentangle_jax\.train .*=ffhq256\b": f"--config.directions.num_samples=256 {MODEL}",
    r"disentangle_jax\.train ": STEPS,
    r"source=videos": "--config.directions.num=1",  # of two steps of inversion
    r"disentangle_jax\.make_clips ": "--num_clips=16 --config.data.clips_per_shard=8",
    r"disentangle_jax\.evaluate ": EXAM,  # 1,024 pairs, each with a search
    r"disentangle_jax\.evaluate .*--clip=": "--steps=2",
    r"disentangle_jax\.find_directions ": "--config.directions.num_samples=256",
    r"disentangle_jax\.transfer .*=(photo|a\.png)": " ".join(f"--config.inversion.{word}" for word in SEARCH.split()),
    r"disentangle_jax\.invert ": " ".join(f"--config.{word}" for word in SEARCH.split()),
    r"disentangle_jax\.train_encoder ": f"{STEPS} --config.optimizer.warmup_steps=1 --config.model.widths=(4,4,8,8) "
    "--config.model.hidden=16 --config.evaluation.num_images=8",
    r"disentangle_jax\.faces\.train_judge ": f"{STEPS} --config.optimizer.warmup_steps=1 "
    "--config.model.widths=(4,4,8,8) --config.evaluation.num_faces=16",
    r"disentangle_jax\.faces\.train_generator ": "--config.train.num_steps=(1,) --config.train.resolutions=(64,) "
    "--config.train.learning_rates=(1e-3,) --config.stats_samples=4096 --config.evaluation.num_faces=16 "
    "--config.generator.synthesis_kwargs.channel_max=4",  # one stage, as each is compiled
    r"stylegan2_flax\.train ": "--config.train.total_kimg=0.016 --config.train.alone_kimg=0 "
    "--config.train.batch_size=8 --config.discriminator.channel_max=4 --config.snapshot.rows=1 "
    "--config.score.num_samples=16 --config.score.batch_size=8",
    r"stylegan2_flax\.train .*(CONFIG|gan_folder)\.py": "--config.generator.synthesis_kwargs.channel_max=4",
    r"benchmarks/stylegan2\.py ": "--resolutions=8 --channel_base=64 --rounds=1",  # 1,024 px take gigabytes
    r"benchmarks/train\.py ": "--rounds=1 --batches=16",
    r"benchmarks/train\.py --devices": "--devices=8",
    r"benchmarks/gradients\.py": "--resolution=8 --channels=4 --seeds=0",  # 45 million units in float64
    r"run_ablation\.py ": "--seeds=1",  # see also TWO_POINTS
    r"ranking\.py ": "--seeds=0 --faces=2 --candidates=8",
    r"unlabelled_videos\.py ": "--num=2 --frames=8",
}
"""What is added to commands, so that they end within seconds: few steps, samples and channels for minutes to days."""

TWO_POINTS = """

CONFIG, every = {config!r}, points

def points():
    return list(every())[:2]
"""
"""What is added to the file of an ablation: a tiny config, and an end after two points."""

IN_PYTHON = {
    "https://host/ffhq.pkl": "ffhq.pkl",
    "img_resolution=256": "img_resolution=16",
    "d.invert(pictures)": "d.invert(pictures, settings=short)",
    "d.invert(images)": "d.invert(images, settings=short)",
}
"""What is replaced in blocks of Python: an address, and what would take long."""

GIVEN = {
    "README.md": "PATH runs/mine photo.jpg face.png video.mp4",
    "third_party/stylegan2_flax/README.md": "ffhq.pkl CONFIG.py FOLDER",
    "docs/generator.md": "PATH FOLDER video.mp4 another.mp4 my.safetensors e4e_ffhq_encode.pt model_ir_se50.pth",
    "docs/index.md": "PATH runs/demo",
    "docs/pictures.md": "PATH runs/mine photo.jpg photo.png photos video.mp4 folder face.npy clip.npy a.png b.png "
    "a.gif",
}
"""What readers have, of what `inputs.py` writes; runs/mine and runs/demo are the model of `trained`."""

ELSEWHERE = {
    "docs/domain.md": ["python -m disentangle_jax.train --config=faces64 --workdir=runs/faces64"],
    "experiments/launch/README.md": ["python -m disentangle_jax.train --config=faces64 --workdir=runs/faces64"],
    "docs/ablations.md": ["python experiments/run_ablation.py losses --seeds=3"],
}
"""Commands of which nothing else on their page needs the results, and which are executed in the README."""


def names_of(page: str) -> dict[str, Any]:
    """What the examples of a page leave to the reader: arrays and modules by name."""
    rng = np.random.default_rng(0)

    def random(*shape):
        return rng.normal(size=shape).astype(np.float32).clip(-1, 1)

    latents = {"ws": random(2, 10, 64), "source_ws": random(10, 64), "driving_ws": random(3, 10, 64)}
    short = inversion.get_config()
    short.update_from_flattened_dict({name: int(n) for name, n in (word.split("=") for word in SEARCH.split())})
    match page:
        case "README.md" | "docs/index.md":
            return latents | {"pictures": random(1, 64, 64, 3), "short": short}
        case "docs/pictures.md":
            return {"images": random(2, 64, 64, 3), "short": short}
        case "docs/generator.md":
            return {"images": random(1, 256, 256, 3)}
        case "docs/clusters.md":
            import tensorflow_datasets as tfds

            return {"tfds": tfds}
        case "third_party/stylegan2_flax/README.md":
            build = jax.jit(lambda: sg2.Discriminator(0, 16, 3, channel_base=16384, rngs=nnx.Rngs(0)))
            return {"arrays_of_d": sg2.to_state_dict(build())}
    return {}


def shortened(line: str) -> str:
    """The line with all that `SHORTENED` adds to it."""
    return " ".join([line, *(more for pattern, more in SHORTENED.items() if re.search(pattern, line))])


def type_line(line: str, folder: Path) -> None:
    """Run a line in a folder as a shell would, and see that it writes what it is told to."""
    words = shlex.split(line)
    environment = dict(word.split("=", 1) for word in words[: next(i for i, w in enumerate(words) if "=" not in w)])
    words = words[len(environment) :]
    program = sys.executable if words[0] == "python" else str(folder / words[0])
    flags = {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", "count=1")}
    done = subprocess.run(
        [program, *words[1:]],
        cwd=folder,
        env=os.environ | flags | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    if "--dry-run" not in words:
        for path in re.findall(r"--(?:out|workdir)=(\S+)", line):
            assert (folder / path).exists(), line


@pytest.fixture(scope="session")
def trained(given) -> Path:
    """Where the README's own command has trained runs/mine."""
    line = "python -m disentangle_jax.train --config=ffhq256 --config.generator=PATH --workdir=runs/mine"
    type_line(shortened(line), given)
    return given


@pytest.fixture
def sandbox(page, request, write_tiny_config, shapes, tmp_path, monkeypatch) -> Path:
    """The folder in which a reader of the page types: with the experiments, and what the page takes for granted."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    exam = {name: int(n) for name, n in (word.removeprefix("--config.").split("=") for word in EXAM.split())}
    config = write_tiny_config({"train.num_steps": 2, **exam}).removeprefix("--config=")
    with (tmp_path / "experiments/ablations/losses.py").open("a") as file:
        file.write(TWO_POINTS.format(config=config))
    for name, path in {"tests": "tests", "pyproject.toml": "pyproject.toml", ".venv": sys.prefix}.items():
        (tmp_path / name).symlink_to(ROOT / path)
    (tmp_path / "runs").mkdir()
    for name in GIVEN.get(str(page.relative_to(ROOT)), "").split():
        is_model = name.startswith("runs/")
        folder = request.getfixturevalue("trained" if is_model else "given")
        source = folder / ("runs/mine" if is_model else name)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(shapes))
    return tmp_path


def test_every_command_is_executed_or_listed(page, commands):
    for command in commands(page):
        if not command.is_python and command.text not in NOT_EXECUTED:
            assert EXECUTED.match(command.text), command.text


def test_what_is_listed_and_what_is_shortened_stands_on_a_page(every_page, commands):
    on = {str(page.relative_to(ROOT)): [command.text for command in commands(page)] for page in every_page}
    texts = [text for page in on.values() for text in page]
    assert set(NOT_EXECUTED) <= set(texts)
    for pattern in SHORTENED:
        assert any(re.search(pattern, text) for text in texts), pattern
    for page, elsewhere in ELSEWHERE.items():
        assert set(elsewhere) <= set(on[page]) & set(on["README.md"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_commands_do_in_their_order_what_the_page_says(page, commands, sandbox):
    name = str(page.relative_to(ROOT))
    names = names_of(name)
    for command in commands(page):
        if command.text in NOT_EXECUTED or command.text in ELSEWHERE.get(name, ()):
            continue
        if command.is_python:
            text = command.text
            for long, short in IN_PYTHON.items():
                text = text.replace(long, short)
            exec(compile(text, name, "exec"), names)
        else:
            type_line(shortened(command.text), sandbox)
