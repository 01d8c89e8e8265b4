"""Callers over both transports, and inputs made here: a drawn face and a synthetic voice."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from emoserve_client import EmotionClient
from emoserve_export import golden_media
from emoserve_server import EmbeddedTriton

MODALITIES = ("face", "speech", "text")
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(MODALITIES, size)]
INPUT_OF = {"face": "images", "speech": "audio", "text": "text"}


@pytest.fixture(params=["grpc", "http"])
def client(request, triton: EmbeddedTriton) -> Iterator[EmotionClient]:
    """The client over each transport."""
    url = triton.grpc_url if request.param == "grpc" else triton.http_url
    with EmotionClient(url) as made:
        yield made


@pytest.fixture
def grpc_client(triton: EmbeddedTriton) -> Iterator[EmotionClient]:
    with EmotionClient(triton.grpc_url) as made:
        yield made


@pytest.fixture(scope="session")
def media() -> dict[str, bytes]:
    """One input of each modality, by modality."""
    return {
        "face": golden_media.png(golden_media.face_picture()),
        "speech": golden_media.wav(golden_media.voice()),
        "text": golden_media.TEXT.encode(),
    }


@pytest.fixture(scope="session")
def silence() -> bytes:
    return golden_media.wav(np.zeros(32_000, np.float32))
