"""Coverage-guided fuzz of our own parsers: only the errors they document may come out.

    python tests/fuzz/parsers.py -max_total_time=60

Flags are libFuzzer's. A finding is written to `crash-…`; make it a test, then mend it.
"""

import sys
from collections.abc import Sequence

import atheris

with atheris.instrument_imports(include=["emoserve_ensemble"]):
    from emoserve_ensemble.clip_settings import ClipSettings
    from emoserve_ensemble.containers import container_format
    from emoserve_ensemble.errors import InputError
    from emoserve_ensemble.images import image_size
    from emoserve_ensemble.subtitles import is_timed, read_cues
    from emoserve_ensemble.transcripts import share_out


def one_input(data: bytes) -> None:
    """Give the same bytes to every parser."""
    container_format(data)
    size = image_size(data)
    assert size is None or len(size) == 2
    try:
        settings = ClipSettings.from_options(data)
        assert 0 <= settings.threshold <= 1
    except InputError:
        pass
    text = data.decode("utf-8", "replace")
    if is_timed(text):
        try:
            cues = read_cues(text)
            assert all(cue.text for cue in cues)
        except InputError:
            pass
    shared = share_out(text, [1.0, 0.5, 2.0])
    assert " ".join(shared).split() == text.split()


def main(argv: Sequence[str]) -> None:
    atheris.Setup(list(argv), one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
