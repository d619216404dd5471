"""A page to edit and drive faces:

    python -m disentangle_jax.app --model=faces64
    python -m disentangle_jax.app --model=runs/demo --port=8000

It answers this computer alone, at http://127.0.0.1:7860, unless --host says otherwise: whoever reaches it may use it.
It needs the extra `app`. What is uploaded and made is deleted within two hours, and when the page is stopped (Ctrl-C).
"""

import importlib.util
import os
import signal
import tempfile
from pathlib import Path

from absl import flags

from disentangle_jax import configs, model_sources
from disentangle_jax.disentangler import Disentangler
from disentangle_jax.inversion import encoders, portraits
from disentangle_jax.page.editing import Controls, Editor
from disentangle_jax.reenactment import rules
from disentangle_jax.reenactment.inputs import Reading, load_encoder
from stylegan2_flax import command
from stylegan2_flax.run import config_flag

FLAGS = flags.FlagValues()
MODEL = model_sources.define_flag(FLAGS)
HOST = flags.DEFINE_string("host", "127.0.0.1", "the address to listen at; 0.0.0.0: all of them", flag_values=FLAGS)
PORT = flags.DEFINE_integer("port", 7860, "the port to listen at", lower_bound=1, upper_bound=65535, flag_values=FLAGS)
MAX_UPLOAD_MB = flags.DEFINE_integer(
    "max_upload_mb", 32, "megabytes of a file that is uploaded, at most", lower_bound=1, flag_values=FLAGS
)
MAX_FRAMES = flags.DEFINE_integer("max_frames", 300, "frames of a clip, at most", lower_bound=1, flag_values=FLAGS)
ALIGN = flags.DEFINE_enum(
    "align",
    "auto",
    portraits.ALIGN,
    "what of an upload is inverted: a face, aligned as in FFHQ; the middle (none); auto decides by the generator",
    flag_values=FLAGS,
)
FACE_FINDER = portraits.define_finder_flag(FLAGS)
ENCODER = encoders.define_flag(FLAGS)
CONFIG = config_flag.define(FLAGS, configs, default="transfer")


def main() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise ImportError("the page needs Gradio: pip install 'disentangle_jax[app]'")
    rules.check(CONFIG.value)
    reading = Reading(CONFIG.value, align=ALIGN.value, face_finder=FACE_FINDER.value, encoder=ENCODER.value)
    model = Disentangler.load(MODEL.value)
    load_encoder(model, reading)  # or what is wrong with it would be told to the first visitor
    editor = Editor(model, reading, MAX_FRAMES.value)
    _compile(editor)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that files are deleted then, too
    with tempfile.TemporaryDirectory(prefix="disentangle_jax_page_") as folder:
        serve(editor, Path(folder), HOST.value, PORT.value, MAX_UPLOAD_MB.value)


def serve(editor: Editor, folder: Path, host: str, port: int, max_upload_mb: int) -> None:
    """Show the page until Ctrl-C. All files lie in `folder`. Raises OSError if the port is taken."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # Gradio serves what lies there, and reads uploads from nowhere else
    import gradio as gr  # pyright: ignore[reportMissingImports] # of the extra `app`

    from disentangle_jax.page import layout

    font = ["system-ui", "sans-serif"]  # of the computer: no visitor's browser has to fetch one from elsewhere
    layout.build(editor, folder).queue(max_size=32).launch(
        server_name=host,
        server_port=port,
        max_file_size=f"{max_upload_mb}mb",
        theme=gr.themes.Default(font=font, font_mono=["ui-monospace", "monospace"]),
        css=layout.CSS,
        share=False,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=["settings"],
    )


def _compile(editor: Editor) -> None:
    """Draw one face, so that the first visitor need not wait."""
    still = Controls((0.0,) * len(editor.appearance.names), (0.0,) * len(editor.structure.names))
    face = editor.open("seed:1")
    editor.preview(face, face, still, 0.0)


if __name__ == "__main__":
    command.run(main, FLAGS)
