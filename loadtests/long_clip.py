"""Peak memory of the analysis of a long clip: it should not grow with the clip's length.

    python loadtests/long_clip.py CLIP --minutes 1 60

CLIP is repeated without re-encoding until it is as long as asked, then analysed in a fresh process
with the decoder in its child, as the `video` step does. Prints the peak resident memory of both
processes, the clip's own bytes, and the times of the first answer and of the whole. `cancel.py`
measures how soon a caller who goes away frees the step.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from emoserve_ensemble.clip import NETWORKS, analyze_clip
from emoserve_ensemble.clip_settings import ClipSettings
from emoserve_ensemble.decoder import DecoderProcess
from emoserve_ensemble.networks import LocalNetworks
from emoserve_ensemble.tokens import Tokenizer
from emoserve_ensemble.tools import Tools

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = ROOT / "model_repository"


def repeated(clip: Path, seconds: float, path: Path) -> None:
    """Write a Matroska file that repeats a clip's packets until it lasts so long."""
    with av.open(str(clip)) as source, av.open(str(path), "w", format="matroska") as target:
        length_s = (source.duration or 0) / av.time_base
        streams = {
            s.index: target.add_stream_from_template(s)
            for s in source.streams
            if s.type in ("audio", "video")
        }
        for round_ in range(max(1, round(seconds / length_s))):
            source.seek(0)
            for packet in source.demux(*[source.streams[index] for index in streams]):
                if packet.dts is None or packet.pts is None:
                    continue
                shift = int(Fraction(round_ * length_s).limit_denominator(1000) / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                target.mux(packet)


def analyse(
    path: str, frame_rate_hz: float, results: "multiprocessing.Queue[dict[str, float]]"
) -> None:
    """Analyse one clip and tell what it took; runs in a process of its own."""
    tokenizer = Tokenizer.from_file(REPOSITORY / "text_tokens" / "1" / "tokenizer.json")
    tools = Tools(LocalNetworks(REPOSITORY, NETWORKS), tokenizer, decoder=DecoderProcess())
    settings = ClipSettings(transcribe=False, frame_rate_hz=frame_rate_hz)
    data = Path(path).read_bytes()
    idle_mb = peak_mb(resource.RUSAGE_SELF)
    started = time.monotonic()
    first_s, summary = 0.0, {}
    for message in analyze_clip(data, tools, settings):
        first_s = first_s or time.monotonic() - started
        summary = message.get("summary", {})
    total_s = time.monotonic() - started
    tools.decoder.close()
    results.put(
        {
            "media_s": summary["duration"],
            "utterances": summary["utterances"],
            "payload_mb": len(data) / 2**20,
            "idle_mb": idle_mb,
            "peak_mb": peak_mb(resource.RUSAGE_SELF),
            "decoder_peak_mb": peak_mb(resource.RUSAGE_CHILDREN),
            "first_s": first_s,
            "total_s": total_s,
        }
    )


def peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 60])
    parser.add_argument("--frame-rate", type=float, default=1.0, help="sampled frames a second")
    given = parser.parse_args(argv)
    context = multiprocessing.get_context("spawn")
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    for minutes in given.minutes:
        path = out / f"long-{minutes:g}-min.mkv"
        repeated(given.clip, minutes * 60, path)
        results: multiprocessing.Queue[dict[str, float]] = context.Queue()
        child = context.Process(target=analyse, args=(str(path), given.frame_rate, results))
        child.start()
        row = results.get()
        child.join()
        print(
            json.dumps(
                {"minutes": minutes} | {name: round(value, 2) for name, value in row.items()}
            )
        )
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
