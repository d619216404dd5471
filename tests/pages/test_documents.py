"""What README and site say can be done: programs take their commands, and what their examples call exists."""

import ast
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import disentangle_jax as dj
import stylegan2_flax as sg2
from stylegan2_flax import command

ROOT = Path(__file__).parents[2]
FIELDS = ("autoencoder", "generator", "directions", "config")
NAMES = {"dj": dj, "sg2": sg2, "d": type("Loaded", (dj.Disentangler,), dict.fromkeys(FIELDS))}
"""What names in examples stand for."""
PLACEHOLDERS = {"--config=CONFIG.py": "--config=experiments/configs/gan_folder.py:64"}


def words_after(line: str, pattern: str) -> list[str] | None:
    """The words of a command that matches the pattern, from its first group on; None if it is another."""
    match = re.match(pattern, line)
    return [str(match[1]), *shlex.split(line[match.end() :], comments=True)] if match else None


def test_programs_take_the_commands_of_the_pages(page, commands, load_module, monkeypatch):
    monkeypatch.chdir(ROOT)
    for line, _ in commands(page):
        if words := words_after(line, r"(?:\S*/)?python -m ((?:disentangle_jax|stylegan2_flax)\S*)"):
            program, given = import_module(words[0]), words[1:]
        elif words := words_after(line, r"(?:\w+=\S+ )?(?:\S*/)?python (experiments/\S+\.py)"):
            monkeypatch.syspath_prepend((ROOT / words[0]).parent)  # as Python does
            program, given = load_module(ROOT / words[0]), words[1:]
        else:
            continue
        if given:
            given = [PLACEHOLDERS.get(word, word) for word in given]
            left = command.parse(program.FLAGS, [words[0], *given])
            assert not [word for word in left if word.startswith("-")], line


def test_targets_of_make_and_files_that_pages_name_exist(page, commands):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line, _ in commands(page):
        if words := words_after(line, r"(make) "):
            assert {word for word in words[1:] if "=" not in word} <= set(targets), line
    for path in re.findall(r"`((?:experiments|tests|disentangle_jax|third_party)/[\w/.]*)`", text):
        assert (ROOT / path).exists(), path


def test_what_examples_call_exists(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute):
                root, name, *_ = ast.unparse(node).split(".")
                assert root not in NAMES or hasattr(NAMES[root], name), ast.unparse(node)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference.html").read_text(encoding="utf-8")
    for name in ("disentangle_jax.Disentangler.transfer", "stylegan2_flax.load", "disentangle_jax.clips.sample_clip"):
        assert f'id="{name}"' in reference
