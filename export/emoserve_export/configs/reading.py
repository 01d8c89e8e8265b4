"""A `config.pbtxt` back into Triton's protobuf."""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb


def read_config(path: Path) -> pb.ModelConfig:
    """Return a config file as protobuf.

    Raises:
        google.protobuf.text_format.ParseError: an unknown field, or not the text format.
    """
    return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
