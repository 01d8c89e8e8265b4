"""What a pipeline works with; a step makes it once at load."""

from dataclasses import dataclass, field

from emoserve_ensemble.decoder import Decoder, LocalDecoder
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import Networks
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.transcription import Transcriber


@dataclass(frozen=True)
class Tools:
    """What a pipeline works with.

    Attributes:
        networks: answers questions to networks.
        tokenizer: needed where there is text.
        transcriber: recognises words in clips; None where nobody asks for them.
        decoder: opens sound and video.
        limits: how much media is accepted.
    """

    networks: Networks
    tokenizer: Tokenizer | None = None
    transcriber: Transcriber | None = None
    decoder: Decoder = field(default_factory=LocalDecoder)
    limits: Limits = field(default_factory=Limits)

    @property
    def words(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            ValueError: it was not given.
        """
        if self.tokenizer is None:
            raise ValueError("this pipeline reads text: give it a tokenizer")
        return self.tokenizer
