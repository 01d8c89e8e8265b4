"""Numbered versions of a network in a publication: the next one, the last N, and the way back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from emoserve_export.configs import warmup
from emoserve_export.configs.generate import config_text
from emoserve_export.errors import RepositoryError
from emoserve_export.folders import digests
from emoserve_export.publish import Publication


def stage_version(
    publication: Publication,
    name: str,
    make: Callable[[int], dict[str, bytes]],
    facts: dict[str, Any],
    keep: int,
) -> int:
    """Stage a network as its next version, or as its present one where that has the same bytes.

    Args:
        make: returns the version folder's files for a version number.
        facts: what the manifest says of this version.
        keep: versions that stay on disk, this one included.
    """
    entry = publication.manifest.networks.setdefault(
        name, {"version": 0, "last_version": 0, "versions": {}}
    )
    version = int(entry["version"])
    files = make(version) if version else {}
    if not version or digests(files) != published(publication, f"{name}/{version}/"):
        version = int(entry["last_version"]) + 1
        files = make(version)
    publication.stage(name, {f"{version}/{path}": data for path, data in files.items()})
    entry["version"], entry["last_version"] = version, max(version, entry["last_version"])
    entry["versions"][str(version)] = facts
    _drop_oldest(publication, name, entry, keep)
    return version


def published(publication: Publication, under: str) -> dict[str, str]:
    """Return the SHA-256 of the files under a folder, as the manifest has them."""
    listed = publication.manifest.files.items()
    return {path[len(under) :]: digest for path, digest in listed if path.startswith(under)}


def _drop_oldest(publication: Publication, name: str, entry: dict[str, Any], keep: int) -> None:
    for version in sorted(entry["versions"], key=int)[: -max(1, keep)]:
        del entry["versions"][version]
        publication.stage(name, {}, drop=(version,))


def _without_warmup(text: str) -> bytes:
    """Return a config without warm-up requests: their data is the newer version's."""
    config = text_format.Parse(text, pb.ModelConfig())
    config.ClearField("model_warmup")
    return config_text(config).encode()


def roll_back(name: str, repository: Path) -> int:
    """Return the version that is newest after the present one was taken away.

    Its config and labels come back with it. The number of what was taken away is not used again.

    Raises:
        RepositoryError: there is no such network or no earlier version.
    """
    with Publication(repository) as publication:
        networks = publication.manifest.networks
        if name not in networks:
            raise RepositoryError(f"no network {name!r} in {repository}; it has {sorted(networks)}")
        entry = networks[name]
        earlier = [int(number) for number in entry["versions"] if int(number) < entry["version"]]
        if not earlier:
            raise RepositoryError(f"{name}: no version before {entry['version']} is kept")
        dropped, version = str(entry["version"]), max(earlier)
        del entry["versions"][dropped]
        entry["version"] = version
        declared = entry["versions"][str(version)]["declared"]
        files = {path: text.encode() for path, text in declared.items()}
        files["config.pbtxt"] = _without_warmup(declared["config.pbtxt"])
        publication.stage(name, files, drop=(dropped, warmup.FOLDER))
        publication.commit()
        return version
