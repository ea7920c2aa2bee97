"""Archives are unpacked whole, inside their folder, and only when they are what they claim."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data.archives import JoinedFiles, TarArchive, ZipArchive, plan_unpacking, unpack
from spk.errors import InputError

CONTENTS = {"wav/id1/a/00001.wav": b"one" * 1000, "wav/id1/a/00002.wav": b"", "wav/id2/b/00001.wav": os.urandom(5000)}


def zip_of(contents: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("wav/"), b"")
        for name, content in contents.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            change(info)
            archive.writestr(info, content)
    return made.getvalue()


def tar_of(contents: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        folder = tarfile.TarInfo("wav")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return made.getvalue()


def opened(content: bytes, kind: str) -> ZipArchive | TarArchive:
    return (ZipArchive if kind == "zip" else TarArchive)(io.BytesIO(content), f"corpus.{kind}")


def made_of(contents: dict[str, bytes], kind: str) -> bytes:
    return zip_of(contents) if kind == "zip" else tar_of(contents)


def unpack_all(content: bytes, kind: str, folder: Path, resumed: bool = False) -> tuple[int, int]:
    """(written, stood there)"""
    archive = opened(content, kind)
    plan = plan_unpacking(archive, folder, resumed)
    unpack(archive, folder, plan)
    return len(plan.missing), plan.num_there


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(data=st.data(), sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_joined_files_read_and_seek_like_one_file(tmp_path_factory, data, sizes):
    folder = tmp_path_factory.mktemp("parts")
    paths = [folder / str(number) for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(os.urandom(size))
    whole = io.BytesIO(b"".join(path.read_bytes() for path in paths))
    with JoinedFiles(paths) as bare, io.BufferedReader(bare, 16) as joined:
        for _ in range(10):
            whence = data.draw(st.sampled_from([os.SEEK_SET, os.SEEK_END]))
            offset = data.draw(st.integers(0, sum(sizes) + 5)) * (1 if whence == os.SEEK_SET else -1)
            if whence == os.SEEK_END and -offset > sum(sizes):
                continue
            assert joined.seek(offset, whence) == whole.seek(offset, whence)
            size = data.draw(st.integers(0, 60))
            assert joined.read(size) == whole.read(size)
            assert joined.tell() == whole.tell()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_what_went_in_comes_out_and_a_second_time_nothing_is_written(tmp_path, kind):
    content = made_of(CONTENTS, kind)
    assert unpack_all(content, kind, tmp_path / "out") == (3, 0)
    assert files_in(tmp_path / "out") == CONTENTS
    assert unpack_all(content, kind, tmp_path / "out", resumed=True) == (0, 3)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_resumed_call_writes_what_is_missing_or_of_another_size(tmp_path, kind):
    content = made_of(CONTENTS, kind)
    unpack_all(content, kind, tmp_path)
    (tmp_path / "wav/id1/a/00001.wav").unlink()
    (tmp_path / "wav/id2/b/00001.wav").write_bytes(b"cut")
    (tmp_path / "wav/id2/b/.00001.wav.partial").write_bytes(b"of a call that was killed")
    assert unpack_all(content, kind, tmp_path, resumed=True) == (2, 1)
    assert files_in(tmp_path) == CONTENTS


@pytest.mark.parametrize("kind, expected", [("zip", (1, 2)), ("tar.gz", (3, 0))])
def test_files_of_unknown_origin_are_kept_only_when_their_crc_is_right(tmp_path, kind, expected):
    content = made_of(CONTENTS, kind)
    unpack_all(content, kind, tmp_path)
    (tmp_path / "wav/id2/b/00001.wav").write_bytes(bytes(5000))
    assert unpack_all(content, kind, tmp_path) == expected
    assert files_in(tmp_path) == CONTENTS


OUTSIDE = ["../evil", "wav/../../evil", "/tmp/evil", "..", "wav\\..\\..\\evil", "C:\\evil", "\\evil"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_outside_the_folder_is_named_and_nothing_is_unpacked(tmp_path, kind, name):
    content = made_of({**CONTENTS, name: b"evil"}, kind)
    with pytest.raises(InputError, match=r"^corpus\.(zip|tar\.gz): '.*' (is an absolute path|climbs out)") as error:
        unpack_all(content, kind, tmp_path / "a/out")
    assert repr(name) in str(error.value) and "\n" not in str(error.value)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "type_, said",
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device or pipe"),
        (tarfile.FIFOTYPE, "a device or pipe"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused_by_name(tmp_path, type_, said):
    def change(info: tarfile.TarInfo) -> None:
        if info.name.endswith("id2/b/00001.wav"):
            info.type, info.linkname, info.size = type_, "wav/id1/a/00001.wav", 0

    with pytest.raises(InputError, match=f"'wav/id2/b/00001.wav' is {said}"):
        unpack_all(tar_of(CONTENTS, change), "tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("type_, said", [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "a device or pipe")])
def test_links_and_pipes_in_a_zip_are_refused_by_name(tmp_path, type_, said):
    def change(info: zipfile.ZipInfo) -> None:
        if info.filename.endswith("id2/b/00001.wav"):
            info.external_attr = (type_ | 0o777) << 16

    with pytest.raises(InputError, match=f"'wav/id2/b/00001.wav' is {said}"):
        unpack_all(zip_of(CONTENTS, change), "zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encrypted_member_is_refused_by_name(tmp_path):
    content = bytearray(zip_of({"a": b"secret"}))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 8] |= 1
    with pytest.raises(InputError, match="'a' is an encrypted file"):
        unpack_all(bytes(content), "zip", tmp_path / "out")


def test_a_zip_that_holds_a_file_twice_differently_is_refused_and_alike_is_fine(tmp_path):
    def twice(second: bytes) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"first")
            archive.writestr("a", second)
        return made.getvalue()

    with pytest.raises(InputError, match="holds 'a' twice"):
        unpack_all(twice(b"other"), "zip", tmp_path / "out")
    assert unpack_all(twice(b"first"), "zip", tmp_path / "out") == (1, 0)
    assert files_in(tmp_path / "out") == {"a": b"first"}


def test_a_member_with_a_bad_crc_is_named_and_leaves_no_half_file(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("good.wav", b"good" * 100)
        archive.writestr("bad.wav", b"bad!" * 100)
    content = bytearray(made.getvalue())
    content[content.index(b"bad!")] ^= 1
    with pytest.raises(InputError, match=r"corpus\.zip: 'bad\.wav': the archive is damaged .*CRC"):
        unpack_all(bytes(content), "zip", tmp_path)
    assert files_in(tmp_path) == {"good.wav": b"good" * 100}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.99])
def test_an_archive_that_is_cut_off_is_damaged_and_nothing_is_unpacked(tmp_path, kind, part):
    content = made_of(CONTENTS, kind)
    with pytest.raises(InputError, match=rf"^corpus\.{kind}: the archive is damaged or cut off"):
        unpack_all(content[: int(len(content) * part)], kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tar_with_any_byte_changed_is_unpacked_right_or_refused(tmp_path):
    """Wherever the damage lies: gzip's checksum covers what tar's do not."""
    contents = {"a": b"x" * 600, "b": b"y" * 10}
    content = tar_of(contents)
    refused = 0
    for place in range(10, len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x10
        folder = tmp_path / str(place)
        try:
            unpack_all(bytes(changed), "tar.gz", folder)
        except InputError as error:
            assert "damaged" in str(error)
            assert not folder.exists()
            refused += 1
        else:
            assert files_in(folder) == contents  # a bit that fills a byte up
    assert refused > 0.9 * (len(content) - 10)


def test_a_tar_with_a_damaged_header_in_the_middle_is_no_short_tar(tmp_path):
    plain = bytearray(gzip.decompress(tar_of({"a": b"x" * 512, "b": b"y"})))
    plain[512 * 3] ^= 1  # the header of b, after the folder's, a's and a's content
    with pytest.raises(InputError, match="a header in the middle is damaged"):
        unpack_all(gzip.compress(bytes(plain)), "tar.gz", tmp_path / "out")


def test_an_archive_without_files_or_without_the_expected_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no file"):
        unpack_all(zip_of({}), "zip", tmp_path)
    with pytest.raises(InputError, match=r"holds no file in musan/"):
        plan_unpacking(opened(zip_of(CONTENTS), "zip"), tmp_path, top="musan")
    plan_unpacking(opened(zip_of(CONTENTS), "zip"), tmp_path, top="wav/id1")


def test_too_small_a_disk_is_found_before_anything_is_written(disk_of):
    folder = disk_of("512k")
    content = zip_of({f"{number}.wav": bytes(1000) for number in range(200)})  # a block of 4096 bytes each
    with pytest.raises(InputError, match=r"takes 0\.819 MB, but .* are free"):
        unpack_all(content, "zip", folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("resumed", [False, True])
def test_a_folder_where_a_file_belongs_and_a_file_where_a_folder_does_are_named(tmp_path, resumed):
    (tmp_path / "one/wav/id1/a/00001.wav/x").mkdir(parents=True)
    with pytest.raises(InputError, match=r"one/wav/id1/a/00001\.wav: is a folder where a file of the archive belongs"):
        unpack_all(zip_of(CONTENTS), "zip", tmp_path / "one", resumed)
    (tmp_path / "two").mkdir()
    (tmp_path / "two/wav").write_text("")
    with pytest.raises(InputError, match="two/wav: is a file where a folder of the archive belongs"):
        unpack_all(zip_of(CONTENTS), "zip", tmp_path / "two", resumed)
    assert files_in(tmp_path) == {"two/wav": b""}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", ["wav/./a.wav", "wav//a.wav", "./wav/a.wav"])
def test_two_names_of_one_path_are_one_file(tmp_path, kind, name):
    with pytest.raises(InputError, match=f"holds '{name}' twice, with different contents"):
        unpack_all(made_of({"wav/a.wav": b"first", name: b"other"}, kind), kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    if kind == "zip":  # whose checksums say that they are alike
        assert unpack_all(zip_of({"wav/a.wav": b"first", name: b"first"}), kind, tmp_path / "out") == (1, 0)
        assert files_in(tmp_path / "out") == {"wav/a.wav": b"first"}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize(
    "names, said",
    [
        (("id1", "id1/a.wav"), "'id1' is a file and a folder in it"),
        (("id1/b/c/d.wav", "id1/b"), "'id1/b' is a file and a folder in it"),
        (("wav", "a"), "'wav' is a file and a folder in it"),  # an empty one
        ((".",), "no file may be called '.'"),
        ((".done",), "no file may be called '.done'"),
        (("./.done/a",), "no file may be called './.done/a'"),
    ],
)
def test_names_that_cannot_be_on_a_disk_are_refused(tmp_path, kind, names, said):
    archive = opened(made_of(dict.fromkeys(names, b"x"), kind), kind)
    with pytest.raises(InputError, match=said):
        plan_unpacking(archive, tmp_path / "out", reserved=(".done",))
    assert not (tmp_path / "out").exists()


def test_files_that_differ_stay_when_there_is_no_room_for_others(disk_of):
    folder = disk_of("512k")
    (folder / "0.wav").write_bytes(b"another")
    content = zip_of({f"{number}.wav": bytes(1000) for number in range(200)})
    with pytest.raises(InputError, match=r"takes 0\.819 MB, but .* are free"):
        unpack_all(content, "zip", folder)
    assert files_in(folder) == {"0.wav": b"another"}


def test_room_is_also_what_files_that_are_replaced_leave(disk_of):
    folder = disk_of("512k")
    (folder / "a").write_bytes(bytes(400_000))
    content = os.urandom(400_000)
    assert unpack_all(zip_of({"a": content}), "zip", folder) == (1, 0)
    assert files_in(folder) == {"a": content}
