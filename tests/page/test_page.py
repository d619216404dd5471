"""The page in a real Chromium: faces change as its controls say, and nothing of the server can be read."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")
ANSWER = 60_000  # milliseconds; most is much faster, where a processor is free


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The page's address, and the folder of its temporary files."""
    pytest.importorskip("gradio")
    temporary = tmp_path_factory.mktemp("temporary")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "disentangle_jax.app", "--model=faces64", f"--port={port}"]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "Running on local URL" in next(line for line in process.stdout if line.strip())
    yield f"http://127.0.0.1:{port}", temporary
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert not list(temporary.glob("disentangle_jax_page_*"))


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, server):
    address, _ = server
    opened = browser.new_page()
    outside = []
    opened.on("request", lambda request: outside.append(request.url) if address not in request.url else None)
    opened.goto(address)
    opened.wait_for_selector(".result img", timeout=ANSWER)
    yield opened
    opened.close()
    assert [url for url in outside if not url.startswith(("data:", "blob:"))] == []


def source_of(page, name):
    return page.locator(f".{name} img").get_attribute("src")


def changed(page, name, before):
    page.wait_for_function(
        "([name, before]) => document.querySelector(`.${name} img`)?.src.endsWith(before) === false",
        arg=[name, before],
        timeout=ANSWER,
    )
    with urllib.request.urlopen(page.locator(f".{name} img").evaluate("image => image.src")) as answer:
        return np.asarray(Image.open(answer), np.float32)


def test_a_slider_changes_the_face_and_the_middle_gives_it_back(page):
    first = source_of(page, "result")
    page.get_by_label("number input for Smile").fill("2")
    page.keyboard.press("Enter")
    smiling = changed(page, "result", first)
    assert smiling.shape == (256, 256, 3)
    second = source_of(page, "result")
    page.get_by_role("button", name="Sliders to the middle").click()
    still = changed(page, "result", second)
    assert np.abs(smiling - still).mean() > 0.5


@pytest.mark.parametrize(
    "path",
    ["/etc/hostname", str(Path(__file__)), "setup.py", "../setup.py", "disentangle_jax/app.py", "/proc/self/environ"],
)
def test_no_file_of_the_server_can_be_read(server, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server[0]}/gradio_api/file={path}")
    refused.value.close()
    assert refused.value.code in (403, 404)
