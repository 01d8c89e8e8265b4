"""Any model of the server, one level below the pipelines: plain tensors in and out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

from emoserve_client import _admin, _infer
from emoserve_client._drive import AsyncDriver, Driver
from emoserve_client._metadata import ModelInfo
from emoserve_client._request import Parameter, Reply
from emoserve_client._session import Session


class _Named:
    def __init__(self, session: Session, name: str, version: str) -> None:
        self._session = session
        self._described = _infer.Described(name, version)

    @property
    def name(self) -> str:
        return self._described.name

    def _timeout(self, given: float | None) -> float | None:
        return self._session.settings.timeout_s if given is None else given

    def __repr__(self) -> str:
        version = f", version {self._described.version}" if self._described.version else ""
        return f"<model {self.name}{version} at {self._session.url}>"


class Model(_Named):
    """`client.model("name")`."""

    def __init__(self, session: Session, driver: Driver, name: str, version: str) -> None:
        super().__init__(session, name, version)
        self._driver = driver

    def info(self) -> ModelInfo:
        """The model's inputs, outputs and versions; asked for once."""
        return self._driver.run(_infer.info(self._session, self._described, self._timeout(None)))

    def is_ready(self) -> bool:
        """Whether the model takes requests."""
        described = self._described
        return self._driver.run(_admin.is_ready(self._session, described.name, described.version))

    def infer(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Parameter] | None = None,
        timeout_s: float | None = None,
        **named_inputs: Any,
    ) -> Reply:
        """One reply; `reply["name"]` is an array.

        Args:
            inputs: by name: arrays, lists or numbers; str and bytes for BYTES. Inputs whose names
                are Python names may be given as keywords: `infer(x=array)`.
            outputs: those to send back; default: all.
            parameters: sent along with the request.
            timeout_s: for this call; default: the client's.

        Raises:
            InputError: an input does not fit the model's metadata.
        """
        return self._driver.run(
            _infer.infer(
                self._session,
                self._described,
                {**(inputs or {}), **named_inputs},
                outputs,
                parameters or {},
                self._timeout(timeout_s),
            )
        )

    def stream(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Parameter] | None = None,
        timeout_s: float | None = None,
        **named_inputs: Any,
    ) -> Generator[Reply, None, None]:
        """The replies of a decoupled model as they come; closing the generator cancels."""
        return self._driver.iterate(
            _infer.infer_stream(
                self._session,
                self._described,
                {**(inputs or {}), **named_inputs},
                outputs,
                parameters or {},
                self._timeout(timeout_s),
            )
        )


class AsyncModel(_Named):
    """The same for asyncio."""

    def __init__(self, session: Session, driver: AsyncDriver, name: str, version: str) -> None:
        super().__init__(session, name, version)
        self._driver = driver

    async def info(self) -> ModelInfo:
        """The model's inputs, outputs and versions; asked for once."""
        flow = _infer.info(self._session, self._described, self._timeout(None))
        return await self._driver.run(flow)

    async def is_ready(self) -> bool:
        """Whether the model takes requests."""
        described = self._described
        return await self._driver.run(
            _admin.is_ready(self._session, described.name, described.version)
        )

    async def infer(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Parameter] | None = None,
        timeout_s: float | None = None,
        **named_inputs: Any,
    ) -> Reply:
        """One reply; see `Model.infer`."""
        return await self._driver.run(
            _infer.infer(
                self._session,
                self._described,
                {**(inputs or {}), **named_inputs},
                outputs,
                parameters or {},
                self._timeout(timeout_s),
            )
        )

    def stream(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Parameter] | None = None,
        timeout_s: float | None = None,
        **named_inputs: Any,
    ) -> AsyncGenerator[Reply, None]:
        """The replies of a decoupled model as they come; closing the generator cancels."""
        return self._driver.iterate(
            _infer.infer_stream(
                self._session,
                self._described,
                {**(inputs or {}), **named_inputs},
                outputs,
                parameters or {},
                self._timeout(timeout_s),
            )
        )
