"""Iterators over a clip's utterances that keep the summary for the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from types import TracebackType
from typing import Any

from emoserve_client._results import Summary, Utterance
from emoserve_client.errors import WrongAnswerError


class _ClipEnd:
    """What comes after the last utterance."""

    _end: tuple[Summary, Mapping[str, str]] | None = None

    @property
    def summary(self) -> Summary:
        """The clip as a whole; there once the loop is over.

        Raises:
            WrongAnswerError: the stream ended without it, or is not over yet.
        """
        return self._ended()[0]

    @property
    def models(self) -> Mapping[str, str]:
        """The networks that answered, and their versions; there once the loop is over."""
        return self._ended()[1]

    def _ended(self) -> tuple[Summary, Mapping[str, str]]:
        if self._end is None:
            raise WrongAnswerError("the clip has no summary yet: iterate to the end of the stream")
        return self._end

    def _take(self, part: Any) -> Utterance | None:
        """The part if it is an utterance; keeps it if it is the end."""
        if isinstance(part, Utterance):
            return part
        self._end = part
        return None


class VideoStream(_ClipEnd):
    """A clip's utterances as they come. Leaving it, by `with` or by losing it, cancels."""

    def __init__(self, parts: Generator[Any, None, None]) -> None:
        self._parts = parts

    def __iter__(self) -> VideoStream:
        return self

    def __next__(self) -> Utterance:
        for part in self._parts:
            if (utterance := self._take(part)) is not None:
                return utterance
        raise StopIteration

    def close(self) -> None:
        """Ends the request, on the server too."""
        self._parts.close()

    def __enter__(self) -> VideoStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncVideoStream(_ClipEnd):
    """The same for asyncio: `async for`, `async with`."""

    def __init__(self, parts: AsyncGenerator[Any, None]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncVideoStream:
        return self

    async def __anext__(self) -> Utterance:
        async for part in self._parts:
            if (utterance := self._take(part)) is not None:
                return utterance
        raise StopAsyncIteration

    async def close(self) -> None:
        """Ends the request, on the server too."""
        await self._parts.aclose()

    async def __aenter__(self) -> AsyncVideoStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
