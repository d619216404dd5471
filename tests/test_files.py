import pytest

from disentangle_jax import files


def test_text_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    files.write_text(path, "Bińkowski")
    assert path.read_text(encoding="utf-8") == "Bińkowski"
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "half\ud800")
    assert path.read_text(encoding="utf-8") == "Bińkowski"
    assert list(path.parent.iterdir()) == [path]
