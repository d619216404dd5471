"""What of a folder is found, what is left out, and what is said of it."""

import numpy as np
import pytest
from PIL import Image

from stylegan2_flax.gan.folder import Folder


def save(path, grey=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(grey).integers(0, 10, (64, 64, 3), np.uint8)
    Image.fromarray(noise + np.uint8(grey)).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def open_folder(folder, unreadable="refuse"):
    return Folder(folder, 8, 3, "white", unreadable, 2)


def greys(images):
    return [int(images[i].mean()) // 10 * 10 for i in range(len(images))]


def test_links_to_files_and_folders_are_followed(tmp_path, capsys):
    for i in range(9):
        save(tmp_path / "elsewhere" / f"{i}.png", 10 * i)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    save(folder / "x.png", 200)
    (folder / "y.png").symlink_to(tmp_path / "elsewhere" / "3.png")
    assert greys(open_folder(folder)) == [*range(0, 90, 10), 200, 30]
    assert f"{folder}: 11 images\n" in capsys.readouterr().err


def test_folders_that_are_linked_in_a_circle_count_once(tmp_path):
    save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "twice").symlink_to(tmp_path / "a", target_is_directory=True)
    assert len(open_folder(tmp_path)) == 1


def test_hidden_files_and_other_types_are_left_out_and_counted(tmp_path, capsys):
    save(tmp_path / "1.jpg")
    save(tmp_path / ".cache" / "2.jpg")
    (tmp_path / "._1.jpg").write_bytes(b"\0\5\x16\7" + bytes(100))  # what macOS leaves beside an image
    for name in ("a.heic", "b.heic", "notes.txt"):
        (tmp_path / name).write_text("")
    assert len(open_folder(tmp_path)) == 1
    assert capsys.readouterr().err == f"{tmp_path}: 1 images; left out: 2 hidden, 3 of other types (.heic, .txt)\n"


def test_a_folder_without_images_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match=r"holds no images \(.*\), nor do the folders in it$"):
        open_folder(tmp_path)
    (tmp_path / "a.heic").touch()
    with pytest.raises(ValueError, match=r"there are files 1 of other types \(\.heic\)$"):
        open_folder(tmp_path)


def test_files_whose_headers_cannot_be_read_are_all_named_at_the_start(tmp_path):
    for i in range(10):
        save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_text("hello")
    (tmp_path / "7.png").unlink()
    (tmp_path / "7.png").symlink_to("nowhere.png")
    with pytest.raises(ValueError, match=r"2 of 10 images in .* cannot be read") as caught:
        open_folder(tmp_path)
    lines = str(caught.value).split("\n")
    assert lines[1] == f"  {tmp_path}/3.png: not an image file"
    assert "7.png: [Errno 2] No such file" in lines[2]
    assert lines[3] == "Repair or remove them, or leave them out with --config.data.unreadable=skip."


def test_of_many_bad_files_some_are_named_and_all_counted(tmp_path):
    for i in range(12):
        (tmp_path / f"{i:02d}.png").write_text("hello")
    with pytest.raises(ValueError, match=r"12 of 12 images(.*\n){6}  and 7 more\n"):
        open_folder(tmp_path)


def test_bad_files_can_be_skipped(tmp_path, capsys):
    """One is no image, of one the pixels are cut short: that shows only when it is read."""
    for i in range(4):
        save(tmp_path / f"{i}.jpg", 10 * i)
    (tmp_path / "0.jpg").write_text("hello")
    cut(tmp_path / "2.jpg")
    images = open_folder(tmp_path, "skip")
    assert "3 images; left out: 1 that cannot be read\n" in (said := capsys.readouterr().err)
    assert "0.jpg: not an image file" in said
    assert greys(images) == [10, 30, 30]
    assert greys(images) == [10, 30, 30]
    said = capsys.readouterr().err
    assert said.count("warning") == said.count("2.jpg is damaged or cut short") == 1
    assert "the image after it is taken instead (1 so far)" in said


def test_images_that_are_all_cut_short_end_in_an_error(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.jpg", 10 * i)
        cut(tmp_path / f"{i}.jpg")
    with pytest.raises(ValueError, match="none of the images can be read"):
        open_folder(tmp_path, "skip")[1]


def test_a_file_that_is_cut_short_is_named_when_it_is_read(tmp_path):
    save(tmp_path / "1.png")
    cut(tmp_path / "1.png")
    images = open_folder(tmp_path)
    with pytest.raises(ValueError, match=r"1\.png is damaged or cut short"):
        images[0]
