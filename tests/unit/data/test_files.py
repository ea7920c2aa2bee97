"""Files that appear whole: what a killed writer leaves beside them."""

from __future__ import annotations

import os
import subprocess
import threading

from spk.data.files import remove_partials, whole_file


def test_a_pipe_and_a_link_are_written_through_and_stay_what_they_are(tmp_path):
    pipe, target, link = (tmp_path / name for name in ("pipe", "target", "link"))
    os.mkfifo(pipe)
    link.symlink_to(target)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    for path in (pipe, link):
        with whole_file(path) as file:
            file.write("scores\n")
    reader.join(10)
    assert read == [target.read_text()] == ["scores\n"]
    assert pipe.is_fifo() and link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "target", "link"}


def test_what_killed_writers_left_is_removed_and_what_is_being_written_stays(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f".utt2spk.{ended.pid}.partial", f".utt2spk.{os.getpid()}.partial", ".other.partial", "utt2spk"):
        (tmp_path / name).touch()
    remove_partials(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f".utt2spk.{os.getpid()}.partial",
        ".other.partial",
        "utt2spk",
    }
