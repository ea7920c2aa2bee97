"""Which checkpoints are kept, which are passed over, and what of the disk is not taken for damage."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from spk.data.torch_files import load, save
from spk.errors import InputError
from spk.train.checkpoint import load_latest, save_checkpoint
from spk.train.shard_files import check_row_files


@pytest.fixture
def directory(tmp_path) -> Path:
    """Checkpoints of steps 30, 40 and 50, each with a file of rows; the last one is damaged."""
    for step in (30, 40, 50):
        (tmp_path / f"step-{step:08d}.rows-0-7.pt").touch()
        save_checkpoint(tmp_path, step, {"step": step}, keep=3)
    (tmp_path / "step-00000050.pt").write_bytes(b"PK\3\4")
    return tmp_path


@pytest.mark.parametrize(("keep", "kept"), [(1, [43]), (2, [40, 43]), (3, [30, 40, 43])])
def test_what_is_saved_after_going_back_replaces_the_damaged_one_and_not_the_good_ones(directory, keep, kept):
    assert load_latest(directory)["step"] == 40
    save_checkpoint(directory, 43, {"step": 43}, keep)
    names = {path.name for path in directory.iterdir()}
    rows = {f"step-{step:08d}.rows-0-7.pt" for step in kept if step != 43}
    assert names == {f"step-{step:08d}.pt" for step in kept} | rows
    assert load_latest(directory)["step"] == 43


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_the_disk_does_not_let_be_read_is_not_taken_for_damaged(directory, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no")

    monkeypatch.setattr("spk.data.torch_files.check_sums", refuse)
    with pytest.raises(OSError, match="no"):
        load_latest(directory)
    monkeypatch.setattr("spk.train.shard_files.file_digest", refuse)
    with pytest.raises(OSError, match="no"):
        check_row_files(directory, {"row_files": [{"name": "step-00000030.rows-0-7.pt", "digest": ""}]})


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\3\4" + bytes(100), b"PK\5\6" + b"\xff" * 18, b"\x80\2."])
def test_a_file_of_anything_else_is_damaged(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load(tmp_path / "x.pt")


def test_a_full_disk_is_its_own_error_and_leaves_the_file_that_was_there(disk_of):
    path = disk_of("256k") / "x.pt"
    save(path, {"weights": torch.arange(100.0)})
    with pytest.raises(OSError, match="No space left on device") as raised:
        save(path, {"weights": torch.zeros(100_000)})
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert torch.equal(load(path)["weights"], torch.arange(100.0))
    assert [path.name for path in path.parent.iterdir()] == ["x.pt"]
