"""local/unpack_voxceleb: VoxCeleb's archives as people have them, with each fault that a download may have."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from recipes.processes import kill_when

MEMBERS = {
    "vox1_dev_wav": [
        f"wav/id1000{speaker}/a-_{speaker}/0000{number}.wav" for speaker in (1, 2) for number in (1, 2, 3)
    ],
    "vox1_test_wav": ["wav/id10270/5r0dWxy17C8/00001.wav"],
    "vox2_dev_aac": [f"dev/aac/id00012/21Uxsk56VDQ/0000{number}.m4a" for number in (1, 2, 3)],
    "vox2_test_aac": ["aac/id00017/01dfn2spqyE/00001.m4a"],
}
ZIPS = {name: f"{name}.zip" for name in MEMBERS} | {"vox2_dev_aac": "vox2_aac.zip"}
PARTS = {"vox1_dev_wav": 4, "vox2_dev_aac": 8}


def content_of(name: str) -> bytes:
    """Bytes that do not compress, others for each file."""
    return b"".join(hashlib.sha256(f"{name}{number}".encode()).digest() for number in range(100))


def write_archives(folder: Path, in_parts: bool = True) -> Path:
    """All four archives in `folder`/archives, and `folder`/sums with the MD5 of the zips and of their parts."""
    archives = folder / "archives"
    archives.mkdir()
    sums = {}
    for name, members in MEMBERS.items():
        path = archives / ZIPS[name]
        with zipfile.ZipFile(path, "w") as made:
            for member in members:
                made.writestr(member, content_of(member))
        content = path.read_bytes()
        sums[path.name] = hashlib.md5(content).hexdigest()
        if in_parts and name in PARTS:
            path.unlink()
            size = -(-len(content) // PARTS[name])
            for number in range(PARTS[name]):
                part = archives / f"{name}_parta{chr(97 + number)}"
                part.write_bytes(content[number * size : (number + 1) * size])
                sums[part.name] = hashlib.md5(part.read_bytes()).hexdigest()
    (folder / "sums").write_text("".join(f"{md5}  {name}\n" for name, md5 in sums.items()))
    return archives


@pytest.fixture
def archives(tmp_path) -> Path:
    return write_archives(tmp_path)


def tree(folder: Path) -> dict[str, bytes]:
    """What is unpacked, without stamps."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".done", ".begun")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


ALL = {f"{name}/{member}": content_of(member) for name, members in MEMBERS.items() for member in members}


def test_parts_and_zips_unpack_to_the_paths_of_the_zips_and_no_joined_copy_is_made(shell, tmp_path, archives):
    before = sorted(archives.iterdir())
    shell("unpack_voxceleb --checksums sums archives corpus", check=True)
    assert tree(tmp_path / "corpus") == ALL
    assert sorted(archives.iterdir()) == before


def test_a_second_call_says_that_all_is_done_also_when_the_archives_are_gone(shell, tmp_path, archives):
    shell("unpack_voxceleb --checksums sums archives corpus", check=True)
    again = shell("unpack_voxceleb --checksums sums archives corpus", check=True).stderr.splitlines()
    assert again == [f"already unpacked: corpus/{name}" for name in MEMBERS]
    for path in archives.iterdir():
        path.unlink()
    gone = shell("unpack_voxceleb --checksums sums archives corpus", check=True).stderr.splitlines()
    assert gone == [f"corpus/{name}: unpacked already; its archive is not there any more" for name in MEMBERS]


def test_joined_zips_give_the_same_and_parts_beside_them_are_not_read(shell, tmp_path):
    archives = write_archives(tmp_path, in_parts=False)
    (archives / "vox1_dev_wav_partaa").write_bytes(b"not looked at")
    said = shell("unpack_voxceleb --checksums sums archives corpus", check=True).stderr
    assert tree(tmp_path / "corpus") == ALL
    assert "vox1_dev_wav_partaa: not read, because vox1_dev_wav.zip stands beside them" in said


def test_absent_archives_are_said_and_are_no_error_unless_all_are_absent(shell, tmp_path, archives):
    for path in archives.glob("vox2*"):
        path.unlink()
    said = shell("unpack_voxceleb --checksums sums archives corpus", check=True).stderr
    assert "vox2_dev_aac: no archive in archives (vox2_aac.zip, vox2_dev_aac.zip or vox2_dev_aac_partaa ...)\n" in said
    assert "vox2_test_aac: no archive in archives" in said
    assert {name.split("/")[0] for name in tree(tmp_path / "corpus")} == {"vox1_dev_wav", "vox1_test_wav"}
    (tmp_path / "empty").mkdir()
    refused(shell, "unpack_voxceleb empty other", "empty: holds none of VoxCeleb's archives", "kaist.ac.kr")


def refused(shell, line: str, *said: str) -> None:
    """`line` ends with status 1 and, after lines of progress, one line of error that holds all of `said`."""
    done = shell(line)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("unpack_voxceleb: error: "), done.stderr
    assert done.stderr.count("error") == 1 and "Traceback" not in done.stderr
    for text in said:
        assert text in last


def nothing_of(corpus: Path, name: str) -> bool:
    return not (corpus / name).exists() or list((corpus / name).rglob("*")) == []


@pytest.mark.parametrize("gone", ["b", "a", "gh"])
def test_missing_parts_are_named_before_anything_is_read(shell, tmp_path, archives, gone):
    names = [f"vox2_dev_aac_parta{letter}" for letter in gone]
    for name in names:
        (archives / name).unlink()
    refused(
        shell, "unpack_voxceleb --checksums sums archives corpus", f"archives: {', '.join(names)} is missing", "8 parts"
    )
    assert not (tmp_path / "corpus").exists()


def test_without_a_list_of_parts_a_gap_and_a_missing_end_are_found(shell, tmp_path, archives):
    (archives / "vox2_dev_aac_partah").unlink()
    line = "unpack_voxceleb --checksums none archives corpus"
    refused(shell, line, "vox2_dev_aac_partaa ... vox2_dev_aac_partag: the end of the zip is missing")
    (archives / "vox2_dev_aac_partac").unlink()
    refused(shell, line, "vox2_dev_aac_partac is missing: vox2_aac.zip has at least 7 parts")
    assert not (tmp_path / "corpus").exists()


def test_a_part_that_is_not_as_published_is_named_and_nothing_of_its_archive_is_unpacked(shell, tmp_path, archives):
    part = archives / "vox1_dev_wav_partac"
    content = bytearray(part.read_bytes())
    content[1000] ^= 1
    part.write_bytes(content)
    refused(
        shell, "unpack_voxceleb --checksums sums archives corpus", f"archives/{part.name}: has the MD5", "sums says"
    )
    assert nothing_of(tmp_path / "corpus", "vox1_dev_wav")


def test_an_empty_part_is_named_before_anything_is_read(shell, archives):
    (archives / "vox2_dev_aac_partad").write_bytes(b"")
    refused(shell, "unpack_voxceleb --checksums sums archives corpus", "archives/vox2_dev_aac_partad: is empty")


def test_the_sum_of_the_whole_is_enough(shell, tmp_path, archives):
    """A list that knows only joined archives, under the other of their names."""
    lines = [line for line in (tmp_path / "sums").read_text().splitlines() if line.endswith(".zip")]
    (tmp_path / "whole").write_text("\n".join(lines).replace("vox2_aac.zip", "vox2_dev_aac.zip"))
    shell("unpack_voxceleb --checksums whole archives corpus", check=True)
    assert tree(tmp_path / "corpus") == ALL
    (tmp_path / "wrong").write_text("\n".join(lines).replace(lines[2][:32], "0" * 32))
    refused(
        shell,
        "unpack_voxceleb --checksums wrong archives other",
        "vox2_dev_aac_partaa ... vox2_dev_aac_partah: has the MD5",
        f"wrong says {'0' * 32} of vox2_aac.zip",
    )
    assert nothing_of(tmp_path / "other", "vox2_dev_aac")


def test_an_archive_that_the_list_does_not_know_is_refused_unless_told_otherwise(shell, tmp_path, archives):
    (tmp_path / "empty").write_text("")
    refused(
        shell, "unpack_voxceleb --checksums empty archives corpus", "has no MD5 of vox1_dev_wav.zip", "--checksums none"
    )
    assert not (tmp_path / "corpus").exists()
    assert "not checked" in shell("unpack_voxceleb --checksums none archives corpus", check=True).stderr
    assert tree(tmp_path / "corpus") == ALL


def test_the_published_list_is_what_counts_when_nothing_is_said(shell, tmp_path, archives):
    refused(
        shell,
        "unpack_voxceleb archives corpus",
        "archives/vox1_dev_wav_partaa: has the MD5",
        "local/checksums.md5 says",
    )


@pytest.mark.parametrize(
    "name, said", [("../../evil.wav", "climbs out of the folder"), ("/tmp/evil.wav", "is an absolute path")]
)
def test_a_member_outside_is_refused_by_name_even_unchecked(shell, tmp_path, archives, name, said):
    with zipfile.ZipFile(archives / "vox1_test_wav.zip", "a") as made:
        made.writestr(name, b"evil")
    refused(shell, "unpack_voxceleb --checksums none archives corpus", f"archives/vox1_test_wav.zip: '{name}' {said}")
    assert nothing_of(tmp_path / "corpus", "vox1_test_wav")
    assert not list(tmp_path.rglob("evil.wav"))


def test_a_file_that_is_no_zip_a_folder_and_a_missing_folder_are_told_in_one_line(shell, tmp_path, archives):
    (archives / "vox1_test_wav.zip").write_text("<html>404</html>\r\n")
    refused(shell, "unpack_voxceleb archives corpus", "archives/vox1_test_wav.zip: is no zip")
    refused(shell, "unpack_voxceleb nowhere corpus", "nowhere: no such folder")
    refused(shell, "unpack_voxceleb sums corpus", "sums: is no folder")
    refused(shell, "unpack_voxceleb --checksums nosums archives corpus", "nosums: no such file")


def test_an_unpacking_that_is_killed_goes_on_without_reading_for_the_md5_again(shell, root, tmp_path):
    archives = tmp_path / "archives"
    archives.mkdir()
    path = archives / "vox1_test_wav.zip"
    names = [f"wav/id10270/video/{number:05d}.wav" for number in range(3000)]
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, content_of(name))
    (tmp_path / "sums").write_text(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}\n")
    folder = tmp_path / "corpus/vox1_test_wav/wav/id10270/video"
    process = subprocess.Popen(
        [root / "local/unpack_voxceleb", "--checksums", "sums", "archives", "corpus"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    kill_when(process, lambda: folder.exists() and len(os.listdir(folder)) > 300)  # noqa: PTH208
    process.stderr.close()
    there = [file.name for file in folder.iterdir() if not file.name.startswith(".")]
    assert 0 < len(there) < len(names)
    assert not (tmp_path / "corpus/vox1_test_wav/.done").exists()
    assert all((folder / name).read_bytes() == content_of(f"wav/id10270/video/{name}") for name in there)
    old = {name: (folder / name).stat().st_ino for name in there}
    said = shell("unpack_voxceleb --checksums sums archives corpus", check=True).stderr
    assert "MD5 checked before" in said and f"{len(there)} stood there" in said
    assert sorted(file.name for file in folder.iterdir()) == [Path(name).name for name in names]
    assert all((folder / Path(name).name).read_bytes() == content_of(name) for name in names)
    assert {name: (folder / name).stat().st_ino for name in there} == old


def test_a_changed_archive_is_checked_and_its_files_compared_by_content(shell, tmp_path, archives):
    shell("unpack_voxceleb --checksums sums archives corpus", check=True)
    member = MEMBERS["vox1_test_wav"][0]
    path = archives / "vox1_test_wav.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(member, content_of("another release"))  # of the same length
    os.utime(path, (time.time() + 5, time.time() + 5))
    refused(shell, "unpack_voxceleb --checksums sums archives corpus", "vox1_test_wav.zip: has the MD5")
    assert (tmp_path / "corpus/vox1_test_wav" / member).read_bytes() == content_of(member)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    sums = [line for line in (tmp_path / "sums").read_text().splitlines() if path.name not in line]
    (tmp_path / "sums").write_text("\n".join([*sums, f"{md5}  {path.name}"]))
    shell("unpack_voxceleb --checksums sums archives corpus", check=True)
    assert (tmp_path / "corpus/vox1_test_wav" / member).read_bytes() == content_of("another release")


def test_help_names_the_archives_and_the_folders(shell):
    shown = shell("unpack_voxceleb --help", check=True).stdout
    assert "vox1_dev_wav_partaa ... partad" in shown and "CORPUS/vox1_dev_wav" in shown and "--checksums" in shown
