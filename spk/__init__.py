"""spk: speaker verification, Kaldi style. The mathematics and the file formats behind steps/, local/ and utils/."""

__version__ = "0.1.0"
