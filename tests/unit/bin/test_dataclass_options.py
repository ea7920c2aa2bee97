"""Options that are the fields of a dataclass: their defaults, what their text says, and what is refused."""

from __future__ import annotations

import argparse

import pytest

from spk.bin.dataclass_options import add_fields, values_of
from spk.errors import InputError
from spk.feats.vad import VadConfig
from spk.ivector.frames import FrameConfig
from spk.ivector.ubm_training import UbmConfig


def parsed(kind: type, *words: str, **options) -> dict:
    parser = argparse.ArgumentParser()
    add_fields(parser, kind, **options)
    return values_of(parser.parse_args(words), kind, options.get("prefix", "--"))


def test_what_is_not_given_is_the_default():
    assert UbmConfig(**parsed(UbmConfig)) == UbmConfig()
    assert parsed(FrameConfig, leave_out=["features"]) == {"delta_window": 3, "delta_order": 2, "cmn_window": 300}


def test_numbers_and_switches_have_the_types_of_the_fields():
    values = parsed(UbmConfig, "--num-gauss", "64", "--min-gaussian-weight", "1e-5", "--remove-low-count", "true")
    assert (values["num_gauss"], values["min_gaussian_weight"], values["remove_low_count"]) == (64, 1e-5, True)
    assert isinstance(values["num_gauss"], int)
    assert parsed(VadConfig, "--vad-frames-context", "2", prefix="--vad-")["frames_context"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--num-gauss x", "^--num-gauss: 'x' must be a whole number$"),
        ("--num-gauss 2.5", "^--num-gauss: 2.5 must be a whole number$"),
        ("--min-gaussian-weight 0", "^--min-gaussian-weight: 0.0 is out of range; allowed: above 0 and at most 1$"),
        ("--seed 99999999999999999999", r"^--seed: 1e\+20 is out of range; allowed: at least 0 and at most 1e\+09$"),
        ("--remove-low-count 1", "^--remove-low-count: 1.0 must be true or false$"),
        ("--num-frames true", "^--num-frames: True must be a whole number$"),
    ],
)
def test_what_does_not_fit_is_named_as_an_option(words, message):
    with pytest.raises(InputError, match=message):
        parsed(UbmConfig, *words.split())
