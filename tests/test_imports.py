"""The arrows between rooms: none goes upward, none from a generic room to the faces, and the light rooms stay light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "disentangle_jax"
LEVELS = (  # from the ground up: a room imports only rooms of levels above its own in this list
    {"media", "metrics", "batching"},
    {"arrays"},
    {"latents", "scorers", "generators"},
    {"domains"},
    {"inversion"},
    {"directions"},
    {"clips"},
    {"named_files"},
    {"training", "model_sources"},
    {"model_folder"},
    {"disentangler"},
    {"evaluation"},
    {"report", "reenactment"},
    {"page"},
    {"train", "evaluate", "transfer", "invert", "make_clips", "find_directions", "export", "train_encoder", "app"},
)
GENERIC = set().union(*LEVELS) | {"model"}


def rooms() -> dict[str, set[str]]:
    """Each room (a package or module of the top level) and the rooms that it imports, anywhere in its files."""
    arrows: dict[str, set[str]] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        if "configs" in path.parts:
            continue
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        arrows.setdefault(parts[0], set()).update(_imported(path) - {parts[0]})
    return arrows


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively, which this test does not follow"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith(f"{PACKAGE}.")}
    return {name for name in found if not name.startswith("__")}


ARROWS = rooms()


def test_rooms_do_not_import_each_other_in_a_circle():
    order = list(TopologicalSorter(ARROWS).static_order())  # raises CycleError, which names the circle
    assert set(ARROWS) <= set(order)


def test_no_arrow_goes_upward():
    level_of = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
    assert set(level_of) <= set(ARROWS), "a room of LEVELS is gone"
    upward = [
        f"{room} -> {other}"
        for room, level in level_of.items()
        for other in ARROWS[room] & set(level_of)
        if level_of[other] >= level
    ]
    assert not upward


def test_generic_rooms_know_nothing_of_the_faces():
    assert [room for room in GENERIC if "faces" in ARROWS.get(room, ())] == []


def test_the_faces_use_only_what_any_other_package_could():
    assert ARROWS["faces"] & {"directions", "clips", "training", "evaluation", "report", "disentangler"} == set()


def test_stylegan2_flax_knows_nothing_of_the_project():
    for path in (ROOT / "third_party" / "stylegan2_flax").rglob("*.py"):
        assert not _imported(path), path


LIGHT = {  # each is imported where those before it are
    "latents": ("directions", "clips"),
    "scorers": ("faces.judge", "directions", "domains"),
    "directions": ("directions.find", "directions.ranking", "directions.by_scorer", "clips"),
}
SLOW = ("scipy.stats", "scipy.ndimage", "scipy.interpolate", "sklearn", "matplotlib", "tensorflow_datasets", "grain")


def test_importing_a_light_room_pulls_in_no_heavy_one_and_training_no_slow_package():
    """The package's own __init__ offers the user's handle, so it is stood in for by an empty one at first."""
    code = f"""
import importlib, sys, types
package = types.ModuleType("{PACKAGE}")
package.__path__ = ["{ROOT / PACKAGE}"]
sys.modules["{PACKAGE}"] = package
for room, absent in {LIGHT!r}.items():
    importlib.import_module("{PACKAGE}." + room)
    print(*[room + " imports " + name for name in absent if "{PACKAGE}." + name in sys.modules])
del sys.modules["{PACKAGE}"]
import {PACKAGE}.train
print(*[name for name in {SLOW!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
