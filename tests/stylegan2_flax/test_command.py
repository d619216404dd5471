"""What all commands share: flags, help, and how each kind of error is told."""

import os
import runpy
import signal
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest
from absl import app, flags

from stylegan2_flax import command


def failing(error):
    def main():
        raise error

    return main


def told(error):
    with pytest.raises(SystemExit) as stop:
        command.call(failing(error), ["command"])
    return stop.value.code


@pytest.fixture(autouse=True)
def traceback_filtering():
    before = jax.config.jax_traceback_filtering  # pyright: ignore[reportAttributeAccessIssue]
    yield
    jax.config.update("jax_traceback_filtering", before)


@pytest.fixture
def cache_folder():
    """Gives and restores the folder of compiled programs."""

    def folder():
        return jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]

    before = folder()
    yield folder
    jax.config.update("jax_compilation_cache_dir", before)


def test_flags_may_be_written_with_hyphens():
    values = flags.FlagValues()
    flags.DEFINE_bool("dry_run", False, "", flag_values=values)
    flags.DEFINE_string("out_folder", "", "", flag_values=values)
    assert command.parse(values, ["command", "--dry-run", "--out-folder=a-b=c"]) == ["command"]
    assert (values.dry_run, values.out_folder) == (True, "a-b=c")
    with pytest.raises(flags.Error, match="dry-runs"):
        command.parse(values, ["command", "--dry-runs"])


def test_compiled_programs_are_kept_in_the_users_cache(cache_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = cache_folder()
    command.keep_compiled()
    assert cache_folder() == chosen is not None
    jax.config.update("jax_compilation_cache_dir", None)
    command.keep_compiled()
    assert cache_folder().startswith(str(tmp_path / "stylegan2_flax"))
    assert os.path.isdir(cache_folder())


def test_a_home_that_keeps_nothing_is_no_error(cache_folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    jax.config.update("jax_compilation_cache_dir", None)
    command.keep_compiled()
    assert cache_folder() is None


def test_stray_arguments_are_refused():
    with pytest.raises(SystemExit) as stop:
        command.call(failing(AssertionError), ["command", "x"])
    assert str(stop.value.code).startswith("error: unknown argument 'x': options are written --name=value")


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, ImportError, FloatingPointError, app.UsageError])
def test_errors_of_the_user_are_one_line(error):
    assert str(told(error("mend this"))).startswith("error: mend this")


def reshape_wrongly():
    np.zeros(3).reshape(2)


def add_wrongly():
    print(jax.numpy.zeros(3) + jax.numpy.zeros(2))


def look_up_wrongly():
    print({}["missing"])


@pytest.mark.parametrize("main", [reshape_wrongly, add_wrongly, look_up_wrongly])
def test_a_slip_of_the_program_is_a_traceback_to_report(main, capsys):
    with pytest.raises(SystemExit) as stop:
        command.call(main, ["command"])
    assert stop.value.code == os.EX_SOFTWARE
    error = capsys.readouterr().err
    assert f"in {main.__name__}" in error
    assert "please report it" in error


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes\nand\nmany\nlines")]
)
def test_exhausted_memory_names_what_to_lower(error):
    message = str(told(error))
    assert "\n" not in message
    assert "train.batch_size" in message
    assert "train.accumulate" in message
    assert "block_size" in message


def test_foreign_text_is_told_by_its_first_line():
    with pytest.raises(SystemExit) as stop:
        command.call(lambda: print(os.listdir("/nowhere")), ["command"])
    assert stop.value.code == "error: [Errno 2] No such file or directory: '/nowhere'"
    error = ImportError("no such library\nline 2\nline 3")
    error.__traceback__ = None

    def of_a_library():
        exec("raise error", {"__name__": "jax.somewhere", "error": error})

    with pytest.raises(SystemExit) as stop:
        command.call(of_a_library, ["command"])
    assert stop.value.code == "error: no such library"


def test_other_exits_pass():
    assert told(SystemExit("Stopped")) == "Stopped"


def test_an_interrupt_is_one_line(capsys):
    assert told(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "Interrupted. Every file that was written is whole.\n"


def test_a_run_that_a_signal_stopped_exits_as_shells_do(capsys):
    assert told(command.Stopped("Stopped by SIGTERM after step 3", "SIGTERM")) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "Stopped by SIGTERM after step 3\n"


PROGRAM = '''
"""Count: python -m count --number=3"""
import time
import warnings
from absl import flags
from stylegan2_flax import command

FLAGS = flags.FlagValues()
NUMBER = flags.DEFINE_integer("number", None, "how far", required=True, flag_values=FLAGS)
STEP = flags.DEFINE_integer("step", 1, "by how much", flag_values=FLAGS)

def main():
    import jax
    print(*range(0, NUMBER.value, STEP.value), jax.device_count(), flush=True)
    if NUMBER.value > 3:
        warnings.warn("that is far", stacklevel=1)
        for _ in range(6000):  # a signal that comes between Python's check for one and a sleep does not end that sleep
            time.sleep(0.01)

command.run(main, FLAGS)
'''


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "count.py"
    path.write_text(PROGRAM.lstrip())
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        (["--help"], 0, "Count: python -m count --number=3\n\nFlags:\n  --number: how far\n  --step: by how"),
        (["--number=3"], None, "0 1 2 8\n"),
        ([], "error: --number is missing. For example:\n    python -m count --number=3", ""),
        (["--number=x"], "error: flag --number=x: ", ""),
        (["--nmuber=3"], "error: Unknown command line flag 'nmuber'. Did you mean: number ?", ""),
    ],
)
def test_a_command_of_the_shell(program, arguments, code, out, monkeypatch, capsys):
    """What a string as the code of an exit becomes is shown from outside, below."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    found = None
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as stop:
        found = stop.code
    assert str(found).startswith(str(code))
    assert len(str(found).splitlines()) <= 3
    printed, error = capsys.readouterr()
    assert printed.startswith(out)
    assert bool(printed) == bool(out)
    assert error == ""


def start(program, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, program, *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_error_from_outside(program):
    with start(program, "--number=3", JAX_PLATFORMS="cuda") as process:
        printed, error = process.communicate(timeout=120)
    assert process.returncode == 1, error
    assert printed == ""
    assert error.startswith("error: JAX finds no such device (JAX_PLATFORMS=cuda)")
    assert "Traceback" not in error
    assert len(error.splitlines()) <= 3


def test_a_warning_and_ctrl_c_from_outside_are_a_line_each(program):
    with start(program, "--number=4") as process:
        assert process.stdout
        assert process.stdout.readline() == "0 1 2 3 8\n"
        assert process.stderr
        assert process.stderr.readline() == "warning: that is far\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[1] == "Interrupted. Every file that was written is whole.\n"
    assert process.returncode == 130


def test_help_names_flags_of_the_command_alone():
    values = flags.FlagValues()
    flags.DEFINE_string("out", "runs", "where to", flag_values=values)
    assert command.usage(values).endswith("Flags:\n  --out: where to (default: 'runs')")


@pytest.mark.parametrize("module", ["stylegan2_flax.sample", "disentangle_jax.train"])
def test_ctrl_c_while_a_command_imports_is_one_line(module, tmp_path):
    """While it imports JAX, which comes early: a module of that name, which `-m` finds first, stands for it."""
    (tmp_path / "jax.py").write_text("raise KeyboardInterrupt")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (130, -signal.SIGINT)
    assert done.stderr == "Interrupted.\n"
