"""Publishing: all or nothing, whatever moment the process dies at; versions and the way back."""

import json
import os
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from emoserve_export import publish
from emoserve_export.errors import RepositoryError
from emoserve_export.manifest import changed_files, read_manifest
from emoserve_export.publish import Publication, work_folder
from emoserve_export.versions import roll_back, stage_version

STEPS = 6  # journal, two models, manifest, clean, and past the end


def content(repository: Path) -> dict[str, str]:
    return {
        str(path.relative_to(repository)): path.read_text()
        for path in sorted(repository.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def first_state(repository: Path) -> dict[str, str]:
    with Publication(repository) as publication:
        publication.stage("a", {"config.pbtxt": b"a1", "1/model": b"A1"})
        publication.stage("b", {"config.pbtxt": b"b1", "1/model": b"B1"})
        assert publication.commit() == ["a", "b"]
    return content(repository)


def stage_second(publication: Publication) -> None:
    publication.stage("a", {"config.pbtxt": b"a2", "2/model": b"A2"})
    publication.stage("b", {"config.pbtxt": b"b2"}, drop=("1",))
    publication.stage("c", {"config.pbtxt": b"c2"})


SECOND = {
    "a/1/model": "A1",
    "a/2/model": "A2",
    "a/config.pbtxt": "a2",
    "b/config.pbtxt": "b2",
    "c/config.pbtxt": "c2",
}


def test_staged_models_appear_on_commit_with_a_manifest(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    first_state(repository)
    with Publication(repository) as publication:
        stage_second(publication)
        assert content(repository)["a/config.pbtxt"] == "a1"
        assert publication.commit() == ["a", "b", "c"]
    assert content(repository) == SECOND
    manifest = read_manifest(repository)
    assert set(manifest.files) == set(SECOND)
    assert changed_files(repository, manifest) == []
    assert not work_folder(repository).exists()


def test_what_did_not_change_is_not_touched(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    first_state(repository)
    before = (repository / "a" / "1" / "model").stat().st_ino
    with Publication(repository) as publication:
        publication.stage("a", {"config.pbtxt": b"a1"})
        assert publication.commit() == []
    assert (repository / "a" / "1" / "model").stat().st_ino == before


def test_an_error_leaves_everything_as_it_was(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    before = first_state(repository)
    manifest = (repository / "manifest.json").read_bytes()

    def fail() -> None:
        with Publication(repository) as publication:
            stage_second(publication)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert content(repository) == before
    assert (repository / "manifest.json").read_bytes() == manifest
    assert not work_folder(repository).exists()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("stop", range(STEPS + 1))
def test_a_process_that_dies_at_any_step_leaves_whole_models(tmp_path: Path, stop: int) -> None:
    repository = tmp_path / "repo"
    before = first_state(repository)
    child = os.fork()
    if child == 0:  # dies without cleaning up, as by SIGKILL
        publication = Publication(repository).__enter__()
        stage_second(publication)
        for done, _ in enumerate(publication.steps()):
            if done == stop:
                os._exit(9)
        os._exit(0)
    os.waitpid(child, 0)
    for model in ("a", "b", "c"):
        now = {k: v for k, v in content(repository).items() if k.startswith(f"{model}/")}
        old = {k: v for k, v in before.items() if k.startswith(f"{model}/")}
        new = {k: v for k, v in SECOND.items() if k.startswith(f"{model}/")}
        assert now in (old, new), "half a model"
    with Publication(repository) as publication:  # the next run finishes or forgets it
        assert content(repository) == (before if stop == 0 else SECOND)
        assert changed_files(repository, publication.manifest) == []
    assert not work_folder(repository).exists()


def test_two_exports_at_once_are_refused(tmp_path: Path) -> None:
    with (
        Publication(tmp_path / "repo"),
        pytest.raises(RepositoryError, match="another export is publishing"),
        Publication(tmp_path / "repo"),
    ):
        pass


def test_folders_change_places_without_the_kernels_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(publish, "_exchange", lambda first, second: 22)  # EINVAL, as NFS says
    publish.swap(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "file").read_text() == "new"


def test_the_work_is_beside_the_repository_for_triton_takes_every_folder_in_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "repo").mkdir()
    assert work_folder(tmp_path / "repo") == tmp_path / ".repo.export"


def version(publication: Publication, text: str, keep: int = 3) -> int:
    facts = {"declared": {"config.pbtxt": f'name: "{text}"'}}
    number = stage_version(publication, "net", lambda n: {"model": f"{text}".encode()}, facts, keep)
    publication.stage("net", {"config.pbtxt": f'name: "{text}"'.encode(), "warmup/x": b"1"})
    return number


def test_versions_count_up_and_the_last_n_stay(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    for expected, text in enumerate(("one", "two", "three", "four"), 1):
        with Publication(repository) as publication:
            assert version(publication, text, keep=2) == expected
            publication.commit()
    versions = [path.name for path in (repository / "net").iterdir() if path.name.isdigit()]
    assert sorted(versions) == ["3", "4"]
    assert sorted(read_manifest(repository).networks["net"]["versions"]) == ["3", "4"]


def test_the_same_bytes_stay_the_same_version(tmp_path: Path) -> None:
    for _ in range(2):
        with Publication(tmp_path / "repo") as publication:
            assert version(publication, "one") == 1
            publication.commit()


def test_rolling_back_restores_config_and_graph_and_burns_the_number(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    for text in ("one", "two"):
        with Publication(repository) as publication:
            version(publication, text)
            publication.commit()
    assert roll_back("net", repository) == 1
    left = content(repository)
    assert set(left) == {"net/1/model", "net/config.pbtxt"}
    assert left["net/1/model"] == "one"
    assert text_format.Parse(left["net/config.pbtxt"], pb.ModelConfig()).name == "one"
    assert changed_files(repository, read_manifest(repository)) == []
    with pytest.raises(RepositoryError, match="no version before 1 is kept"):
        roll_back("net", repository)
    with pytest.raises(RepositoryError, match="no network 'other'"):
        roll_back("other", repository)
    with Publication(repository) as publication:
        assert version(publication, "three") == 3
        publication.commit()


def test_a_damaged_or_foreign_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RepositoryError, match="is damaged"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(RepositoryError, match="has format 9; known is 1"):
        read_manifest(tmp_path)
