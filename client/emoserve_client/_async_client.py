"""The client for asyncio. Each method awaits the flow that `_client` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from emoserve_client import _admin, _pipelines, _shared
from emoserve_client._base import BaseClient
from emoserve_client._drive import AsyncDriver
from emoserve_client._flow import Flow
from emoserve_client._inputs import Media, Picture, Sound
from emoserve_client._metadata import ModelState, ModelStatistics, ServerInfo
from emoserve_client._model import AsyncModel
from emoserve_client._results import (
    EmotionAnalysis,
    FaceAnalysis,
    SpeechAnalysis,
    TextAnalysis,
    Transcript,
    Utterance,
    VideoAnalysis,
)
from emoserve_client._session import changed_settings
from emoserve_client._streams import AsyncVideoStream
from emoserve_client._transport import Connector

T = TypeVar("T")


class AsyncEmotionClient(BaseClient):
    """`EmotionClient` for asyncio: the same names, the same results.

    One client belongs to one event loop; any number of tasks may use it. Close it, or use
    `async with`.
    """

    def _start(self, connector: Connector) -> None:
        self._driver = AsyncDriver(connector)

    async def _run(self, flow: Flow[T]) -> T:
        return await self._driver.run(flow)

    async def face(self, image: Picture, *, timeout_s: float | None = None) -> FaceAnalysis:
        """Every face in a picture.

        Args:
            image: a file, its bytes, or uint8 [height, width, 3] RGB or [height, width] grey.
            timeout_s: for this call; default: the client's.

        Raises:
            InputError: the picture is unusable.
            ServerError, NoAnswerError: see `emoserve_client.errors`; the same for all methods.
        """
        return await self._run(_pipelines.face(self._session, image, self._timeout(timeout_s)))

    async def speech(
        self, audio: Sound, *, rate_hz: int | None = None, timeout_s: float | None = None
    ) -> SpeechAnalysis:
        """The voice in a recording.

        Args:
            audio: a file, its bytes, or float32 in [-1, 1] or int16, [samples] or
                [channels, samples].
            rate_hz: samples a second, for an array.
            timeout_s: for this call; default: the client's.

        Raises:
            InputError: the recording is unusable.
        """
        flow = _pipelines.speech(self._session, audio, rate_hz, self._timeout(timeout_s))
        return await self._run(flow)

    async def transcribe(
        self, audio: Sound, *, rate_hz: int | None = None, timeout_s: float | None = None
    ) -> Transcript:
        """What is said in a recording, with the time of each word.

        Args:
            audio: as for `speech`.
            rate_hz: samples a second, for an array.
            timeout_s: for this call; default: the client's.

        Raises:
            InputError: the recording is unusable.
        """
        flow = _pipelines.transcribe(self._session, audio, rate_hz, self._timeout(timeout_s))
        return await self._run(flow)

    async def text(self, text: str, *, timeout_s: float | None = None) -> TextAnalysis:
        """The words of a text.

        Raises:
            InputError: the text is blank or too long.
        """
        return await self._run(_pipelines.text(self._session, text, self._timeout(timeout_s)))

    async def emotion(
        self,
        *,
        images: Picture | Sequence[Picture] | None = None,
        audio: Sound | None = None,
        text: str | None = None,
        rate_hz: int | None = None,
        timeout_s: float | None = None,
    ) -> EmotionAnalysis:
        """One moment from any of pictures, sound and words, fused.

        Raises:
            InputError: nothing was given, or nothing of it is usable.
        """
        timeout_s = self._timeout(timeout_s)
        flow = _pipelines.emotion(self._session, images, audio, text, rate_hz, timeout_s)
        return await self._run(flow)

    async def video(
        self,
        media: Media,
        *,
        transcript: str | None = None,
        options: Mapping[str, object] | None = None,
        on_utterance: Callable[[Utterance], None] | None = None,
        timeout_s: float | None = None,
    ) -> VideoAnalysis:
        """A whole clip.

        Args:
            media: a file or its bytes.
            transcript: what is said, if known; else it is recognised.
            options: passed on to the pipeline.
            on_utterance: called with each utterance as it comes, to show progress.
            timeout_s: for this call; default: the client's `video_timeout_s`.

        Raises:
            InputError: the clip is unusable.
        """
        async with self.stream_video(
            media, transcript=transcript, options=options, timeout_s=timeout_s
        ) as stream:
            utterances = []
            async for utterance in stream:
                utterances.append(utterance)
                if on_utterance is not None:
                    on_utterance(utterance)
            return VideoAnalysis(tuple(utterances), stream.summary, stream.models)

    def stream_video(
        self,
        media: Media,
        *,
        transcript: str | None = None,
        options: Mapping[str, object] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncVideoStream:
        """The utterances of a clip as they come; then the stream has the `summary`.

        Leaving the loop cancels the request on the server.
        """
        timeout_s = self._video_timeout(timeout_s)
        flow = _pipelines.video(self._session, media, transcript, options, timeout_s)
        return AsyncVideoStream(self._driver.iterate(flow))

    def model(self, name: str, version: str = "") -> AsyncModel:
        """Any model of the server, to call with plain tensors."""
        return AsyncModel(self._session, self._driver, name, version)

    async def server(self) -> ServerInfo:
        """The server's name, version and extensions."""
        return await self._run(_admin.server(self._session, self._timeout(None)))

    async def models(self) -> tuple[ModelState, ...]:
        """Every model in the server's repository, and whether it is ready."""
        return await self._run(_admin.models(self._session, self._timeout(None)))

    async def statistics(
        self, model: str = "", version: str = ""
    ) -> dict[str, tuple[ModelStatistics, ...]]:
        """What the models have done since each server started, by address."""
        return await self._run(
            _admin.statistics(self._session, model, version, self._timeout(None))
        )

    async def is_ready(self, model: str = "", version: str = "") -> bool:
        """Whether a server answers that it, or the model, takes requests. Never raises for «no»."""
        return await self._run(_admin.is_ready(self._session, model, version))

    async def wait_ready(self, model: str = "", *, timeout_s: float = 60.0) -> None:
        """Returns once the server, or the model, takes requests.

        Raises:
            DeadlineError: it does not within `timeout_s`.
        """
        await self._run(_admin.wait_ready(self._session, model, timeout_s))

    async def load(self, model: str) -> tuple[str, ...]:
        """Loads a model on every server; returns their addresses."""
        return await self._run(_admin.load(self._session, model, self._timeout(None)))

    async def unload(self, model: str) -> tuple[str, ...]:
        """Unloads a model on every server; returns their addresses."""
        return await self._run(_admin.unload(self._session, model, self._timeout(None)))

    def with_options(self, **settings: object) -> AsyncEmotionClient:
        """The same client with other settings (`timeout_s`, `retry`, `headers`, ...).

        It shares the connections: close only one of them.
        """
        other = object.__new__(AsyncEmotionClient)
        other._session = self._session.changed(changed_settings(self._session.settings, settings))
        other._driver = self._driver
        return other

    async def close(self) -> None:
        """Closes all connections; a later call opens them again."""
        await self._run(_shared.release(self._session))
        await self._driver.close()

    async def __aenter__(self) -> AsyncEmotionClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
