"""Pictures to faces with emotions: detection, crops, and the face network over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Floats, Pixels
from emoserve_ensemble.detection import DetectorSettings, FoundFaces, find_faces
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.face_pixels import face_pixels
from emoserve_ensemble.fusion import Absent, Evidence, pooled
from emoserve_ensemble.images import decode_image
from emoserve_ensemble.labels import to_canonical
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks, ask

NETWORKS = ("face_pnet", "face_rnet", "face_onet", "face_net")


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, the most certain first.

    Attributes:
        size: width and height of the picture, pixels.
        found: where they are.
        emotion: float32 [faces, 7], canonical order.
        embedding: float32 [faces, 128].
    """

    size: tuple[int, int]
    found: FoundFaces
    emotion: Floats
    embedding: Floats

    def __len__(self) -> int:
        return len(self.found)

    @property
    def prominence(self) -> Floats:
        """Share of each face in the picture's answer, by its box's area: float32 [faces]."""
        sides = self.found.boxes[:, 2:] - self.found.boxes[:, :2]
        area = np.maximum(sides, 1).prod(axis=1)
        return np.asarray(area / area.sum(), np.float32)

    def to_json(self) -> answers.Json:
        width, height = self.size
        rows = zip(self.found.boxes, self.found.detection, self.emotion, strict=True)
        faces = [
            {
                "box": [round(float(side), 1) for side in box],
                "detection": round(float(detection), 4),
                "emotions": answers.emotions(emotion),
            }
            for box, detection, emotion in rows
        ]
        return {"width": width, "height": height, "faces": faces}


def pooled_faces(pictures: Sequence[Faces]) -> Evidence | Absent:
    """Return the faces of several pictures of one moment as a modality.

    Pictures with a face count equally, their faces by prominence.
    """
    seen = [picture for picture in pictures if len(picture)]
    count = {"faces": sum(len(picture) for picture in seen), "frames": len(pictures)}
    if not seen:
        return Absent("no face", count)
    shares = np.concatenate([picture.prominence for picture in seen])
    emotion = np.concatenate([picture.emotion for picture in seen])
    embedding = np.concatenate([picture.embedding for picture in seen])
    return Evidence(pooled(emotion, shares), pooled(embedding, shares), count)


def crop_face(picture: Pixels, box: Floats) -> Pixels:
    """Return the grey square about a face: uint8 [side, side].

    FER2013's pictures, on which the face network was trained, are squares from a frontal-face
    cascade: eyebrows to chin, a little wider than the face. MTCNN's boxes are upright rectangles of
    the same height, so the square has the box's longer side. Where it leaves the picture, the
    border is repeated.
    """
    centre = (box[:2] + box[2:]) / 2
    side = max(4, round(float(np.max(box[2:] - box[:2]))))
    left, top = np.round(centre - side / 2).astype(int)
    height, width = picture.shape[:2]
    inside = picture[max(top, 0) : top + side, max(left, 0) : left + side]
    grey = cv2.cvtColor(np.ascontiguousarray(inside), cv2.COLOR_RGB2GRAY)
    around = (
        max(-top, 0),
        max(top + side - height, 0),
        max(-left, 0),
        max(left + side - width, 0),
    )
    if any(around):
        grey = cv2.copyMakeBorder(grey, *around, cv2.BORDER_REPLICATE)
    return np.asarray(grey, np.uint8)


def face_tensor(pictures: Sequence[Pixels], found: Sequence[FoundFaces]) -> Floats:
    """Return float32 [faces of all pictures, 1, 48, 48], in the order of pictures, then faces."""
    crops = [
        face_pixels(crop_face(picture, box))
        for picture, faces in zip(pictures, found, strict=True)
        for box in faces.boxes
    ]
    return np.stack(crops) if crops else np.zeros((0, 1, 48, 48), np.float32)


def analyze_pictures(
    pictures: Sequence[Pixels], networks: Networks, settings: DetectorSettings | None = None
) -> list[Faces]:
    """Return the faces of each picture; uint8 [height, width, 3], RGB, any sizes."""
    found = find_faces(pictures, networks, settings)
    tensor = face_tensor(pictures, found)
    emotion = np.zeros((0, 7), np.float32)
    embedding = np.zeros((0, 128), np.float32)
    if len(tensor):
        answer = ask(networks, "face_net", face=tensor)
        emotion = to_canonical(answer["emotion"], networks.labels("face_net", "emotion"))
        embedding = answer["embedding"]
    ends = np.cumsum([len(faces) for faces in found])[:-1]
    parts = zip(pictures, found, np.split(emotion, ends), np.split(embedding, ends), strict=True)
    return [
        Faces((picture.shape[1], picture.shape[0]), faces, own, embedded)
        for picture, faces, own, embedded in parts
    ]


def analyze_images(
    images: Sequence[bytes],
    networks: Networks,
    limits: Limits,
    settings: DetectorSettings | None = None,
) -> list[Faces | InputError]:
    """Return the faces of each encoded picture, or why it cannot be used; in order."""
    decoded = [_decoded(image, limits) for image in images]
    pictures = [picture for picture in decoded if not isinstance(picture, InputError)]
    analyzed = iter(analyze_pictures(pictures, networks, settings) if pictures else [])
    return [item if isinstance(item, InputError) else next(analyzed) for item in decoded]


def _decoded(image: bytes, limits: Limits) -> Pixels | InputError:
    try:
        return decode_image(image, limits)
    except InputError as error:
        return error
