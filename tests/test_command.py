"""What all commands share."""

import pytest
from absl import app

from disentangle_jax import command


def failing(error):
    def main():
        raise error

    return main


def test_stray_arguments_are_refused():
    with pytest.raises(app.UsageError, match="unknown argument 'x': options are written --name=value"):
        command.call(failing(AssertionError), ["command", "x"])


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, ImportError, FloatingPointError])
def test_errors_of_the_user_are_one_line(error):
    with pytest.raises(SystemExit) as stop:
        command.call(failing(error("mend this")), ["command"])
    assert stop.value.code == "error: mend this"


@pytest.mark.parametrize("error", [app.UsageError("say --x"), KeyError("ours"), SystemExit("Stopped")])
def test_all_else_passes(error):
    with pytest.raises(type(error)) as passed:
        command.call(failing(error), ["command"])
    assert passed.value is error


def test_an_interrupt_is_one_line(capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        command.call(main, ["command"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "Interrupted. Every file that was written is whole.\n"
