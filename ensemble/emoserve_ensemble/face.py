"""Pictures to faces with emotions: detection, crops, and the face network over all of them."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from emoserve_ensemble.arrays import Floats, Pixels, parts
from emoserve_ensemble.detection import DetectorSettings, find_faces
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.face_pixels import face_pixels
from emoserve_ensemble.face_quality import face_quality
from emoserve_ensemble.faces import Faces, FoundFaces
from emoserve_ensemble.fusion import Absent, Evidence, pooled
from emoserve_ensemble.labels import to_canonical
from emoserve_ensemble.networks import Networks, ask
from emoserve_ensemble.tools import Tools


class Pool:
    """The mean of many pictures' faces, in constant memory.

    Pictures with a face count equally, their faces by prominence and quality.
    """

    def __init__(self) -> None:
        self._pictures = self._with_face = self._faces = 0
        self._emotion = np.zeros(7, np.float32)
        self._embedding = np.zeros(128, np.float32)

    def copy(self) -> "Pool":
        return copy.deepcopy(self)

    def add(self, faces: Faces) -> None:
        """Take the next picture."""
        self._pictures += 1
        if len(faces):
            self._with_face += 1
            self._faces += len(faces)
            self._emotion += pooled(faces.emotion, faces.shares)
            self._embedding += pooled(faces.embedding, faces.shares)

    def evidence(self) -> Evidence | Absent:
        """Return the pictures so far as a modality."""
        count = {"faces": self._faces, "frames": self._pictures}
        if not self._with_face:
            return Absent("no face", count)
        return Evidence(self._emotion / self._with_face, self._embedding / self._with_face, count)


def pooled_faces(pictures: Sequence[Faces]) -> Evidence | Absent:
    """Return the faces of several pictures of one moment as a modality."""
    pool = Pool()
    for faces in pictures:
        pool.add(faces)
    return pool.evidence()


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
    lengths = [len(faces) for faces in found]
    rows = zip(
        [(picture.shape[1], picture.shape[0]) for picture in pictures],
        found,
        parts(emotion, lengths),
        parts(embedding, lengths),
        parts(face_quality(found, tensor), lengths),
        strict=True,
    )
    return [Faces(*row) for row in rows]


def analyze_decoded(
    decoded: Sequence[Pixels | InputError],
    networks: Networks,
    settings: DetectorSettings | None = None,
) -> list[Faces | InputError]:
    """Return the faces of each picture that could be decoded; in order."""
    pictures = [picture for picture in decoded if not isinstance(picture, InputError)]
    analyzed = iter(analyze_pictures(pictures, networks, settings) if pictures else [])
    return [item if isinstance(item, InputError) else next(analyzed) for item in decoded]


def analyze_images(
    images: Sequence[bytes], tools: Tools, settings: DetectorSettings | None = None
) -> list[Faces | InputError]:
    """Return the faces of each encoded picture, or why it cannot be used; in order."""
    with tools.decoder.ahead(images, tools.limits) as decoded:
        return analyze_decoded(list(decoded), tools.networks, settings)


@contextlib.contextmanager
def images_ahead(
    images: Sequence[bytes], tools: Tools
) -> Iterator[Callable[[], list[Faces | InputError]]]:
    """Begin with pictures; gives what returns `analyze_images` of them, to be called once.

    What can be done elsewhere is done while the caller works on something else: with a finder all
    of it, else the decoding.
    """
    if tools.finder is not None:
        with tools.finder.ahead(images) as found:
            yield found
        return
    with tools.decoder.ahead(images, tools.limits) as decoded:
        yield lambda: analyze_decoded(list(decoded), tools.networks)
