"""python -m disentangle_jax.faces.sheet."""

import pytest

from disentangle_jax.faces import sheet
from stylegan2_flax import command


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out=file/a.png"], "file is a file"),
        (["--out=a.gif"], "the file type must be one of"),
        (["--out=a.png", f"--seed={2**32}"], "--seed=4294967296"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_drawn(tmp_path, monkeypatch, options, message):
    monkeypatch.delattr(sheet, "contact_sheet")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=message):
        command.run(sheet.main, sheet.FLAGS, ["sheet", *options])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
