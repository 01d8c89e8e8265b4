"""Where the faces are: MTCNN, three small networks asked through the `Networks` seam.

Zhang et al. 2016, «Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks» (arXiv:1604.02878): P-Net proposes on an image pyramid, R-Net refines, O-Net decides and
gives five landmarks. The pyramid factor and the box arithmetic are those the published weights were
tuned with; thresholds and overlaps were set on photographs (docs/decisions.md 3). All pictures of
a batch go through each network together.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emoserve_ensemble.arrays import Floats, Pixels, Tensor
from emoserve_ensemble.faces import FoundFaces
from emoserve_ensemble.networks import Networks, Question, ask, ask_many

PYRAMID_FACTOR = 0.709  # area halves from one level to the next
P_STRIDE, P_CELL = 2, 12  # P-Net's stride and receptive field, pixels
OVERLAP = 0.5  # candidates that share more of their union are one
MAX_FACES = 256  # per picture, the most confident ones


@dataclass(frozen=True)
class DetectorSettings:
    """What is looked for.

    Attributes:
        max_side_px: larger pictures are shrunk to this before detection.
        min_face_px: smallest face side, in pixels of the shrunk picture.
        thresholds: face probability at P-Net, R-Net and O-Net.
        border: width of a grey frame about the picture, as a share of its longer side: finds
            faces that the picture's edge cuts (grey is 0 to the networks).
    """

    max_side_px: int = 1280
    min_face_px: float = 24.0
    thresholds: tuple[float, float, float] = (0.7, 0.7, 0.9)
    border: float = 0.1


@dataclass(frozen=True)
class _Candidates:
    """Boxes of many pictures: picture index [n], boxes [n, 4], scores [n]."""

    picture: Tensor
    boxes: Floats
    scores: Floats

    def __getitem__(self, keep: Tensor) -> "_Candidates":
        return _Candidates(self.picture[keep], self.boxes[keep], self.scores[keep])

    def moved(self, boxes: Floats) -> "_Candidates":
        return _Candidates(self.picture, boxes, self.scores)


def find_faces(
    pictures: Sequence[Pixels], networks: Networks, settings: DetectorSettings | None = None
) -> list[FoundFaces]:
    """Return the faces of each picture, in the order of the pictures.

    Args:
        pictures: uint8 [height, width, 3], RGB, any sizes.
    """
    settings = settings or DetectorSettings()
    framed = [_framed(picture, settings) for picture in pictures]
    pixels = [frame.pixels for frame in framed]
    found = _propose(pixels, networks, settings)
    found = _refine(pixels, found, networks, settings.thresholds[1])
    return _decide(framed, found, networks, settings.thresholds[2])


@dataclass(frozen=True)
class _Framed:
    """A picture as the networks see it: shrunk by `ratio`, with a grey frame of `border_px`."""

    pixels: Pixels
    size: tuple[int, int]  # of the original: width, height
    ratio: float
    border_px: int


def _framed(picture: Pixels, settings: DetectorSettings) -> _Framed:
    height, width = picture.shape[:2]
    ratio = min(1.0, settings.max_side_px / max(height, width))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small: Tensor = picture if ratio == 1 else _by_area(picture, size)
    side = round(settings.border * max(size))
    if side:
        small = cv2.copyMakeBorder(
            small, side, side, side, side, cv2.BORDER_CONSTANT, value=(127, 127, 127)
        )
    return _Framed(np.asarray(small, np.uint8), (width, height), ratio, side)


def _propose(
    pictures: Sequence[Pixels], networks: Networks, settings: DetectorSettings
) -> _Candidates:
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, picture in enumerate(pictures):
        groups[picture.shape[:2]].append(index)  # type: ignore[index]
    levels = [
        (scale, np.asarray(members), level)
        for members in groups.values()
        for scale, level in _pyramid([pictures[i] for i in members], settings.min_face_px)
    ]
    questions = [Question("face_pnet", {"image": _normalised(level)}) for _, _, level in levels]
    answers = ask_many(networks, questions)
    parts = [
        _proposals(answer, scale, members, settings.thresholds[0])
        for (scale, members, _), answer in zip(levels, answers, strict=True)
    ]
    return _square(_strongest(_concatenated(parts), OVERLAP))


def _pyramid(
    pictures: Sequence[Pixels], min_face_px: float
) -> Iterator[tuple[float, Sequence[Pixels]]]:
    """Yield scales and pictures of one size shrunk by them.

    Each level is made from the one before it, by factors of which linear interpolation reads all
    pixels: areas of the full picture took a fifth of the whole detection (docs/decisions.md 19).
    """
    height, width = pictures[0].shape[:2]
    scale = P_CELL / min_face_px
    level = pictures
    while min(height, width) * scale >= P_CELL:
        size = (int(width * scale + 1), int(height * scale + 1))
        level = [np.asarray(cv2.resize(picture, size), np.uint8) for picture in level]
        yield scale, level
        scale *= PYRAMID_FACTOR


def _shrunk(crop: Pixels, side: int) -> Pixels:
    """Return uint8 [side, side, 3]: halved, which is quick, while that leaves enough pixels."""
    while min(crop.shape[:2]) >= 2 * side:
        height, width = crop.shape[0] // 2, crop.shape[1] // 2
        crop = _by_area(crop[: 2 * height, : 2 * width], (width, height))
    return _by_area(crop, (side, side))


def _by_area(picture: Pixels, size: tuple[int, int]) -> Pixels:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _normalised(pictures: Sequence[Pixels]) -> Floats:
    """Return float32 [batch, 3, height, width] of pictures of one size, at least one; grey is 0."""
    return np.asarray(cv2.dnn.blobFromImages(pictures, 1 / 128, mean=(127.5,) * 3))


def _proposals(
    answer: dict[str, Tensor], scale: float, members: Tensor, threshold: float
) -> _Candidates:
    offsets = answer["box"]  # [batch, 4, rows, columns]
    batch, _, rows, columns = offsets.shape
    scores = answer["face"].reshape(batch, rows, columns)
    which, row, column = np.nonzero(scores >= threshold)
    corner = np.stack([column, row], axis=1).astype(np.float32) * P_STRIDE + 1
    boxes = np.hstack([np.floor(corner / scale), np.floor((corner + P_CELL - 1) / scale)])
    moved = _moved(boxes, offsets[which, :, row, column], 0.0)
    strongest = _Candidates(members[which], boxes, scores[which, row, column])
    keep = _keep(strongest, 0.5)
    return strongest.moved(moved)[keep]


def _moved(boxes: Floats, offsets: Floats, extra: float) -> Floats:
    """Return boxes shifted by a network's offsets, which are fractions of width and height."""
    size = np.tile(boxes[:, 2:] - boxes[:, :2] + extra, 2)
    return np.asarray(boxes + offsets * size, np.float32)


def _concatenated(parts: Sequence[_Candidates]) -> _Candidates:
    if not parts:
        return _Candidates(np.zeros(0, int), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    return _Candidates(
        np.concatenate([part.picture for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def _keep(found: _Candidates, overlap: float) -> Tensor:
    """Return the indices that survive non-maximum suppression within each picture."""
    if not len(found.boxes):
        return np.zeros(0, int)
    corners_sizes = np.hstack([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]])
    keep = cv2.dnn.NMSBoxesBatched(
        corners_sizes.tolist(), found.scores.tolist(), found.picture.tolist(), 0.0, overlap
    )
    return np.asarray(keep, int).reshape(-1)


def _strongest(found: _Candidates, overlap: float) -> _Candidates:
    return found[_keep(found, overlap)]


def _square(found: _Candidates) -> _Candidates:
    """Return the boxes grown to squares about their centres, as R-Net and O-Net want them."""
    size = found.boxes[:, 2:] - found.boxes[:, :2]
    side = size.max(axis=1, keepdims=True)
    left_top = found.boxes[:, :2] + size / 2 - side / 2
    return found.moved(np.hstack([left_top, left_top + side]))


def _cut(pictures: Sequence[Pixels], found: _Candidates, side: int) -> tuple[_Candidates, Floats]:
    """Return candidates that lie in their picture and their pixels, float32 [n, 3, side, side]."""
    sizes = np.array([picture.shape[1::-1] for picture in pictures])[found.picture]  # [n, xy]
    begin = np.maximum(found.boxes[:, :2].astype(int) - 1, 0)
    end = np.minimum(found.boxes[:, 2:].astype(int), sizes)
    inside = (begin < end).all(axis=1)
    found, edges = found[inside], np.hstack([begin, end])[inside]
    crops = [
        _shrunk(pictures[picture][top:bottom, left:right], side)
        for picture, (left, top, right, bottom) in zip(found.picture, edges.tolist(), strict=True)
    ]
    return found, _normalised(crops) if crops else np.zeros((0, 3, side, side), np.float32)


def _refine(
    pictures: Sequence[Pixels], found: _Candidates, networks: Networks, threshold: float
) -> _Candidates:
    found, crops = _cut(pictures, found, 24)
    if not len(crops):
        return found
    answer = ask(networks, "face_rnet", image=crops)
    scores = answer["face"].reshape(-1)
    passed = scores > threshold
    found = _Candidates(found.picture[passed], found.boxes[passed], scores[passed])
    keep = _keep(found, OVERLAP)
    offsets = answer["box"].reshape(-1, 4)[passed][keep]
    found = found[keep]
    return _square(found.moved(_moved(found.boxes, offsets, 1.0)))


def _decide(
    framed: Sequence[_Framed], found: _Candidates, networks: Networks, threshold: float
) -> list[FoundFaces]:
    found, crops = _cut([frame.pixels for frame in framed], found, 48)
    if not len(crops):
        return [_nothing() for _ in framed]
    answer = ask(networks, "face_onet", image=crops)
    scores = answer["face"].reshape(-1)
    passed = scores > threshold
    found = _Candidates(found.picture[passed], found.boxes[passed], scores[passed])
    points = answer["landmarks"].reshape(-1, 2, 5)[passed].transpose(0, 2, 1)  # [n, 5, xy]
    side = (found.boxes[:, 2:] - found.boxes[:, :2] + 1)[:, None]
    landmarks = points * side + found.boxes[:, None, :2] - 1
    found = found.moved(_moved(found.boxes, answer["box"].reshape(-1, 4)[passed], 1.0))
    return [_of_picture(index, found, landmarks, frame) for index, frame in enumerate(framed)]


def _of_picture(index: int, found: _Candidates, landmarks: Floats, frame: _Framed) -> FoundFaces:
    mine = np.flatnonzero(found.picture == index)
    mine = mine[_keep_by_smaller(found.boxes[mine], found.scores[mine], 0.7)][:MAX_FACES]
    boxes = (found.boxes[mine] - frame.border_px) / frame.ratio
    boxes = np.clip(boxes, 0, np.tile(np.asarray(frame.size, np.float32), 2)).astype(np.float32)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    points = (landmarks[mine] - frame.border_px) / frame.ratio
    return FoundFaces(
        boxes[inside],
        found.scores[mine][inside].astype(np.float32),
        points[inside].astype(np.float32),
    )


def _keep_by_smaller(boxes: Floats, scores: Floats, overlap: float) -> Tensor:
    """Return the indices kept when overlap is measured against the smaller of two boxes."""
    if len(boxes) < 2:
        return np.arange(len(boxes))
    area = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    order = list(np.argsort(-scores, kind="stable"))
    keep: list[int] = []
    for index in order:
        corner = np.maximum(boxes[index, :2], boxes[keep, :2])
        shared = np.maximum(np.minimum(boxes[index, 2:], boxes[keep, 2:]) - corner, 0).prod(axis=1)
        smaller = np.minimum(area[index], area[keep])
        if not (shared > overlap * smaller).any():
            keep.append(index)
    return np.asarray(keep, int)


def _nothing() -> FoundFaces:
    return FoundFaces(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
    )
