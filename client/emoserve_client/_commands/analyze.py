"""`emoserve analyze`: files in, emotions out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emoserve_client._commands import batch, files, server
from emoserve_client._reports import outputs
from emoserve_client._reports.records import PIPELINES, Record, from_line
from emoserve_client.cli import DONE
from emoserve_client.errors import InputError, WrongAnswerError

_EXAMPLES = """\
  emoserve analyze clip.mp4                              a table
  emoserve analyze clip.mp4 --transcript "so good to see you" --plot clip.png
  emoserve analyze clip.mp4 --json - | jq .analysis.summary
  emoserve analyze selfie.jpg voice.wav note.txt         each by what it holds
  emoserve analyze recordings/ 'more/**/*.mp4' --jsonl out.jsonl --jobs 4
  emoserve analyze recordings/ --jsonl out.jsonl --resume    only what is not in there yet
  emoserve analyze recordings/ --jsonl 0.jsonl --shard 0/4   one of four machines' part
  emoserve analyze talk.mp4 --vtt talk.vtt --html talk.html
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.resume and not options.jsonl:
        parser.error("--resume needs --jsonl FILE: that is where it reads what is done")
    if [options.json, options.jsonl, options.csv].count("-") > 1:
        parser.error("only one output can go to standard output")
    if options.jobs < 1:
        parser.error(f"--jobs must be 1 or more, not {options.jobs}")
    return server.guarded(lambda: _analyze(options))


def _parser() -> argparse.ArgumentParser:
    parser = server.parser("analyze", "Emotions from clips, sound, pictures and texts.", _EXAMPLES)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a file, a folder, or a pattern in quotes"
    )
    group = parser.add_argument_group("input")
    group.add_argument("--transcript", metavar="TEXT", help="what is said in the clip")
    group.add_argument("--as", dest="pipeline", choices=PIPELINES, default="",
        help="whatever the files hold")  # fmt: skip
    group.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="files at a time (default: 2)"
    )
    group.add_argument("--shard", type=files.Shard.parse, metavar="I/N",
        help="only part I of N, counted from 0; a file's part follows from its name")  # fmt: skip
    group = parser.add_argument_group("output (beside the table; - is standard output)")
    for name, what in outputs.DESCRIPTIONS.items():
        group.add_argument(f"--{name}", metavar="FILE", help=what)
    group.add_argument("--resume", action="store_true", help="pass over what --jsonl holds already")
    group.add_argument("--quiet", action="store_true", help="no table")
    return parser


def _analyze(options: argparse.Namespace) -> int:
    paths = files.find(options.files)
    if options.transcript is not None and len(paths) > 1:
        raise InputError("--transcript is for a single clip", reason="bad_option")
    several = len(paths) > 1 or options.shard is not None
    wanted = outputs.Outputs.of(options, several=several)
    if options.shard is not None:
        paths = [path for path in paths if options.shard.holds(path)]
    done = _already_done(options) if options.resume else {}
    left = [path for path in paths if not _is_done(path, done)]
    if len(left) < len(paths):
        print(f"{len(paths) - len(left)} of {len(paths)} files are done already", file=sys.stderr)
    records = {file: record for file, record in done.items() if record.analysis is not None}
    records |= _run(options, left, wanted)
    ordered = [records[str(path)] for path in paths if str(path) in records]
    wanted.write(ordered)
    return _tell(ordered)


def _run(
    options: argparse.Namespace, paths: Sequence[Path], wanted: outputs.Outputs
) -> dict[str, Record]:
    from emoserve_client._commands.progress import Bar

    records = {}
    job = batch.Job(options.pipeline, options.transcript)
    with (
        server.client(options) as client,
        wanted.lines(append=options.resume) as note,
        Bar(len(paths)) as bar,
    ):
        try:
            for record in batch.run(client, paths, job, options.jobs, bar):
                records[record.file] = record
                note(record)
        except KeyboardInterrupt:
            if options.jsonl:
                what = f"{len(records)} of {len(paths)} files are in {options.jsonl}"
                print(f"{what}; go on with --resume", file=sys.stderr)
            raise
    return records


def _already_done(options: argparse.Namespace) -> dict[str, Record]:
    """The records of an earlier run; a line cut short by an interruption is passed over."""
    path = Path(options.jsonl)
    records = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = from_line(line)
        except WrongAnswerError:
            continue
        records[record.file] = record
    return records


def _is_done(path: Path, done: dict[str, Record]) -> bool:
    """True when the file was analysed well and has not changed its size since."""
    record = done.get(str(path))
    analysed = record is not None and record.analysis is not None
    return analysed and record is not None and record.size_bytes == path.stat().st_size


def _tell(records: Sequence[Record]) -> int:
    """Says what went wrong; the exit code is that of the gravest."""
    codes = [DONE]
    for record in records:
        if record.error is None:
            codes.append(DONE)
        else:
            codes.append(server.exit_code(record.error))
            prefix = "" if record.file in record.error.message else f"{record.file}: "
            print(f"emoserve: {prefix}{server.told(record.error)}", file=sys.stderr)
    if len(records) > 1:
        print(f"{codes.count(DONE) - 1} of {len(records)} files analyzed", file=sys.stderr)
    return max(codes)
