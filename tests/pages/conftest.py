"""The pages, the commands that they show, and a folder for each in which these are typed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "third_party/stylegan2_flax/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "experiments").rglob("README.md")),
]
CODE = re.compile(
    r"^```(?P<language>\w*)\n(?P<fenced>.*?)^```$"
    r"|^ {4}(?P<line>(?:[^\n]*\\\n)*[^\n]*)$"
    r"|`(?P<inline>[^`]+)`",
    re.MULTILINE | re.DOTALL,
)
LISTING = re.compile(r"([\w/*]+(/|\.py),? ?)+")
"""A line that names folders and modules, and says what is in them."""


class Command(NamedTuple):
    """What a page tells its reader to type: one line of a shell, or one block of Python."""

    text: str
    is_python: bool


def _commands(text: str) -> list[Command]:
    found = []
    for code in CODE.finditer(text):
        if code["language"] == "python":
            found.append(Command(code["fenced"], True))
        elif code["inline"] is not None:
            found += [Command(" ".join(code["inline"].split()), "(" in code["inline"])] * _is_typed(code["inline"])
        elif code["language"] != "toml":
            lines = re.sub(r"\s*\\\n\s*", " ", code["line"] or code["fenced"] or "").split("\n")
            typed = [re.split(r"\s{2,}#|\s{3,}", line)[0].strip() for line in lines]
            found += [Command(line, False) for line in typed if line and not LISTING.fullmatch(line)]
    return found


def _is_typed(inline: str) -> bool:
    """Whether code in the text is a call with arguments, and not a name or options of some command."""
    words = inline.split()
    is_call = "(" in inline and not inline.endswith("()")
    return is_call or (
        len(words) > 1 and not all(word.startswith("--") for word in words) and not LISTING.fullmatch(inline)
    )


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request) -> Path:
    return request.param


@pytest.fixture(scope="session")
def every_page() -> list[Path]:
    return PAGES


@pytest.fixture(scope="session")
def commands() -> Callable[[Path], list[Command]]:
    """The commands of a page in their order."""
    return lambda page: _commands(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def given(tmp_path_factory, load_module, astronaut, carphone) -> Path:
    """A folder with what pages name and do not make."""
    folder = tmp_path_factory.mktemp("given")
    load_module(Path(__file__).with_name("inputs.py")).write(folder, load_module, astronaut, carphone[:3])
    return folder
