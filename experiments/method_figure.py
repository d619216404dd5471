"""Draw the method with three faces of the README's picture: python experiments/method_figure.py

It reads experiments/pictures/transfer_grid.png, which `make pictures` makes, and writes method.png beside it.
"""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from stylegan2_flax.files import atomic

PICTURES = Path(__file__).parent / "pictures"
CELLS = {"source": (0, 144), "driving": (330, 28), "result": (330, 144)}
"""Left and top of the first source, the third driving and what comes of them, in pixels."""
SIDE = 104
INK, APPEARANCE, STRUCTURE, PLAIN = "#46464e", "#f4d9c6", "#cfe0f3", "#ececf0"


def main() -> None:
    grid = np.asarray(Image.open(PICTURES / "transfer_grid.png").convert("RGB"))
    faces = {name: grid[top : top + SIDE, left : left + SIDE] for name, (left, top) in CELLS.items()}
    with matplotlib.rc_context({"font.size": 9, "text.color": INK}), atomic(PICTURES / "method.png") as temporary:
        draw(faces).savefig(temporary, dpi=150)


def draw(faces: dict[str, np.ndarray]) -> Figure:
    """The way from a source and a driving face to the result."""
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.add_subplot(xlim=(0, 16), ylim=(0, 5.2), aspect="equal")
    axes.axis("off")
    for name, (x, y) in {"source": (0.1, 3.0), "driving": (0.1, 0.5), "result": (14.0, 1.75)}.items():
        axes.imshow(faces[name], extent=(x, x + 1.8, y, y + 1.8))
        axes.text(x + 0.9, y - 0.28, name, ha="center")
    axes.set(xlim=(0, 16), ylim=(0, 5.2))
    boxes = {
        "encoder": (3.0, 1.45, 1.9, 2.3, PLAIN),
        "appearance\nwho it is": (6.0, 3.1, 2.0, 1.4, APPEARANCE),
        "structure\nexpression,\npose": (6.0, 0.7, 2.0, 1.4, STRUCTURE),
        "decoder": (9.1, 1.45, 1.9, 2.3, PLAIN),
        "generator\n(frozen)": (11.6, 1.75, 1.8, 1.8, PLAIN),
    }
    for text, (x, y, width, height, colour) in boxes.items():
        axes.add_patch(FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=0.2", fc=colour, ec="none"))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center")
    for start, end in (
        *(((2.0, 3.8), (2.9, 3.3)), ((2.0, 1.4), (2.9, 1.9))),
        *(((5.0, 3.3), (5.9, 3.8)), ((5.0, 1.9), (5.9, 1.4))),
        *(((8.1, 3.8), (9.0, 3.3)), ((8.1, 1.4), (9.0, 1.9))),
        *(((11.05, 2.6), (11.55, 2.6)), ((13.45, 2.6), (13.95, 2.6))),
    ):
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK})
    axes.text(4.0, 4.6, "latents w+ of both", ha="center")
    axes.text(7.0, 4.75, "of the source", ha="center")
    axes.text(7.0, 0.28, "of the driving", ha="center")
    return figure


if __name__ == "__main__":
    main()
