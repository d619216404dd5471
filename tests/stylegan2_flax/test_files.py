import errno

import pytest

from stylegan2_flax import files
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
    (other := tmp_path / "other.txt").touch()
    assert path.stat().st_mode == other.stat().st_mode  # as the user's umask has it


def test_a_failure_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    files.write_text(path, "Bińkowski")
    assert path.read_text(encoding="utf-8") == "Bińkowski"
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "half\ud800")
    assert path.read_text(encoding="utf-8") == "Bińkowski"
    assert list(path.parent.iterdir()) == [path]


def test_a_home_folder_is_expanded_and_a_url_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(files.local_path("~/runs/a", "--workdir")) == "/home/someone/runs/a"
    assert str(files.storage_path("file:///runs/a", "--workdir")) == "/runs/a"
    for url in ("s3://bucket/run", "https://host/run"):
        assert files.is_url(url)
        with pytest.raises(ValueError, match=f"--workdir={url} is a URL.*mount the bucket"):
            files.local_path(url, "--workdir")
        assert files.absolute(url) == url
    assert files.absolute("~/runs/a") == files.absolute("file:///home/someone/runs/a") == "/home/someone/runs/a"


@pytest.mark.parametrize("read", [files.local_path, files.storage_path])
def test_an_empty_path_is_not_the_working_directory(read):
    with pytest.raises(ValueError, match="--out is empty: give a path"):
        read("", "--out")


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(tmp_path):
    def write(path, error):
        with files.atomic(path) as temporary:
            temporary.write_text("half")
            raise error

    for error in (OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left on device (os error)")):
        with pytest.raises(OSError, match=r"a\.txt could not be written, for the disk is full: make room"):
            write(tmp_path / "a.txt", error)
    with pytest.raises(OSError, match="other"):
        write(tmp_path / "a.txt", OSError(errno.EIO, "other"))
    assert not list(tmp_path.iterdir())


def test_files_of_a_set_appear_together_or_not_at_all(tmp_path):
    def write(*texts):
        with files.atomic_set([tmp_path / "a.txt", tmp_path / "b.txt"]) as temporary:
            for path, text in zip(temporary, texts, strict=True):
                files.write_text(path, text)

    with pytest.raises(UnicodeEncodeError):
        write("whole", "half\ud800")
    assert not list(tmp_path.iterdir())
    write("one", "two")
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["one", "two"]
