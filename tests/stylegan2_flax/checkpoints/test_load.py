"""One call for every format and place: what a file is, its content tells; what is wrong with it, one error tells."""

import functools
import http.server
import io
import subprocess
import sys
import threading
import zipfile
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as serialize

import stylegan2_flax as sg2
from stylegan2_flax.checkpoints.load import load_as

SQUARE = {"z_dim": 6, "w_dim": 6, "img_resolution": 8, "synthesis_kwargs": {"channel_base": 32, "channel_max": 6}}


@pytest.fixture(scope="module")
def network(make) -> Any:
    return make("generator", **SQUARE)


@pytest.fixture(scope="module")
def files(make, network, writers, torch_writer, tf_writer, tmp_path_factory) -> dict[str, bytes]:
    """The same generator in every format, and a discriminator beside it where the format can."""
    folder = tmp_path_factory.mktemp("files")
    discriminator = make("discriminator", img_resolution=8)
    sg2.save(network, folder / "own.safetensors")
    for suffix in ("npz", "safetensors"):
        sg2.save_rosinality(network, folder / f"state.{suffix}")
    state = sg2.to_rosinality(network)
    checkpoint = {"latent_avg": state.pop("latent_avg"), "g_ema": state, "d": sg2.to_rosinality(discriminator)}
    return {
        "safetensors": (folder / "own.safetensors").read_bytes(),
        "rosinality, npz": (folder / "state.npz").read_bytes(),
        "safetensors, rosinality": (folder / "state.safetensors").read_bytes(),
        "rosinality, torch.save": writers.torch_zip(checkpoint),
        "rosinality, torch.save, legacy": writers.torch_legacy(checkpoint),
        "NVIDIA, PyTorch": torch_writer.file({"G": make("generator", 2), "D": discriminator, "G_ema": network}),
        "NVIDIA, TensorFlow": tf_writer.file(make("generator", 2), discriminator, network),
    }


FORMATS = [
    "safetensors",
    "rosinality, npz",
    "safetensors, rosinality",
    "rosinality, torch.save",
    "rosinality, torch.save, legacy",
    "NVIDIA, PyTorch",
    "NVIDIA, TensorFlow",
]


def assert_same_arrays(network: Any, other: Any) -> None:
    first, second = sg2.to_state_dict(network), sg2.to_state_dict(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], strict=True, err_msg=name)


@pytest.mark.parametrize("name", FORMATS)
def test_content_tells_the_format(files, network, tmp_path, name):
    suffix = ".html" if FORMATS.index(name) % 2 else ".pkl"  # which is of no account
    (tmp_path / f"file{suffix}").write_bytes(files[name])
    found, loaded = load_as(tmp_path / f"file{suffix}")
    assert name.startswith(found)
    assert_same_arrays(loaded, network)


@pytest.mark.parametrize("name", FORMATS)
def test_which(files, tmp_path, name):
    (tmp_path / "file").write_bytes(files[name])
    if name in ("safetensors", "rosinality, npz", "safetensors, rosinality"):
        with pytest.raises(sg2.CheckpointError, match=r"file: .*(generator|G_ema, G)"):
            sg2.load(tmp_path / "file", "D")
    else:
        assert isinstance(sg2.load(tmp_path / "file", "D"), sg2.Discriminator)
    if "rosinality, torch.save" in name:
        with pytest.raises(sg2.CheckpointError, match="no network G: choose from G_ema, D"):
            sg2.load(str(tmp_path / "file"), "G")
    with pytest.raises(ValueError, match="which must be one of G_ema, G, D, got 'g_ema'"):
        sg2.load(tmp_path / "file", "g_ema")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("keep", [10, 0.5, 0.999])
def test_truncated(files, tmp_path, name, keep):
    data = files[name]
    (tmp_path / "file").write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(sg2.CheckpointError, match="file: "):
        sg2.load(tmp_path / "file")


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "f4"), (np.inf, "f4"), (1e300, "f8")])
def test_weights_that_are_no_finite_numbers(network, tmp_path, value, dtype):
    arrays = sg2.to_rosinality(network)
    for name in ("style.1.weight", "convs.0.conv.weight"):
        arrays[name] = arrays[name].astype(dtype)
        arrays[name].flat[3] = value
    np.savez(tmp_path / "file.npz", **arrays)  # pyright: ignore[reportArgumentType]
    message = r"NaN or infinity in mapping\.fc0\.weight, synthesis\.b8\.conv0\.weight$"
    with pytest.raises(sg2.CheckpointError, match=message):
        sg2.load(tmp_path / "file.npz")


def test_other_kinds_of_numbers(network, tmp_path):
    arrays = sg2.to_rosinality(network)
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    np.savez_compressed(tmp_path / "half.npz", **half)  # pyright: ignore[reportArgumentType]
    rounded = {name: array.astype(np.float32) for name, array in half.items()}
    for name, array in sg2.to_rosinality(sg2.load(tmp_path / "half.npz")).items():
        np.testing.assert_array_equal(array, rounded[name], strict=True)
    (tmp_path / "complex").write_bytes(serialize({**arrays, "style.1.bias": np.zeros(6, np.complex64)}))
    with pytest.raises(
        sg2.CheckpointError, match=r"style\.1\.bias should be an array of real numbers, but is of type complex64"
    ):
        sg2.load(tmp_path / "complex")
    header = b'{"conv1.conv.weight":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    (tmp_path / "bfloat16").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(sg2.CheckpointError, match="arrays are of type 'BF16', which NumPy lacks"):
        sg2.load(tmp_path / "bfloat16")


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no checkpoint: the file is empty"),
        (b"\n <!DOCTYPE html><html>", "a web page; the link may lead to a page about the file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer: run git lfs pull"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "a picture"),
        (b"\x1f\x8b" + bytes(50), "an archive: unpack it"),
        (zipped("notes.txt", b"text"), "an archive: unpack it"),
        (b'{"a": 1}', "text"),
        (b"\x80\x04K\x01.", "a pickle, but not one of NVIDIA's StyleGAN2"),
        (b"abc", "begins with b'abc', as no known format does"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "damaged or cut short"),
        (zipped("a.npy", npy(np.zeros(3))), "no state dict of StyleGAN2 in rosinality's layout: it holds a$"),
        (zipped("a.npy", npy(np.array([{}]))), "a.npy is no array of numbers, or a damaged one"),
        (zipped("a.npy", npy(np.zeros(9))[:-3]), "a.npy is no array of numbers, or a damaged one"),
        (zipped("a.npy", b"\x93NUMPY\x03\x00" + bytes(100)), "unknown version of the format"),
        (zipped("a.npy", npy(np.zeros(9)).replace(b"(9,)", b"(-9,")), "damaged or cut short"),
        (serialize({"a": np.zeros(3, np.float32)}), r"not one that stylegan2_flax\.save wrote"),
    ],
)
def test_files_that_are_something_else(tmp_path, data, message):
    (tmp_path / "generator.pkl").write_bytes(data)
    with pytest.raises(sg2.CheckpointError, match=f"^{tmp_path}/generator.pkl: .*{message}"):
        sg2.load(tmp_path / "generator.pkl")


def test_stylegan3_is_named(torch_writer, network, tmp_path):
    nested = torch_writer.nested("Generator", {"synthesis.input.weight": np.zeros((2, 2), np.float32)}, {})
    (tmp_path / "file").write_bytes(torch_writer.writers.pickled({"G_ema": nested}))
    with pytest.raises(sg2.CheckpointError, match="StyleGAN3 generator"):
        sg2.load(tmp_path / "file")


def test_npz_that_claims_much(tmp_path):
    with zipfile.ZipFile(tmp_path / "zeros.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros(10**7, np.float32)))
    with pytest.raises(sg2.CheckpointError, match="claim more than twice"):
        sg2.load(tmp_path / "zeros.npz")
    with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", npy(np.zeros(3)))
    with pytest.raises(sg2.CheckpointError, match=r"a compression that np\.savez does not use"):
        sg2.load(tmp_path / "lzma.npz")


def test_npz_of_many_entries_is_refused_before_its_directory_is_read(tmp_path):
    np.savez(tmp_path / "many.npz", a=np.zeros(1))
    data = (tmp_path / "many.npz").read_bytes()
    end = data.rindex(b"PK\x05\x06")
    (tmp_path / "many.npz").write_bytes(data[: end + 12] + (10**8).to_bytes(4, "little") + data[end + 16 :])
    with pytest.raises(sg2.CheckpointError, match="a checkpoint has at most"):
        sg2.load(tmp_path / "many.npz")


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*nothing\.pkl$"):
        sg2.load(tmp_path / "nothing.pkl")
    with pytest.raises(sg2.CheckpointError, match="it is a folder: give a file"):
        sg2.load(tmp_path)


@pytest.mark.parametrize("place", ["memory://folder/file.pkl", "simplecache::memory://folder/file.pkl", "file://"])
def test_urls(files, network, tmp_path, place):
    fsspec = pytest.importorskip("fsspec")
    if place == "file://":
        place += str(tmp_path / "file.pkl")
        (tmp_path / "file.pkl").write_bytes(files["safetensors"])
    else:
        fsspec.filesystem("memory").pipe_file("/folder/file.pkl", files["safetensors"])
    assert_same_arrays(sg2.load(place), network)
    with pytest.raises(FileNotFoundError, match=f"no such file: {place}x"):
        sg2.load(place + "x")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_http(files, network, tmp_path, server):
    pytest.importorskip("aiohttp")
    (tmp_path / "file.pkl").write_bytes(files["NVIDIA, PyTorch"])
    (tmp_path / "page").write_bytes(b"<html>Quota exceeded</html>")
    assert_same_arrays(sg2.load(f"{server}/file.pkl?download=1"), network)
    with pytest.raises(sg2.CheckpointError, match=f"{server}/page: .* web page"):
        sg2.load(f"{server}/page")
    with pytest.raises(FileNotFoundError, match=f"no such file: {server}/nothing"):
        sg2.load(f"{server}/nothing")
    with pytest.raises(sg2.CheckpointError, match=r"http://127\.0\.0\.1:9/file: it cannot be read: Client"):
        sg2.load("http://127.0.0.1:9/file")


def test_urls_of_unknown_kinds():
    with pytest.raises(sg2.CheckpointError, match=r"nosuch://a/b: it cannot be read: .*nosuch"):
        sg2.load("nosuch://a/b")
    with pytest.raises(ValueError, match="names no file on the hub: write hf://owner/name/file"):
        sg2.load("hf://owner/file")


def test_hub(files, network, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

    (tmp_path / "file").write_bytes(files["rosinality, npz"])
    asked = []

    def download(repo, file, revision):
        asked.append((repo, file, revision))
        if file == "file":
            return str(tmp_path / "file")
        raise {"missing": EntryNotFoundError, "offline": LocalEntryNotFoundError, "broken": OSError}[file]("no luck")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert_same_arrays(sg2.load("hf://owner/name/file"), network)
    for url, error, message in (
        (
            "hf://owner/name@v1/missing",
            FileNotFoundError,
            "no such file, or it is not public: hf://owner/name@v1/missing",
        ),
        ("hf://owner/name/offline", sg2.CheckpointError, "hf://owner/name/offline: it cannot be read: no luck"),
        ("hf://owner/name/broken", sg2.CheckpointError, "it cannot be read: OSError: no luck"),
    ):
        with pytest.raises(error, match=message):
            sg2.load(url)
    assert asked[:2] == [("owner/name", "file", None), ("owner/name", "missing", "v1")]


@pytest.mark.parametrize(
    ("module", "url", "advice"),
    [
        ("fsspec", "https://host/file", r'pip install "fsspec\[http\]"'),
        ("huggingface_hub", "hf://owner/name/file", "pip install huggingface_hub"),
    ],
)
def test_packages_that_are_missing(monkeypatch, module, url, advice):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=advice):
        sg2.load(url)


def test_import_needs_none_of_them():
    """Nor does loading: only the formats and URLs that use a package import it."""
    names = "fsspec h5py huggingface_hub torch ml_collections tqdm PIL av tensorflow_datasets"
    code = f"""
import sys
before = set(sys.modules)
import jax, flax, optax, safetensors.numpy, jaxtyping
others = set(sys.modules)
import stylegan2_flax
print([name for name in {names.split()} if name in sys.modules and name not in others])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The file where up to four pieces are longer, shorter or other than they were: random, or as high as can be."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        reach = 2048 if rng.random() < 0.5 else len(changed)  # most of the structure is at the beginning
        position, old, new = (int(n) for n in rng.integers((min(reach, len(changed)) + 1, 9, 9)))
        changed[position : position + old] = rng.bytes(new) if rng.random() < 0.7 else b"\xff" * new
    return bytes(changed)


@pytest.mark.parametrize("cases", [45, pytest.param(450, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FORMATS[:4])
def test_damaged_files(files, network, tmp_path, monkeypatch, name, cases):
    # Networks are built of what is left intact; one for all keeps them from taking half a minute.
    monkeypatch.setattr("stylegan2_flax.checkpoints.network_data.NetworkData.build", lambda self: network)
    rng = np.random.default_rng(0)
    messages = []
    for case in range(cases):
        (tmp_path / "file").write_bytes(damaged(files[name], rng))
        try:
            sg2.load(tmp_path / "file")
        except sg2.CheckpointError as error:
            messages.append(str(error))
        except BaseException as error:
            raise AssertionError(f"case {case}") from error
    assert len(messages) > cases / 3
    assert max(map(len, messages)) < 1500
