"""What a pipeline works with; a step makes it once at load."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from emoserve_ensemble.decoder import Decoder, LocalDecoder
from emoserve_ensemble.errors import InputError
from emoserve_ensemble.faces import Faces
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.transcription import Transcriber


class Finder(Protocol):
    """Finds faces elsewhere."""

    def ahead(
        self, images: Sequence[bytes]
    ) -> AbstractContextManager[Callable[[], list[Faces | InputError]]]:
        """Have pictures analysed; gives what waits for the faces of each, or what is wrong."""
        ...


@dataclass(frozen=True)
class Tools:
    """What a pipeline works with.

    Attributes:
        networks: answers questions to networks.
        tokenizer: needed where there is text.
        transcriber: recognises words in clips; None where nobody asks for them.
        decoder: opens sound and video.
        limits: how much media is accepted.
        finder: analyses the pictures of moments; None where that is done here.
    """

    networks: Networks
    tokenizer: Tokenizer | None = None
    transcriber: Transcriber | None = None
    decoder: Decoder = field(default_factory=LocalDecoder)
    limits: Limits = field(default_factory=Limits)
    finder: Finder | None = None

    @property
    def words(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            ValueError: it was not given.
        """
        if self.tokenizer is None:
            raise ValueError("this pipeline reads text: give it a tokenizer")
        return self.tokenizer
