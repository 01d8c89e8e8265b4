"""`video`: a clip to a stream of utterances, then a summary; one request, many responses."""

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import triton_python_backend_utils as pb_utils

from emoserve_ensemble import answers, clip
from emoserve_ensemble.clip_settings import ClipSettings
from emoserve_ensemble.errors import CallerGoneError, InputError
from emoserve_ensemble.steps import _log as log
from emoserve_ensemble.steps._hands import Toolbox
from emoserve_ensemble.steps._metrics import StepMetrics
from emoserve_ensemble.steps._step import StepConfig, column, failed, refused
from emoserve_ensemble.text import decode_text
from emoserve_ensemble.tools import Tools

# Triton sees that an HTTP caller has gone only when it cannot write to them any more.
HEARTBEAT_S = 0.25


class _Caller:
    """Who waits for a clip's answers.

    Args:
        heartbeats: send a sign of life where nothing else is sent.
    """

    def __init__(self, sender: Any, heartbeats: bool) -> None:
        self._sender = sender
        self._heartbeats = heartbeats
        self._since_s = self._sent_s = time.monotonic()

    def send(self, message: answers.Json) -> None:
        tensor = pb_utils.Tensor("answer", column([answers.encoded(message)])[0])
        self._sender.send(pb_utils.InferenceResponse([tensor]))
        self._sent_s = time.monotonic()

    def gone(self) -> bool:
        """Tell whether they have gone; asked often while there is work."""
        now_s = time.monotonic()
        if self._heartbeats and now_s - self._sent_s >= HEARTBEAT_S:
            self.send({"heartbeat": round(now_s - self._since_s, 2)})
        return bool(self._sender.is_cancelled())


class Video:
    """Clips, one for each hand: with the networks in process, one instance has several."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load what the step needs; Triton calls this once."""
        cv2.setNumThreads(1)
        config = StepConfig.from_args(args)
        self.model = args["model_name"]
        self.metrics = StepMetrics(self.model)
        self.transcriber = config.transcriber()
        tools = config.tools(clip.NETWORKS, reads_text=True)
        self._toolbox = Toolbox(replace(tools, transcriber=self.transcriber))
        self._hands = config.hands(ahead=0) if config.in_process else None

    def is_ready(self) -> bool:
        """Tell whether the step can answer; newer Tritons ask. The golden check ran at load."""
        return bool(self._toolbox.shared.networks.versions)

    def finalize(self) -> None:
        """End what the step started; Triton calls this once."""
        if self._hands is not None:
            self._hands.close()
        self._toolbox.close()
        self.transcriber.close()

    def execute(self, requests: Sequence[Any]) -> None:
        """Answer each request through its response sender, until done or cancelled."""
        for request in requests:
            if self._hands is None:
                self._serve(request)
            else:
                self._hands.give(partial(self._serve, request))
        if self._hands is not None:
            self._hands.wait()

    def _serve(self, request: Any) -> None:
        """Answer one request."""
        sender = request.get_response_sender()
        try:
            with self._toolbox.taken() as tools:
                self._answer(request, sender, tools)
            log.answered(self.model, request)
        except InputError as error:
            self.metrics.rejected(error.reason)
            log.rejected(self.model, request, error.reason, error.message)
            sender.send(refused(error))
        except CallerGoneError:
            self.metrics.cancelled()
            log.cancelled(self.model, request)
        except Exception as error:  # noqa: BLE001  the Triton boundary
            log.failed(self.model, request, error)
            self.metrics.failed()
            sender.send(failed(error))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _answer(self, request: Any, sender: Any, tools: Tools) -> None:
        data = _media(request)
        given = _bytes(request, "transcript")
        transcript = decode_text(given, tools.limits) if given else None
        settings = ClipSettings.from_options(_bytes(request, "options"))
        caller = _Caller(sender, heartbeats=_bytes(request, "media") is None)
        messages = clip.analyze_clip(
            data, tools, settings, transcript=transcript, cancelled=caller.gone
        )
        for message in messages:
            self._count(message)
            caller.send(message)

    def _count(self, message: answers.Json) -> None:
        if "summary" in message:
            self.metrics.heard(message["summary"]["duration"])
            for modality, count in message["summary"]["modalities"].items():
                self.metrics.modality(modality, count)


def _bytes(request: Any, name: str) -> bytes | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else bytes(tensor.as_numpy().reshape(-1)[0])


def _media(request: Any) -> bytes:
    raw = _bytes(request, "media")
    if raw is not None:
        return raw
    encoded = _bytes(request, "media_base64")
    if encoded is None:
        raise InputError("nothing_given", "give media (raw bytes) or media_base64")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise InputError("undecodable", f"media_base64 is not base64: {error}") from error
