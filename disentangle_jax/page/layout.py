"""The page itself, in Gradio: controls, and what they call."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr  # pyright: ignore[reportMissingImports] # of the extra `app`
import numpy as np

from disentangle_jax.page.editing import SIZE, Controls, Editor, Face
from stylegan2_flax import command
from stylegan2_flax.run.config_rules import MAX_SEED

CSS = """
@media (max-width: 768px) {
    .flat {display: contents !important}
    .result {position: sticky !important; top: 0; z-index: 5}
}
"""
"""On a narrow screen the result stays in sight above the sliders."""

_REACH = 3.0  # standard deviations that a slider goes
_HOUR = 3600  # seconds after which files of a visitor, and what is known of him, are forgotten


class _Panel(NamedTuple):
    """Where a source or a driving is chosen.

    Attributes:
        state: the `Face`, None if there is none.
        outputs: what changes with it.
    """

    state: gr.State
    outputs: list[Any]


def build(editor: Editor, folder: Path) -> gr.Blocks:
    """The page.

    Args:
        editor: what it is for.
        folder: for files to download; only those are served.
    """
    with gr.Blocks(title="disentangle_jax", analytics_enabled=False, delete_cache=(_HOUR, _HOUR)) as page:
        gr.Markdown("# disentangle_jax\nAppearance of the source, expression and pose of the driving face.")
        with gr.Row(elem_classes="flat"):
            with gr.Column(min_width=280):
                source = _panel(editor, "Source", 1)
            with gr.Column(min_width=280):
                driving = _panel(editor, "Driving", 2)
            with gr.Column(min_width=280, elem_classes="flat"):
                result = _picture("Result")
                strength = gr.Slider(0, 2, 1, step=0.05, label="Strength")
                moment = gr.Slider(0, 1, 0.5, step=0.01, label="Moment of a clip")
                with gr.Row():
                    relative = gr.Checkbox(label="Relative motion", min_width=120)
                    smooth = gr.Checkbox(label="Smooth the clip", min_width=120)
        with gr.Row(elem_classes="flat"):
            with gr.Column(min_width=280), gr.Accordion("Structure"):
                structure = _sliders(editor.structure.names)
            with gr.Column(min_width=280), gr.Accordion("Appearance"):
                appearance = _sliders(editor.appearance.names)
            with gr.Column(min_width=280):
                reset = gr.Button("Sliders to the middle", size="sm")
                film = gr.Button("Make the clip", variant="primary")
                video = gr.Video(label="Clip", interactive=False, autoplay=True, loop=True, buttons=["download"])
                save = gr.Button("Make a latent file")
                download = gr.File(label="Latents", interactive=False, height=120)

        sliders = [*appearance, *structure]
        inputs = [source.state, driving.state, strength, relative, smooth, *sliders]

        def controls(strength: float, relative: bool, smooth: bool, *values: float) -> Controls:
            split = len(appearance)
            return Controls(values[:split], values[split:], strength, relative, smooth)

        def draw(moment: float, source: Face | None, driving: Face | None, *values: Any) -> np.ndarray | None:
            return editor.preview(source, driving, controls(*values), moment) if source else None

        def make_clip(source: Face | None, driving: Face | None, *values: Any) -> str:
            with _told():
                path = _new(folder, "clip.mp4")
                editor.write_clip(path, _chosen(source), driving, controls(*values))
                return str(path)

        def make_latents(source: Face | None, driving: Face | None, *values: Any) -> str:
            with _told():
                path = _new(folder, "latents.safetensors")
                editor.write_latents(path, _chosen(source), driving, controls(*values))
                return str(path)

        drawing = {"fn": draw, "inputs": [moment, *inputs], "outputs": result, "show_progress": "hidden"}
        moved = [slider.change for slider in (moment, strength, *sliders)]
        gr.on(
            [*moved, relative.change, source.state.change, driving.state.change], **drawing, trigger_mode="always_last"
        )
        reset.click(lambda: [0.0] * len(sliders), None, sliders)
        film.click(make_clip, inputs, video)
        save.click(make_latents, inputs, download)
        for panel, name in ((source, "seed:1"), (driving, "seed:2")):
            page.load(_opener(editor, name), None, panel.outputs)
    return page


def _panel(editor: Editor, label: str, seed: int) -> _Panel:
    """A picture, and ways to choose another: at random, from a file, by the webcam."""
    state = gr.State(time_to_live=_HOUR)
    picture = _picture(label)
    remarks = gr.Markdown()
    outputs = [state, picture, remarks]
    with gr.Tab("Random"):
        number = gr.Number(seed, label="Seed", precision=0, minimum=0, maximum=MAX_SEED)
        moving = gr.Checkbox(label="In motion")
        another = gr.Button("Another", size="sm")
    with gr.Tab("File"):
        file = gr.File(label="Photo, video or latent file", height=140)
    with gr.Tab("Webcam"):
        photo = gr.Image(
            label="Photo", sources=["webcam"], type="filepath", webcam_options=gr.WebcamOptions(mirror=False)
        )
        video = gr.Video(label="Video", sources=["webcam"], webcam_options=gr.WebcamOptions(mirror=False))
    if label == "Driving":
        gr.Button("No driving", size="sm").click(lambda: (None, None, ""), None, outputs)

    def draw(number: int | None, moving: bool) -> tuple[Face, np.ndarray, str]:
        return _opened(editor, f"{'clip' if moving else 'seed'}:{number or 0}")

    def upload(path: str | None) -> Any:
        return [gr.skip()] * len(outputs) if path is None else _opened(editor, path)

    another.click(lambda: secrets.randbelow(MAX_SEED), None, number)
    gr.on([number.change, moving.change], draw, [number, moving], outputs)
    for component in (file, photo, video):
        component.change(upload, component, outputs)
    return _Panel(state, outputs)


def _picture(label: str) -> gr.Image:
    return gr.Image(
        label=label,
        format="png",
        interactive=False,
        height=SIZE + 40,
        buttons=["download", "fullscreen"],
        elem_classes=label.lower(),
    )


def _sliders(names: tuple[str, ...]) -> list[gr.Slider]:
    return [gr.Slider(-_REACH, _REACH, 0, step=0.1, label=name.replace("_", " ").capitalize()) for name in names]


def _opener(editor: Editor, name: str) -> Any:
    return lambda: _opened(editor, name)


def _opened(editor: Editor, name: str) -> tuple[Face, np.ndarray, str]:
    with _told(Path(name).parent):
        face = editor.open(name)
    return face, face.picture, "\n\n".join(face.remarks)


def _chosen(source: Face | None) -> Face:
    if source is None:
        raise gr.Error("Choose a source first", print_exception=False)
    return source


def _new(folder: Path, name: str) -> Path:
    """A file in a folder of its own."""
    return Path(tempfile.mkdtemp(dir=folder)) / name


@contextmanager
def _told(folder: Path | None = None) -> Iterator[None]:
    """Tell the visitor of his errors, without the server's paths; others are only logged."""
    try:
        yield
    except Exception as error:
        advice = command.explain(error)
        if advice is None:
            raise
        if folder is not None:
            advice = advice.replace(f"{folder}/", "")
        raise gr.Error(advice, print_exception=False) from error
