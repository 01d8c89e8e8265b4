"""Faces on real photographs, counted by eye in the README beside them."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from emoserve_ensemble.detection import find_faces
from emoserve_ensemble.face import analyze_pictures, pooled_faces
from emoserve_ensemble.fusion import Absent, Evidence
from emoserve_ensemble.images import decode_image
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import LocalNetworks


def photo(folder: Path, name: str) -> np.ndarray:
    return decode_image((folder / "photos" / name).read_bytes(), Limits())


def counts(folder: Path) -> dict[str, int]:
    """Return the number of faces of each counted photograph."""
    text = (folder / "photos" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+\.jpg) \| (\d+) \|", text, re.MULTILINE)
    return {name: int(count) for name, count in rows}


def test_recall_and_precision_on_real_photographs(data: Path, networks: LocalNetworks) -> None:
    counted = counts(data)
    assert len(counted) == 18
    found = {name: len(find_faces([photo(data, name)], networks)[0]) for name in counted}
    hit = sum(min(found[name], count) for name, count in counted.items())
    assert hit / sum(counted.values()) >= 0.95, found
    assert hit / sum(found.values()) >= 0.97, found


def test_a_batch_of_different_sizes_gives_what_each_gives_alone(data, networks) -> None:
    names = ["pyfeat_multi_face.jpg", "pyfeat_mountain_noface.jpg", "wild_shia.jpg"]
    pictures = [photo(data, name) for name in names]
    together = find_faces(pictures, networks)
    for picture, found in zip(pictures, together, strict=True):
        alone = find_faces([picture], networks)[0]
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=0.5)
        np.testing.assert_allclose(found.detection, alone.detection, atol=1e-3)


def test_landmarks_lie_in_their_box(data, networks) -> None:
    found = find_faces([photo(data, "pyfeat_single_face.jpg")], networks)[0]
    assert len(found) == 1
    left, top, right, bottom = found.boxes[0]
    x, y = found.landmarks[0].T
    assert ((left < x) & (x < right) & (top < y) & (y < bottom)).all()
    left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert left_mouth[0] < right_mouth[0]


def changed(picture: np.ndarray, how: str) -> np.ndarray:
    height, width = picture.shape[:2]
    if how == "dark":
        return (picture * 0.15).astype(np.uint8)
    if how == "turned by 25 degrees":
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 25, 1.0)
        return np.asarray(cv2.warpAffine(picture, turn, (width, height)), np.uint8)
    side = 30 / 260  # the face is 260 px high: 30 px are left
    return np.asarray(cv2.resize(picture, None, fx=side, fy=side, interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("how", ["dark", "turned by 25 degrees", "tiny"])
def test_a_hard_face_is_found(data, networks, how: str) -> None:
    picture = changed(photo(data, "pyfeat_single_face.jpg"), how)
    assert len(find_faces([picture], networks)[0]) == 1


def test_quality_falls_with_blur_darkness_and_size(data, networks) -> None:
    picture = photo(data, "pyfeat_single_face.jpg")
    worse = [
        cv2.GaussianBlur(picture, (0, 0), 12),
        changed(picture, "dark"),
        changed(picture, "tiny"),
    ]
    quality = [faces.quality for faces in analyze_pictures([picture, *worse], networks)]
    assert quality[0].shape == (1,)
    assert quality[0][0] > 0.8
    for each in quality[1:]:
        assert each[0] < quality[0][0] - 0.05


@pytest.mark.parametrize("size", [(1, 1), (11, 300), (3, 4000)])
def test_pictures_too_small_for_a_face_have_none(networks, size: tuple[int, int]) -> None:
    assert len(find_faces([np.zeros((*size, 3), np.uint8)], networks)[0]) == 0


def test_smiles_and_surprise_are_seen(data, networks) -> None:
    names = {"pyfeat_f15_happy.jpg": 3, "fer_justin.jpg": 3, "pyfeat_f1_surprise.jpg": 6}
    analyzed = analyze_pictures([photo(data, name) for name in names], networks)
    for faces, emotion in zip(analyzed, names.values(), strict=True):
        assert int(faces.emotion[0].argmax()) == emotion


def test_faces_of_several_pictures_are_one_modality(data, networks) -> None:
    pictures = [photo(data, name) for name in ("wild_shia.jpg", "pyfeat_mountain_noface.jpg")]
    analyzed = analyze_pictures(pictures, networks)
    evidence = pooled_faces(analyzed)
    assert isinstance(evidence, Evidence)
    assert evidence.details == {"faces": 1, "frames": 2}
    np.testing.assert_allclose(evidence.emotion, analyzed[0].emotion[0], atol=1e-6)
    nothing = pooled_faces(analyzed[1:])
    assert isinstance(nothing, Absent)
    assert nothing.reason == "no face"
