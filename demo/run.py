"""The main job from end to end: export, start a real Triton, analyse a clip, show the answer.

python demo/run.py                 the clip is made on the spot
python demo/run.py --clip my.mp4   your own
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from emoserve_server import EmbeddedTriton

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out"
EMOSERVE = str(Path(sys.executable).with_name("emoserve"))


def run(*command: str) -> int:
    """Show a command as a user would type it, run it, and return its exit code."""
    names = {EMOSERVE: "emoserve", sys.executable: "python"}
    shown = [names.get(word, word) for word in command]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def demo_clip() -> tuple[Path, str]:
    """Return the clip that is made on the spot, and its transcript."""
    clip = OUT / "demo.mp4"
    if not clip.exists():
        made = run(sys.executable, "demo/make_clip.py", str(clip.relative_to(ROOT)))
        if made != 0:
            sys.exit(made)
    return clip, clip.with_suffix(".txt").read_text(encoding="utf-8").strip()


def analyze(clip: Path, transcript: str | None, url: str) -> int:
    picture = OUT / f"{clip.stem}.png"
    answer = OUT / f"{clip.stem}.json"
    options = ["--transcript", transcript] if transcript else []
    shown = str(clip.relative_to(ROOT)) if clip.is_relative_to(ROOT) else str(clip)
    outputs = ["--plot", str(picture.relative_to(ROOT)), "--json", str(answer.relative_to(ROOT))]
    code = run(EMOSERVE, "analyze", shown, "--url", url, *options, *outputs)
    if code == 0:
        print(f"\nThe picture is {outputs[1]}, the numbers are {outputs[3]}.")
    return code


@contextmanager
def served() -> Iterator[EmbeddedTriton]:
    """Give a real Triton that serves the repository on free ports; show how far it is."""
    started = time.monotonic()
    with Progress(transient=True) as progress:
        task = progress.add_task("Loading models", total=None)
        triton = EmbeddedTriton(
            ROOT / "model_repository",
            http_port=0,
            grpc_port=0,
            metrics_port=0,
            on_progress=lambda ready, total: progress.update(task, completed=ready, total=total),
        ).start()
    try:
        print(f"Ready after {time.monotonic() - started:.1f} s: {len(triton.models)} models")
        yield triton
    finally:
        triton.stop()


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a clip of your own (default: one is made)")
    clip = parser.parse_args(argv).clip
    if clip is not None and not clip.is_file():
        print(f"no such file: {clip}", file=sys.stderr)
        return 2
    OUT.mkdir(exist_ok=True)
    exported = run(EMOSERVE, "export")
    if exported != 0:
        return exported
    clip, transcript = (clip.resolve(), None) if clip else demo_clip()
    print("\n$ emoserve serve &", flush=True)
    with served() as triton:
        return analyze(clip, transcript, triton.grpc_url)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
