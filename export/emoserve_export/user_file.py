"""A network that a user declares in a file of their own: `my_nets.py:MyNet`."""

import importlib.util
import sys
from pathlib import Path

from emoserve_export.declaration import Network
from emoserve_export.errors import DeclarationError


def load_declaration(reference: str) -> Network:
    """Return the network that `FILE.py:NAME` declares; NAME is a `Network` or returns one.

    The file is code of the user's own and is run, as `python FILE.py` would.

    Raises:
        DeclarationError: no such file or name, or it is not a network.
    """
    file, separator, name = reference.rpartition(":")
    path = Path(file)
    if not separator or not path.is_file():
        raise DeclarationError(f"{reference!r}: expected FILE.py:NAME with an existing file")
    # A fixed name, so that the file's own classes can be found again by it.
    module_name = f"emoserve_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise DeclarationError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    network = found() if callable(found) and not isinstance(found, Network) else found
    if not isinstance(network, Network):
        names = [key for key, value in vars(module).items() if isinstance(value, Network)]
        raise DeclarationError(f"{path} has no network {name!r}; it declares {names}")
    return network
