"""Speech to words by Whisper, from a local folder, through CTranslate2.

Radford et al. 2022, «Robust Speech Recognition via Large-Scale Weak Supervision»
(arXiv:2212.04356). Hugging Face weights are converted once, where transformers and torch are:

    ct2-transformers-converter --model WEIGHTS --output_dir FOLDER --quantization int8 \\
        --copy_files tokenizer.json preprocessor_config.json
"""

from pathlib import Path

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.errors import CallerGoneError, Cancelled, never
from emoserve_ensemble.transcription import Word

_NEEDED = ("model.bin", "tokenizer.json")


class Whisper:
    """A Whisper model of a local folder; nothing is ever downloaded.

    Args:
        folder: a CTranslate2 model with its `tokenizer.json`.
        language: two letters, or None to let the model find out.
        threads: of CTranslate2.

    Raises:
        FileNotFoundError: the folder lacks a file; says how to make it.
        ImportError: faster-whisper is not installed; says how to.
    """

    name = "whisper"
    ways = 1

    def __init__(self, folder: Path, language: str | None = None, threads: int = 1) -> None:
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder} has no {' and no '.join(missing)}: convert Hugging Face weights with "
                f"`ct2-transformers-converter --model WEIGHTS --output_dir {folder} "
                "--copy_files tokenizer.json preprocessor_config.json`"
            )
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ImportError("Whisper needs: pip install 'emoserve[whisper]'") from error
        self._language = language
        self._model = WhisperModel(
            str(folder), device="cpu", cpu_threads=threads, local_files_only=True
        )

    def words(self, samples: Floats, cancelled: Cancelled = never) -> list[Word]:
        """Return the words said; `samples` is float32 [samples], 16 000 Hz mono.

        Raises:
            CallerGoneError: `cancelled()` was true before one of the model's segments (up to 30 s).
        """
        if not len(samples):
            return []
        segments, _ = self._model.transcribe(
            samples,
            language=self._language,
            word_timestamps=True,
            condition_on_previous_text=False,
        )
        words: list[Word] = []
        for segment in segments:  # each is recognised when it is asked for
            if cancelled():
                raise CallerGoneError
            words += [
                Word(word.word.strip(), float(word.start), float(word.end))
                for word in segment.words or []
                if word.word.strip()
            ]
        return words
