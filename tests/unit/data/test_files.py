"""Files that appear whole: what a killed writer leaves beside them."""

from __future__ import annotations

import os
import subprocess

from spk.data.files import remove_partials


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
