"""A system in one file is the system."""

from __future__ import annotations

import numpy as np
import pytest
from small_verifier import calibrated, noise, small_system

import spk
from spk.errors import InputError
from spk.verification.bundle import write_bundle


def test_a_system_in_one_file_says_what_its_directory_says(tmp_path):
    exp = calibrated(small_system(tmp_path / "exp"), weight=7.0, offset=-2.0)
    assert write_bundle(exp, tmp_path / "x.spk") == ["final.pt", "calibration/calibration.json"]
    there, here = spk.load(tmp_path / "x.spk"), spk.load(exp)
    waves = [(noise(1.5, seed), 16000) for seed in (0, 1)]
    assert there.verify(*waves) == here.verify(*waves) and there.digest == here.digest
    np.testing.assert_array_equal(there.embed(*waves[0]), here.embed(*waves[0]))
    write_bundle(exp, tmp_path / "again.spk")
    assert (tmp_path / "again.spk").read_bytes() == (tmp_path / "x.spk").read_bytes()


def test_what_is_no_system_is_said(tmp_path):
    (tmp_path / "text").write_text("hello")
    for name, message in (("text", "no directory of a trained system"), ("nothing", "no such file"), ("", "final.pt")):
        with pytest.raises(InputError, match=message):
            spk.load(tmp_path / name)
    with pytest.raises(InputError, match=r"final\.pt: no such file"):
        write_bundle(tmp_path, tmp_path / "x.spk")


def test_a_damaged_file_is_said(tmp_path):
    write_bundle(small_system(tmp_path / "exp"), tmp_path / "x.spk")
    content = bytearray((tmp_path / "x.spk").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "x.spk").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.spk"):
        spk.load(tmp_path / "x.spk")
