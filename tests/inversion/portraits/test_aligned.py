"""Faces of one picture, found by dlib and by finders of others."""

import sys
import types
import warnings

import numpy as np
import pytest
from PIL import Image

import disentangle_jax as dj
from disentangle_jax.inversion import portraits
from disentangle_jax.inversion.portraits import dlib_faces


def test_a_photographed_face_is_cut_out_and_pasted_back(astronaut):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crops, transforms = dj.inversion.align(astronaut, 256)
    (square,) = transforms
    assert crops.shape == (1, 256, 256, 3)
    assert square == pytest.approx((225, 107, 174, 0.05), rel=0.03, abs=0.03)
    back = dj.inversion.paste(astronaut, crops[0], square)
    assert 10 * np.log10(255**2 / np.mean((back.astype(float) - astronaut) ** 2)) > 45


def test_an_aligned_face_has_its_eyes_and_mouth_where_ffhq_has_them(astronaut, find_with_dlib):
    turned = np.asarray(Image.fromarray(astronaut).rotate(20, resample=Image.Resampling.BICUBIC))
    crops, (square,) = portraits.align(turned, 400, find=find_with_dlib)
    assert square.angle == pytest.approx(0.05 - np.radians(20), abs=0.03)
    (landmarks,) = find_with_dlib(crops[0])
    eyes, mouth = [landmarks[36:42].mean(0), landmarks[42:48].mean(0)], landmarks[[48, 54]].mean(0)
    assert np.mean([eyes[0][0], eyes[1][0], mouth[0]]) == pytest.approx(200, abs=6)
    assert eyes[1][1] == pytest.approx(eyes[0][1], abs=5)
    assert (eyes[1][0] - eyes[0][0]) / 400 == pytest.approx(0.25, abs=0.02)
    assert 0.2 < (mouth[1] - eyes[0][1]) / 400 < 0.28


def test_all_faces_the_largest_or_the_only_one(find_dots, draw_dots):
    image = draw_dots((60, 80, 40), (200, 90, 60))
    crops, transforms = portraits.align(image, 32, find=find_dots)
    assert [round(square.x) for square in transforms] == [200, 60]
    assert len(crops) == 2
    _, largest = portraits.align(image, 32, faces="largest", find=find_dots)
    assert largest == transforms[:1]
    with pytest.raises(portraits.SeveralFacesError, match="2 faces in this picture of 300x200, and one is wanted"):
        portraits.align(image, 32, faces="one", find=find_dots)
    with pytest.raises(ValueError, match="one of all, largest, one; got 'first'"):
        portraits.align(image, 32, faces="first", find=find_dots)


def test_what_will_trouble_the_result_is_told(find_dots, draw_dots):
    with pytest.raises(portraits.NoFaceError, match="no face is found in this picture of 300x200: "):
        portraits.align(draw_dots(), 64, find=find_dots)
    with pytest.warns(UserWarning, match="the face is small, 80 pixels with its hair: enlarged to 512 pixels"):
        portraits.align(draw_dots((150, 100, 50)), 512, find=find_dots)
    with pytest.warns(UserWarning, match="4[0-9]% of the face's square lie outside of the picture"):
        portraits.align(draw_dots((2, 100, 50)), 64, find=find_dots)
    for wrong in (np.zeros((64, 64), np.uint8), np.zeros((64, 64, 1), np.uint8), np.zeros((64, 64, 3), np.float32)):
        with pytest.raises(ValueError, match=r"RGB pictures \[h, w, 3\] of uint8; got .* repeat the channel"):
            portraits.align(wrong, 64, find=find_dots)


def test_a_finder_of_someone_else_takes_dlibs_place(monkeypatch, find_dots, draw_dots):
    module = types.ModuleType("finders_of_a_user")
    vars(module).update(dots=lambda: find_dots, number=lambda: 3, blind=lambda: lambda image: np.zeros((1, 4, 2)))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    image = draw_dots((60, 80, 40))
    (square,) = portraits.align(image, 32, find=portraits.load_finder("finders_of_a_user:dots")).transforms
    assert round(square.x) == 60
    for name, message in {
        "opencv": "unknown face finder 'opencv': say dlib, or a factory as package.module:factory",
        "finders_of_a_user:cats": "unknown face finder 'finders_of_a_user:cats'.* no attribute 'cats'",
        "finders_of_a_user:number": "'finders_of_a_user:number' is a int: it must be a callable",
    }.items():
        with pytest.raises(ValueError, match=message):
            portraits.load_finder(name)
    with pytest.raises(ValueError, match=r"gives landmarks \[n, 68, 2\] or \[n, 5, 2\]; this one gave \[1, 4, 2\]"):
        portraits.align(image, 32, find=portraits.load_finder("finders_of_a_user:blind"))


def test_without_dlib_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(dlib_faces, "_model_files", list)
    dlib_faces.make_face_finder.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'disentangle_jax\[portraits\]'"):
        portraits.load_finder()


def test_dlib_finds_no_face_where_there_is_none_and_small_and_large_ones(astronaut, find_with_dlib):
    assert find_with_dlib(astronaut[300:, :200].copy()).shape == (0, 68, 2)
    (known,) = find_with_dlib(astronaut)
    (small,) = find_with_dlib(astronaut[::4, ::4].copy())
    np.testing.assert_allclose(4 * small, known, atol=8)
    (large,) = find_with_dlib(astronaut.repeat(4, axis=0).repeat(4, axis=1))
    np.testing.assert_allclose(large / 4, known, atol=5)
