"""Exports: a folder with a card, the same bits from every place, and nothing that was changed on the way."""

import functools
import hashlib
import http.server
import json
import shutil
import threading
from pathlib import Path

import fsspec
import huggingface_hub
import numpy as np
import pytest

from disentangle_jax import export, media, model_sources
from disentangle_jax.disentangler import Disentangler
from stylegan2_flax import command

RECORDED = Path(__file__).with_name("metrics_recorded.json")
LOADED = {"config.json", "model.safetensors", "generator.safetensors", "directions.safetensors"}


def call(workdir, out, *arguments):
    command.run(export.main, export.FLAGS, ["export", f"--workdir={workdir}", f"--out={out}", *arguments])


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    """The export of a model that was not evaluated."""
    call(workdir, out := tmp_path_factory.mktemp("exports") / "model")
    return out


@pytest.fixture(scope="module")
def expected(workdir):
    return results(workdir)


def results(source):
    """What a model makes of a latent."""
    model = Disentangler.load(source)
    ws = np.random.default_rng(1).normal(size=(1, model.generator.num_ws, model.generator.w_dim)).astype(np.float32)
    return *model.encode(ws), model.render(ws)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def assert_same_bits(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def digests(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def unflattened(flat):
    nested = {}
    for name, value in flat.items():
        *sections, last = name.split("/")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return nested


def test_an_export_holds_what_it_needs_and_gives_the_same_bits(exported, expected):
    assert {path.name for path in exported.iterdir()} == {*LOADED, "README.md", "SHA256SUMS"}
    assert_same_bits(results(exported), expected)
    held = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in exported.iterdir()}
    held.pop("SHA256SUMS")
    assert digests(exported) == held
    card = (exported / "README.md").read_text()
    assert "has not been evaluated" in card
    assert "ws [..., 4, 8] -> appearance [..., 6], structure [..., 3]" in card
    assert "license:" not in card


def test_digests_are_checked_once(exported, tmp_path, monkeypatch):
    checked, check = [], model_sources.check
    monkeypatch.setattr(model_sources, "check", lambda folder: checked.append(folder) or check(folder))
    call(exported, tmp_path / "again")
    assert checked.count(exported) == 1


def test_the_card_shows_the_numbers_and_pictures_of_the_evaluation(workdir, tmp_path, expected):
    run, out = shutil.copytree(workdir, tmp_path / "run"), tmp_path / "model"
    config = json.loads((run / "config.json").read_text())
    config["directions"]["source"] = str(tmp_path / "mine.safetensors")
    (run / "config.json").write_text(json.dumps(config))
    (run / "SHA256SUMS").unlink()
    (run / "eval").mkdir()
    metrics = unflattened(json.loads(RECORDED.read_text()))
    metrics["seeds"] = {"num": 3, "headlines": {"PSNR, dB": {"mean": 20.5, "std": 0.25}}}
    (run / "eval" / "metrics.json").write_text(json.dumps(metrics))
    media.save_image(np.zeros((4, 4, 3), np.float32), run / "eval" / "transfer_grid.png")
    call(run, out, "--license=apache-2.0")
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: disentangle_jax\nlicense: apache-2.0\ntags: [")
    assert "| **ours** | 1.00 ± 0.00 | 1.00 ± 0.00 | 55.1 dB |" in card
    assert "Over 3 models that differ in their seed alone" in card
    assert "| PSNR, dB | 20.500 ± 0.250 |" in card
    assert "](transfer_grid.png)" in card
    assert "motion.gif" not in card
    assert {"metrics.json", "transfer_grid.png", "README.md"} <= set(digests(out))
    for path in (out / "README.md", out / "config.json"):
        assert str(tmp_path) not in path.read_text()
    assert json.loads((out / "config.json").read_text())["directions"]["source"] == "mine.safetensors"
    call(out, tmp_path / "again")
    assert (tmp_path / "again" / "metrics.json").read_bytes() == (run / "eval" / "metrics.json").read_bytes()
    assert_same_bits(results(tmp_path / "again"), expected)


def test_the_card_says_how_far_the_training_came_and_old_numbers_are_refused(workdir, tmp_path, monkeypatch):
    run, steps, load = shutil.copytree(workdir, tmp_path / "run"), 7, Disentangler.load

    def load_workdir(folder):
        model = load(folder)
        model.steps = steps if Path(folder) == run else None
        return model

    monkeypatch.setattr(Disentangler, "load", load_workdir)
    config = json.loads((run / "config.json").read_text())
    config["train"]["num_steps"] = steps + 5
    (run / "config.json").write_text(json.dumps(config))
    (run / "SHA256SUMS").unlink(missing_ok=True)
    with pytest.warns(UserWarning, match=f"the training has made {steps} of its {steps + 5} steps"):
        call(run, tmp_path / "model")
    assert f"\n{steps} of {steps + 5} steps of" in (tmp_path / "model" / "README.md").read_text()
    (run / "eval").mkdir()
    (run / "eval" / "metrics.json").write_text(json.dumps({"steps": steps - 1}))
    with pytest.raises(SystemExit, match=f"is of step {steps - 1}, and the model of step {steps}: evaluate it again"):
        call(run, tmp_path / "other")


def test_nothing_is_written_over_and_nothing_half(workdir, tmp_path, monkeypatch):
    run, out = shutil.copytree(workdir, tmp_path / "run"), tmp_path / "model"
    out.mkdir()
    (out / "mine.txt").touch()
    with pytest.raises(SystemExit, match="model exists and is not empty: give another --out"):
        call(run, out)
    (out / "mine.txt").unlink()
    (run / "eval").mkdir()
    (run / "eval" / "metrics.json").write_text("{")
    with pytest.raises(SystemExit, match=r"metrics\.json is damaged .*: evaluate the model again"):
        call(run, out)
    assert list(out.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"run", "model"}


def test_a_file_that_was_changed_or_lost_is_named(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors is not the file that was exported"):
        Disentangler.load(copy)
    (copy / "generator.safetensors").unlink()
    (copy / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"safetensors is missing: .*SHA256SUMS lists it"):
        Disentangler.load(copy)


def test_any_url_gives_the_same_bits_and_is_downloaded_once(exported, expected, monkeypatch):
    memory = fsspec.filesystem("memory")
    for path in exported.iterdir():
        memory.pipe_file(f"/shop/model/{path.name}", path.read_bytes())
    assert_same_bits(results("memory://shop/model/"), expected)
    fetched = []
    fetch = model_sources.fetch
    monkeypatch.setattr(model_sources, "fetch", lambda url: fetched.append(url) or fetch(url))
    Disentangler.load("memory://shop/model")
    assert fetched == ["memory://shop/model/SHA256SUMS"]


def test_the_numbers_of_a_downloaded_model_go_with_it(exported, tmp_path):
    source = shutil.copytree(exported, tmp_path / "source")
    (source / "metrics.json").write_text(json.dumps(unflattened(json.loads(RECORDED.read_text()))))
    model_sources.write_digests(source)
    memory = fsspec.filesystem("memory")
    for path in source.iterdir():
        memory.pipe_file(f"/measured/model/{path.name}", path.read_bytes())
    call("memory://measured/model", tmp_path / "copy")
    assert (tmp_path / "copy" / "metrics.json").read_bytes() == (source / "metrics.json").read_bytes()


def test_what_arrives_as_another_file_is_refused_and_not_kept(exported, tmp_path):
    memory = fsspec.filesystem("memory")
    for path in exported.iterdir():
        memory.pipe_file(f"/bad/model/{path.name}", path.read_bytes())
    memory.pipe_file("/bad/model/model.safetensors", b"something else")
    with pytest.raises(ValueError, match=r"memory://bad/model/model\.safetensors arrived as another file"):
        Disentangler.load("memory://bad/model")
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    sums = (exported / "SHA256SUMS").read_text() + f"{'0' * 64}  ../../outside\n"
    memory.pipe_file("/bad/model/SHA256SUMS", sums.encode())
    memory.pipe_file("/bad/outside", b"")
    memory.pipe_file("/bad/model/model.safetensors", (exported / "model.safetensors").read_bytes())
    Disentangler.load("memory://bad/model")
    assert not list(tmp_path.rglob("outside"))
    memory.pipe_file("/bad/model/SHA256SUMS", b"<html>")
    with pytest.raises(ValueError, match=r"SHA256SUMS does not list config\.json, model\.safetensors"):
        Disentangler.load("memory://bad/model")
    with pytest.raises(FileNotFoundError, match="no exported model at memory://bad, or it is not public"):
        Disentangler.load("memory://bad")


def test_the_hub_and_web_servers_are_asked_for_the_files_of_the_folder(exported, expected, monkeypatch):
    asked = []

    def hub(repository, name, revision):
        asked.append((repository, name, revision))
        return str(exported / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub)
    assert_same_bits(results("hf://someone/faces@v1"), expected)
    assert {name for _, name, _ in asked} == {*LOADED, "SHA256SUMS"}
    assert {(repository, revision) for repository, _, revision in asked} == {("someone/faces", "v1")}
    handler = functools.partial(QuietHandler, directory=str(exported.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("XDG_CACHE_HOME", str(exported.parent / "another"))
        found = model_sources.find(f"http://127.0.0.1:{server.server_address[1]}/{exported.name}")
        server.shutdown()
    assert {path.name for path in found.iterdir()} == LOADED


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def test_a_second_export_leaves_nothing_of_the_first(workdir, exported, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    (folder / "readout.safetensors").write_bytes(b"of another model")
    Disentangler.load(workdir).export(folder)
    assert {path.name for path in folder.iterdir()} == {path.name for path in exported.iterdir()}
