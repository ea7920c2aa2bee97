"""A gallery on disk: what is enrolled comes back, and nothing is half written or mixed up."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spk.errors import InputError
from spk.verification.gallery import Enrolled, Gallery


def enrolled(*digests: str) -> Enrolled:
    random = np.random.default_rng(len(digests))
    embeddings = [random.standard_normal((1 + row, 4)).astype(np.float32) for row, _ in enumerate(digests)]
    return Enrolled([f"{digest}.wav" for digest in digests], list(digests), embeddings)


@pytest.mark.parametrize("name", ["Ann", "Ann Lee", "a/b", "..", "Ä%2F", "x.npz"])
def test_recordings_come_back_under_any_name(name, tmp_path):
    Gallery(tmp_path / "g", "net", create=True).add(name, enrolled("1", "2"))
    gallery = Gallery(tmp_path / "g", "net")
    gallery.add(name, enrolled("3"))
    assert gallery.names() == [name]
    again = gallery.read(name)
    assert again.recordings == ["1.wav", "2.wav", "3.wav"] and again.digests == ["1", "2", "3"]
    for there, given in zip(again.embeddings, enrolled("1", "2").embeddings + enrolled("3").embeddings, strict=True):
        np.testing.assert_array_equal(there, given)
    gallery.remove([name])
    assert gallery.names() == []


def test_a_recording_is_enrolled_once(tmp_path):
    gallery = Gallery(tmp_path / "g", "net", create=True)
    gallery.add("Ann", enrolled("1"))
    for again in (enrolled("2", "1"), enrolled("3", "3")):
        with pytest.raises(InputError, match="'Ann' is enrolled with it already"):
            gallery.add("Ann", again)
    assert gallery.read("Ann").digests == ["1"]
    gallery.add("Bob", enrolled("1"))  # the same file may be of another name


def test_embeddings_of_another_network_are_not_mixed_in(tmp_path):
    gallery, late = (Gallery(tmp_path / "g", network, create=True) for network in ("net", "other"))
    gallery.add("Ann", enrolled("1"))
    with pytest.raises(InputError, match="enrolled with another network"):
        Gallery(tmp_path / "g", "other", create=True)
    with pytest.raises(InputError, match="enrolled with another network"):
        late.add("Bob", enrolled("2"))  # which found none when it began
    assert gallery.names() == ["Ann"]


def in_child(act: Callable[[], object]) -> int:
    """A process of its own that does it; its number."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        act()
        status = 0
    finally:
        os._exit(status)


def test_several_processes_enrol_at_a_time_and_nothing_is_lost(tmp_path):
    def enrol(process: int) -> None:
        gallery = Gallery(tmp_path / "g", "net", create=True)
        for number in range(10):
            gallery.add("Ann", enrolled(f"{process}-{number}"))

    children = [in_child(lambda process=process: enrol(process)) for process in range(4)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    there = Gallery(tmp_path / "g", "net").read("Ann").digests
    assert sorted(there) == sorted(f"{process}-{number}" for process in range(4) for number in range(10))
    assert {path.name for path in (tmp_path / "g").iterdir()} == {"gallery.json", "Ann.npz"}


@pytest.mark.parametrize("is_new", [True, False], ids=["a new gallery", "a speaker who is there"])
@pytest.mark.parametrize("moment", ["fsync", "replace", "after"])
def test_killed_as_it_writes_it_leaves_what_was_there_or_what_comes(moment, is_new, tmp_path):
    if not is_new:
        Gallery(tmp_path / "g", "net", create=True).add("Ann", enrolled("1"))

    def die(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def add() -> None:
        rename = Path.replace

        def rename_and_die(path: Path, target: Path) -> None:
            rename(path, target)
            die()

        if moment == "fsync":
            os.fsync = die
        else:
            Path.replace = die if moment == "replace" else rename_and_die
        Gallery(tmp_path / "g", "net", create=True).add("Ann", enrolled("2"))

    assert os.waitpid(in_child(add), 0)[1] == signal.SIGKILL
    gallery = Gallery(tmp_path / "g", "net", create=True)
    before = [] if is_new else ["1"]
    is_added = moment == "after" and not is_new  # of a new gallery, the description is written first
    assert gallery.names() == ([] if is_new else ["Ann"])
    if not is_new:
        assert gallery.read("Ann").digests == before + ["2"] * is_added
    gallery.add("Ann", enrolled("3"))
    assert gallery.read("Ann").digests == [*before, *["2"] * is_added, "3"]
    assert {path.name for path in (tmp_path / "g").iterdir()} == {"gallery.json", "Ann.npz"}


def test_nothing_is_removed_where_one_name_is_unknown(tmp_path):
    gallery = Gallery(tmp_path / "g", "net", create=True)
    gallery.add("Ann", enrolled("1"))
    with pytest.raises(InputError, match="nobody is called 'Bob'"):
        gallery.remove(["Ann", "Bob"])
    assert gallery.names() == ["Ann"]


def test_other_directories_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="is no gallery"):
        Gallery(tmp_path)
    (tmp_path / "x").touch()
    with pytest.raises(InputError, match="a directory of other things"):
        Gallery(tmp_path, "net", create=True)
    with pytest.raises(InputError, match="is a file"):
        Gallery(tmp_path / "x", "net", create=True)
    with pytest.raises(InputError, match=r"there is no gallery\.json"):
        Gallery(tmp_path / "g")
    gallery = Gallery(tmp_path / "g", "net", create=True)
    gallery.add("Ann", enrolled("1"))
    path = gallery.file_of("Ann")
    for content in (b"", path.read_bytes()[:100], b"text"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"Ann\.npz: is damaged"):
            gallery.read("Ann")
    for name in ("", "  ", "a\nb", "x" * 300):
        with pytest.raises(InputError, match="name"):
            gallery.file_of(name)
