import pytest

from stylegan2_flax.files import atomic


def write_half(path):
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with pytest.raises(RuntimeError):
        write_half(path)
    assert list(path.parent.iterdir()) == []
    with atomic(str(path)) as temporary:
        assert temporary.suffix == path.suffix
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failure_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
