"""Lists of MD5 sums, and the sums of files in pieces."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from spk.data.checksums import PUBLISHED, md5_sums, read_checksums
from spk.errors import InputError


def test_a_list_that_md5sum_wrote_is_read_and_names_lose_their_folders(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a file").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    text = subprocess.run(
        ["md5sum", "sub/a file", "b"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "sums").write_text(f"# a comment\r\n\r\n{text.upper().replace('SUB/A FILE', '*sub/a file')}")
    one, two = (hashlib.md5(content).hexdigest() for content in (b"one", b"two"))
    (tmp_path / "sums").write_text(f"# a comment\r\n\r\n{one.upper()}  sub/a file\r\n{two} *b\n")
    assert read_checksums(tmp_path / "sums") == {"a file": one, "b": two}
    (tmp_path / "plain").write_text(text)
    assert read_checksums(tmp_path / "plain") == {"a file": one, "b": two}


@pytest.mark.parametrize(
    "content, message",
    [
        (b"abc  file\n", r":1: 'abc  file' is not"),
        (b"0" * 32 + b"  f\n" + b"1" * 32 + b"  x/f\n", r":2: f stands on an earlier line with another MD5"),
        (b"\xff\xfe\x00", "is no text"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(tmp_path, content, message):
    (tmp_path / "sums").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_checksums(tmp_path / "sums")


def test_the_sum_of_joined_files_is_that_of_their_bytes_one_after_another(tmp_path):
    contents = [b"abc", b"", b"x" * 3_000_000]
    paths = [tmp_path / str(number) for number in range(3)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    read: list[int] = []
    joined, single = md5_sums(paths, read.append)
    assert joined == hashlib.md5(b"".join(contents)).hexdigest()
    assert list(single.values()) == [hashlib.md5(content).hexdigest() for content in contents]
    assert sum(read) == 3_000_003
    ended: list[tuple[Path, int]] = []
    md5_sums(paths, read.append, lambda path, md5: ended.append((path, sum(read) - 3_000_003)))
    assert ended == [(paths[0], 3), (paths[1], 3), (paths[2], 3_000_003)]
    assert md5_sums(paths[:1]) == (hashlib.md5(b"abc").hexdigest(), {paths[0]: hashlib.md5(b"abc").hexdigest()})


def test_the_published_list_knows_the_trial_list_that_everybody_has(corpora):
    """veri_test.txt is a copy from another place than the list of checksums."""
    path: Path = corpora / "voxceleb-lists/veri_test.txt"
    if not path.exists():
        pytest.skip(f"no corpora at {path}")
    assert md5_sums([path])[0] == read_checksums(PUBLISHED)["veri_test.txt"]
