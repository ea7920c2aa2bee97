"""Downloads come whole and right, or not at all, whatever the server and the line do."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from recipes.file_server import FileServer, Served, file_server

from spk.data.download import download
from spk.errors import InputError

OLD, NEW = os.urandom(10_000), os.urandom(10_000)
QUICK = (0.0, 0.0, 0.0)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as made:
        made.files["/f"] = Served(OLD)
        yield made


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def get(server: FileServer, tmp_path: Path, expected: bytes | None = None) -> bytes:
    """Download /f, checked by the MD5 of `expected` when given; nothing but the file is left."""
    download(f"{server.address}/f", tmp_path / "out/f", md5(expected) if expected else "", waits=QUICK)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["f"]
    return (tmp_path / "out/f").read_bytes()


def partial(tmp_path: Path) -> bytes:
    return (tmp_path / "out/f.partial").read_bytes()


def test_a_file_comes_in_one_piece(server, tmp_path):
    assert get(server, tmp_path, OLD) == OLD
    assert server.requests == [("/f", None, None)]


def test_after_drops_only_the_rest_is_asked_for_and_the_etag_is_named(server, tmp_path):
    server.faults = [("drop", 4000), ("drop", 1000)]
    assert get(server, tmp_path) == OLD
    assert server.requests == [("/f", None, None), ("/f", "bytes=4000-", '"1"'), ("/f", "bytes=5000-", '"1"')]


def test_without_a_strong_etag_the_date_tells_that_the_file_is_the_same(server, tmp_path):
    date = "Fri, 20 Nov 2015 10:00:00 GMT"
    server.files["/f"] = Served(OLD, 'W/"weak"', date)
    server.faults = [("drop", 4000)]
    assert get(server, tmp_path) == OLD
    assert server.requests[1] == ("/f", "bytes=4000-", date)


def test_a_server_that_heeds_no_range_sends_the_file_anew(server, tmp_path):
    server.faults = [("drop", 4000), ("whole", 0)]
    assert get(server, tmp_path, OLD) == OLD
    assert server.ranges() == [None, "bytes=4000-"]


class Changing(dict):
    """Files of which the first request gets the old one, every other the new one."""

    def __init__(self, old: Served, new: Served) -> None:
        super().__init__({"/f": new})
        self.old: list[Served] = [old]

    def __getitem__(self, name: str) -> Served:
        return self.old.pop() if self.old else super().__getitem__(name)


def test_a_file_that_changed_between_two_tries_is_begun_anew(server, tmp_path):
    server.files = Changing(Served(OLD, '"1"'), Served(NEW, '"2"'))
    server.faults = [("drop", 4000)]
    assert get(server, tmp_path) == NEW


def test_where_only_the_md5_tells_that_the_file_changed_it_is_begun_anew(server, tmp_path):
    server.files = Changing(Served(OLD, ""), Served(NEW, ""))
    server.faults = [("drop", 4000)]
    assert get(server, tmp_path, NEW) == NEW
    assert server.ranges() == [None, "bytes=4000-", None]


def test_where_nothing_would_tell_that_the_file_changed_no_rest_is_asked_for(server, tmp_path):
    server.files = Changing(Served(OLD, ""), Served(NEW, ""))
    server.faults = [("drop", 4000)]
    assert get(server, tmp_path) == NEW
    assert server.ranges() == [None, None]


def test_a_file_that_became_shorter_is_begun_anew(server, tmp_path):
    server.files = Changing(Served(OLD, ""), Served(NEW[:3000], ""))
    server.faults = [("drop", 4000)]
    assert get(server, tmp_path, NEW[:3000]) == NEW[:3000]


def test_another_part_than_was_asked_for_is_not_taken(server, tmp_path):
    server.faults = [("drop", 4000), ("shift", 100)]
    assert get(server, tmp_path) == OLD
    assert server.ranges() == [None, "bytes=4000-", None]


def test_a_next_call_goes_on_where_the_last_one_failed(server, tmp_path):
    server.faults = [("drop", 4000), 503, 503, 503, 503]
    with pytest.raises(InputError, match=r"503.*4 times in a row, 0\.004 MB are kept"):
        get(server, tmp_path)
    assert partial(tmp_path) == OLD[:4000] and not (tmp_path / "out/f").exists()
    assert get(server, tmp_path) == OLD
    assert server.ranges()[-1] == "bytes=4000-"


def test_a_partial_file_of_another_mirror_is_used_when_the_md5_will_tell(server, tmp_path):
    for content, expected in ((OLD, "bytes=4000-"), (NEW, None)):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/f.partial").write_bytes(content[:4000])
        (tmp_path / "out/f.partial.json").write_text(json.dumps({"url": "http://other/f", "validator": '"7"'}))
        assert get(server, tmp_path, OLD) == OLD
        assert server.requests[-1] == ("/f", expected, None)


@pytest.mark.parametrize("origin", ["", "{", "[]", '{"url": 3}'])
def test_a_partial_file_whose_note_is_unreadable_is_begun_anew(server, tmp_path, origin):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f.partial").write_bytes(NEW[:4000])
    (tmp_path / "out/f.partial.json").write_text(origin)
    assert get(server, tmp_path) == OLD


def test_a_partial_file_that_was_whole_already_is_only_checked(server, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f.partial").write_bytes(OLD)
    assert get(server, tmp_path, OLD) == OLD
    assert server.ranges() == ["bytes=10000-"]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_the_server_has_not_is_not_asked_for_twice(server, tmp_path, status):
    server.faults = [status]
    with pytest.raises(InputError, match=f"{server.address}/f: the server answers {status} ") as error:
        get(server, tmp_path)
    assert len(server.requests) == 1 and "\n" not in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_the_server_may_have_later_is_asked_for_again(server, tmp_path, status):
    server.faults = [status, status]
    assert get(server, tmp_path) == OLD
    assert len(server.requests) == 3


def test_tries_that_bring_bytes_are_not_counted(server, tmp_path):
    server.faults = [("drop", 500)] * 15
    assert get(server, tmp_path) == OLD


def test_a_content_length_that_is_too_long_never_ends_well_and_keeps_what_came(server, tmp_path):
    server.files["/f"] = Served(OLD, "")
    server.faults = [("claim", 5)] * 4
    with pytest.raises(InputError, match="ended after 10000 of 10005 bytes, 4 times in a row"):
        get(server, tmp_path)
    assert partial(tmp_path) == OLD and not (tmp_path / "out/f").exists()


def test_a_content_length_that_is_too_long_is_put_right_by_the_rest_that_is_not_there(server, tmp_path):
    server.faults = [("claim", 5)]
    assert get(server, tmp_path) == OLD
    assert server.ranges() == [None, "bytes=10000-"]


def test_a_content_length_that_is_too_short_is_found_by_the_md5(server, tmp_path):
    server.faults = [("claim", -5)]
    with pytest.raises(InputError, match=f"has the MD5 {md5(OLD[:-5])}, but the list of checksums says {md5(OLD)}"):
        get(server, tmp_path, OLD)
    assert list((tmp_path / "out").iterdir()) == []


def test_chunks_are_joined_and_a_drop_within_one_is_noticed(server, tmp_path):
    server.faults = [("chunks", 4000), ("chunks", -1)]
    assert get(server, tmp_path) == OLD
    assert server.ranges() == [None, "bytes=4000-"]


def test_a_redirection_is_followed_for_the_rest_too(server, tmp_path):
    server.moved = {"/f": "/elsewhere"}
    server.files = {"/elsewhere": Served(OLD)}
    server.faults = [("", 0), ("drop", 4000)]
    assert get(server, tmp_path) == OLD
    assert server.ranges() == [None, None, "bytes=4000-", "bytes=4000-"]


def test_what_is_not_as_published_is_not_kept(server, tmp_path):
    with pytest.raises(InputError, match=f"has the MD5 {md5(OLD)}, but the list of checksums says {md5(NEW)}"):
        get(server, tmp_path, NEW)
    assert list((tmp_path / "out").iterdir()) == []


def test_without_a_network_one_line_says_what_to_download_and_where_to_put_it(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/17/f"
        with pytest.raises(InputError, match=r"cannot be reached \(.*refused\)") as error:
            download(url, tmp_path / "out/f", waits=(100.0,))
    assert f"put it into {tmp_path}/out" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/f", "/etc/passwd", "http:///f", "http://[f", "http://h/a b"]
)
def test_what_is_no_address_of_the_web_is_refused(tmp_path, url):
    with pytest.raises(InputError):
        download(url, tmp_path / "f", waits=(100.0,))


def test_too_small_a_disk_is_found_before_the_download(server, disk_of):
    server.files["/f"] = Served(bytes(600_000))
    folder = disk_of("512k")
    with pytest.raises(InputError, match=r"takes 0\.6 MB more, but"):
        download(f"{server.address}/f", folder / "f", waits=QUICK)
    assert not (folder / "f").exists()


def test_progress_is_told_of_what_was_there_and_what_came(server, tmp_path):
    told: list[list[int]] = []

    @contextmanager
    def progress(total: int):
        told.append([total])
        yield told[-1].append

    server.faults = [("drop", 4000)]
    download(f"{server.address}/f", tmp_path / "f", progress=progress, waits=QUICK)
    assert [(counts[0], sum(counts[1:])) for counts in told] == [(10_000, 4000), (10_000, 10_000)]
