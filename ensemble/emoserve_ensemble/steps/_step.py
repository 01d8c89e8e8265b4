"""What all steps share: reading the config, taking a batch apart, putting the answers together."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import triton_python_backend_utils as pb_utils

from emoserve_ensemble import answers
from emoserve_ensemble.arrays import Tensor
from emoserve_ensemble.decoder import DecoderProcess
from emoserve_ensemble.errors import CallerGoneError, InputError
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import LocalNetworks, Networks, newest_version
from emoserve_ensemble.recogniser import Recogniser, Recognisers
from emoserve_ensemble.steps import _log as log
from emoserve_ensemble.steps._hands import Hands
from emoserve_ensemble.steps._metrics import StepMetrics
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.tools import Tools

NICE = 5  # who brings the next requests needs little, but at once (docs/decisions.md 25)

Member = TypeVar("Member")
Answer = TypeVar("Answer")

# What pipelines read of each network (docs/contracts.md).
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "face_pnet": ("box", "face"),
    "face_rnet": ("box", "face"),
    "face_onet": ("box", "face", "landmarks"),
    "face_net": ("emotion", "embedding"),
    "voice_net": ("speech", "hn", "cn"),
    "speech_net": ("emotion", "embedding"),
    "text_net": ("emotion", "sentiment", "embedding"),
    "fusion_net": ("emotion", "sentiment", "weight"),
}


@dataclass(frozen=True)
class StepConfig:
    """What a step reads from Triton: its parameters and where the repository lies."""

    repository: Path
    parameters: Mapping[str, str]

    @classmethod
    def from_args(cls, args: Mapping[str, str]) -> "StepConfig":
        config = json.loads(args["model_config"])
        values = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        return cls(Path(args["model_repository"]).parent, values)

    @property
    def in_process(self) -> bool:
        """Whether networks run in the step or are asked of Triton (DESIGN.md, decision 6)."""
        place = self.parameters.get("networks", "in_process")
        if place not in ("in_process", "served"):
            raise ValueError(f"parameter networks is {place!r}; in_process and served are known")
        return place == "in_process"

    @property
    def concurrency(self) -> int:
        """How many portions the step is to work off at the same time, where it has hands."""
        return int(self.parameters.get("concurrency", "1"))

    @property
    def limits(self) -> Limits:
        """How much of a caller's media is accepted."""
        return Limits.from_parameters(self.parameters)

    @property
    def threads(self) -> int:
        """Threads of each network."""
        return int(self.parameters.get("intra_op_threads", "1"))

    def hands(self, ahead: int = 1) -> Hands:
        """Return the step's hands: `ahead` more, which hold portions while others answer."""
        return Hands(self.concurrency + ahead)

    def tools(self, names: Iterable[str], *, reads_text: bool) -> Tools:
        """Return what a pipeline works with."""
        import cv2  # not for steps whose pipeline is in processes of its own

        cv2.setNumThreads(1)  # instances x threads = cores
        return Tools(
            self._networks(names),
            tokenizer=self._tokenizer() if reads_text else None,
            decoder=DecoderProcess(),
            limits=self.limits,
        )

    def transcriber(self) -> Recognisers:
        """Return the recogniser that the config names, `pocketsphinx` or `whisper`, as often as
        portions are worked off at the same time."""
        name = self.parameters.get("transcriber", "pocketsphinx")
        folder = self.repository / self.parameters.get("whisper_folder", "whisper")
        language = self.parameters.get("language")
        return Recognisers(Recogniser(name, str(folder), language), self.concurrency)

    def _tokenizer(self) -> Tokenizer:
        """Return the tokenizer that the export put beside `text_tokens`."""
        folder = newest_version(self.repository / "text_tokens", "tokenizer.json")
        return Tokenizer.from_file(folder / "tokenizer.json")

    def _networks(self, names: Iterable[str]) -> Networks:
        """Return the seam's implementation that the profile chose."""
        if self.in_process:
            local = LocalNetworks(self.repository, names, self.threads)
            local.check()
            return local
        from emoserve_ensemble.served import ServedNetworks  # asyncio

        return ServedNetworks(self.repository, {name: OUTPUTS[name] for name in names})


class Step(Generic[Member, Answer]):
    """A batched step. Subclasses say how to decode, predict and encode; this does the rest.

    One bad member never fails another: a bad member of a request of several answers
    `{"error": …}`, a bad request of one gets a Triton error.
    """

    networks_needed: ClassVar[tuple[str, ...]] = ()
    reads_text: ClassVar[bool] = False

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load what the step needs; Triton calls this once."""
        config = StepConfig.from_args(args)
        self.model = args["model_name"]
        self.metrics = StepMetrics(self.model)
        self.metrics.failed(0)  # so that a rate sees the first one
        self.hands: Hands | None = None
        self.load(config)

    def is_ready(self) -> bool:
        """Tell whether the step can answer; newer Tritons ask. The golden check ran at load."""
        return bool(self.versions) or not self.networks_needed

    @property
    def versions(self) -> Mapping[str, str]:
        """Version of each network that answers."""
        return self.tools.networks.versions

    def finalize(self) -> None:
        """End what the step started; Triton calls this once."""
        self.tools.decoder.close()

    def load(self, config: StepConfig) -> None:
        """Load what the step works with; more of it where a subclass says so."""
        os.nice(NICE)
        self.tools = config.tools(self.networks_needed, reads_text=self.reads_text)

    def decode(self, request: Any) -> list[Member]:
        """Return one member per row of the request's batch."""
        raise AssertionError("each step decodes its own inputs")

    def predict(self, members: Sequence[Member]) -> Sequence[Answer | InputError]:
        """Return one answer per member, in order."""
        raise AssertionError("each step predicts its own answers")

    def encode(self, members: Sequence[Answer | InputError]) -> dict[str, Callable[[], Tensor]]:
        """Return how to make each output tensor: [batch, ...]."""
        raise AssertionError("each step encodes its own outputs")

    def share(self, member: Member) -> float:
        """Return how much of what one of the hands works off at once a member makes up."""
        return 0.0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; Triton calls this with whatever its batcher gathered.

        A step with `hands` gives them a portion each and returns as soon as one of them is free:
        None stands for an answer that they send when its portion is done.
        """
        decoded = [self.decode(request) for request in requests]
        if self.hands is None:
            return self._responses(requests, decoded)
        for portion in self._portions(decoded):
            self.hands.give(partial(self._send, requests[portion], decoded[portion]))
        self.hands.wait()
        return [None] * len(requests)

    def _send(self, requests: Sequence[Any], decoded: Sequence[Sequence[Member]]) -> None:
        """Answer a portion through the response senders."""
        for request, response in zip(requests, self._responses(requests, decoded), strict=True):
            request.get_response_sender().send(
                response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            )

    def _portions(self, decoded: Sequence[Sequence[Member]]) -> list[slice]:
        """Return the requests that are worked off together, in order."""
        starts, filled = [0], 0.0
        for index, members in enumerate(decoded):
            share = sum(map(self.share, members))
            if filled and filled + share > 1:
                starts.append(index)
                filled = 0.0
            filled += share
        return [slice(*ends) for ends in zip(starts, [*starts[1:], len(decoded)], strict=True)]

    def _responses(self, requests: Sequence[Any], decoded: Sequence[Sequence[Member]]) -> list[Any]:
        try:
            predicted = iter(self.predict([member for members in decoded for member in members]))
            rows = [[next(predicted) for _ in members] for members in decoded]
        except Exception:  # noqa: BLE001  the Triton boundary: find the one at fault, answer the others
            rows = [self._alone(members) for members in decoded]
        return [self._answered(*each) for each in zip(requests, rows, strict=True)]

    def _alone(self, members: Sequence[Member]) -> list[Any]:
        try:
            return list(self.predict(members))
        except Exception as error:  # noqa: BLE001  the Triton boundary
            return [error for _ in members]

    def _note(self, request: Any, error: Exception) -> None:
        if isinstance(error, InputError):
            self.metrics.rejected(error.reason)
            log.rejected(self.model, request, error.reason, error.message)
        elif isinstance(error, CallerGoneError):
            self.metrics.cancelled()
            log.cancelled(self.model, request)
        else:
            log.failed(self.model, request, error)

    def _answered(self, request: Any, row: Sequence[Any]) -> Any:
        try:
            return self._response(request, row)
        except Exception as error:  # noqa: BLE001  the Triton boundary: the others are answered
            log.failed(self.model, request, error)
            self.metrics.failed()
            return failed(error)

    def _response(self, request: Any, row: Sequence[Any]) -> Any:
        broken = [item for item in row if isinstance(item, Exception)]
        for item in broken:
            self._note(request, item)
        if len(row) == 1 and broken and isinstance(broken[0], InputError):
            return refused(broken[0])
        crashed = [item for item in broken if not isinstance(item, InputError)]
        if crashed:
            self.metrics.failed(not isinstance(crashed[0], CallerGoneError))
            return failed(crashed[0])
        log.answered(self.model, request)
        wanted = request.requested_output_names()
        outputs = self.encode(row)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, outputs[name]()) for name in outputs if name in wanted]
        )

    def answer_tensor(
        self, row: Sequence[Answer | InputError], to_json: Callable[[Answer], answers.Json]
    ) -> Tensor:
        """Return the `answer` output: object [batch, 1] of UTF-8 JSON."""
        models = {"models": dict(self.versions)}
        return column(
            [
                answers.encoded(
                    answers.failure(item)
                    if isinstance(item, InputError)
                    else to_json(item) | models
                )
                for item in row
            ]
        )


def refused(error: InputError) -> Any:
    """Return the response to a request whose input is wrong."""
    return pb_utils.InferenceResponse(
        error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
    )


def failed(error: Exception) -> Any:
    """Return the response to a request that met a fault of ours, or that its caller cancelled."""
    if isinstance(error, CallerGoneError):
        return pb_utils.InferenceResponse(
            error=pb_utils.TritonError(str(error), pb_utils.TritonError.CANCELLED)
        )
    message = f"internal error, {type(error).__name__}: {error}"
    return pb_utils.InferenceResponse(
        error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL)
    )


def rows_of(request: Any, name: str) -> list[list[bytes]] | None:
    """Return the members of a BYTES input, [batch][values], or None where it was not sent."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    return [[bytes(value) for value in row] for row in tensor.as_numpy()]


def column(values: Sequence[bytes]) -> Tensor:
    """Return a BYTES output of one value per member: object [batch, 1]."""
    return np.asarray(values, dtype=object).reshape(-1, 1)


def column_of_counts(values: Sequence[int]) -> Tensor:
    """Return int32 [batch, 1]."""
    return np.asarray(values, np.int32).reshape(-1, 1)


def stacked(rows: Sequence[Tensor | None], *shape: int) -> Tensor:
    """Return float32 [batch, *shape]; NaN stands for members without a value."""
    missing = np.full(shape, np.nan, np.float32)
    return np.stack([missing if row is None else row for row in rows])


def padded(rows: Sequence[Tensor], dtype: Any = np.float32) -> Tensor:
    """Return [batch, longest, ...], shorter members filled up with zeros."""
    longest = max((len(row) for row in rows), default=0)
    out = np.zeros((len(rows), longest, *rows[0].shape[1:]), dtype)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
