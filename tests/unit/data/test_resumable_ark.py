"""An ark that was cut off anywhere is carried on and ends with the bytes of one that never was."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spk.data.ark_format import encode_matrix
from spk.data.resumable_ark import ResumableArk, read_journal
from spk.errors import InputError

UTTERANCES = ["a", "bb", "reject-me", "dd", "a-much-longer-name", "last"]
MADE_FROM = {"features": {"name": "fbank40", "window": "hamming"}, "data": "/data/x"}


def record(utterance: str) -> bytes:
    return encode_matrix(np.full((len(utterance) + 9, 3), ord(utterance[0])), method=1)


def work(prefix: Path, *, stop_after: int = 99, made_from: dict = MADE_FROM, keep=lambda entry: True) -> list[str]:
    """Do what is missing, at most so many utterances; returns those that were worked on."""
    worked = []
    with ResumableArk(prefix, made_from, UTTERANCES, keep) as ark:
        for utterance in ark.missing():
            if len(worked) == stop_after:
                return worked
            worked.append(utterance)
            if utterance == "reject-me":
                ark.append(utterance, None, rejected="bad")
            else:
                ark.append(utterance, record(utterance), frames=len(utterance) + 9)
        ark.finish()
    return worked


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> Path:
    prefix = tmp_path_factory.mktemp("untouched") / "x"
    assert work(prefix) == UTTERANCES
    return prefix


def test_records_lie_one_after_another_as_in_any_ark(untouched):
    expected = b"".join(u.encode() + b" " + record(u) for u in UTTERANCES if u != "reject-me")
    assert untouched.with_suffix(".ark").read_bytes() == expected
    made_from, entries = read_journal(untouched)
    entries = list(entries)
    assert made_from == MADE_FROM
    assert [entry["utterance"] for entry in entries] == UTTERANCES
    assert entries[2] == {"utterance": "reject-me", "end": None, "rejected": "bad"}
    assert entries[-1]["end"] == len(expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_whatever_a_kill_leaves_is_carried_on_to_the_same_bytes(data, untouched, tmp_path):
    ark, journal = untouched.with_suffix(".ark").read_bytes(), untouched.with_suffix(".journal").read_bytes()
    prefix = tmp_path / "x"
    kept_ark = data.draw(st.integers(0, len(ark)), label="bytes of the ark")
    kept_journal = data.draw(st.integers(0, len(journal)), label="bytes of the journal")
    renamed = data.draw(st.booleans(), label="already renamed")
    prefix.with_suffix(".ark").unlink(missing_ok=True)
    Path(f"{prefix}.ark" if renamed else f"{prefix}.ark.partial").write_bytes(ark[:kept_ark])
    prefix.with_suffix(".journal").write_bytes(journal[:kept_journal])
    work(prefix)
    assert prefix.with_suffix(".ark").read_bytes() == ark
    assert prefix.with_suffix(".journal").read_bytes() == journal
    assert not Path(f"{prefix}.ark.partial").exists()


def test_only_what_is_missing_is_done(untouched, tmp_path):
    assert work(tmp_path / "x", stop_after=4) == UTTERANCES[:4]
    assert Path(tmp_path / "x.ark.partial").exists() and not Path(tmp_path / "x.ark").exists()
    assert work(tmp_path / "x") == UTTERANCES[4:]
    assert work(tmp_path / "x") == []
    assert (tmp_path / "x.ark").read_bytes() == untouched.with_suffix(".ark").read_bytes()


def test_bytes_of_another_ark_are_not_taken_for_its_own(untouched, tmp_path):
    shutil.copy(untouched.with_suffix(".journal"), tmp_path / "x.journal")
    (tmp_path / "x.ark").write_bytes(b"zz " + record("zz"))
    assert work(tmp_path / "x") == UTTERANCES
    assert (tmp_path / "x.ark").read_bytes() == untouched.with_suffix(".ark").read_bytes()


def test_what_is_made_from_something_else_is_made_anew(tmp_path):
    work(tmp_path / "x")
    assert work(tmp_path / "x", made_from=MADE_FROM | {"compression": 3}) == UTTERANCES
    assert read_journal(tmp_path / "x")[0]["compression"] == 3


def test_from_a_denied_line_on_all_is_made_again(untouched, tmp_path):
    work(tmp_path / "x")
    assert work(tmp_path / "x", keep=lambda entry: "rejected" not in entry) == UTTERANCES[2:]
    assert (tmp_path / "x.ark").read_bytes() == untouched.with_suffix(".ark").read_bytes()


def test_the_ark_of_another_data_directory_is_not_overwritten(tmp_path):
    (tmp_path / "train").mkdir()
    work(tmp_path / "x", made_from=MADE_FROM | {"data": str(tmp_path / "train")})
    with pytest.raises(InputError, match=r"x\.ark: belongs to .*/train"):
        work(tmp_path / "x", made_from=MADE_FROM | {"data": str(tmp_path / "other")})
    (tmp_path / "train").rmdir()
    assert work(tmp_path / "x", made_from=MADE_FROM | {"data": str(tmp_path / "other")}) == UTTERANCES


def test_a_full_disk_leaves_whole_records_and_names_the_file(tmp_path, monkeypatch):
    with ResumableArk(tmp_path / "x", MADE_FROM, UTTERANCES) as ark:
        ark.append("a", record("a"))
        writes = iter([5])

        class Full:
            """The ark's file on a disk with room for five bytes."""

            name = str(tmp_path / "x.ark.partial")

            def __init__(self, file):
                self.file = file

            def __getattr__(self, name):
                return getattr(self.file, name)

            def write(self, content):
                for room in writes:
                    return self.file.write(content[:room])
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(ark, "_ark", Full(ark._ark))
        with pytest.raises(OSError, match=r"No space left on device: '.*x\.ark\.partial'"):
            ark.append("bb", record("bb"))
    assert (tmp_path / "x.ark.partial").read_bytes() == b"a " + record("a")
    assert work(tmp_path / "x") == UTTERANCES[1:]


def test_a_job_that_still_writes_is_waited_for(tmp_path):
    with (tmp_path / "x.journal").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        worked: list[str] = []
        other = threading.Thread(target=lambda: worked.extend(work(tmp_path / "x")))
        other.start()
        other.join(0.5)
        assert other.is_alive() and not worked
        fcntl.flock(held, fcntl.LOCK_UN)
        other.join(30)
    assert worked == UTTERANCES


def test_names_that_are_no_utf8_survive(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    for _ in range(2):
        with ResumableArk(tmp_path / "x", MADE_FROM, [name]) as ark:
            for utterance in ark.missing():
                ark.append(utterance, record("a"))
            ark.finish()
    assert (tmp_path / "x.ark").read_bytes() == b"caf\xe9 " + record("a")
    assert json.loads((tmp_path / "x.journal").read_bytes().splitlines()[1])["utterance"] == name
