"""Speech from espeak-ng, called through ctypes: the same bytes for the same sentences, whatever was spoken before."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import espeakng_loader
import numpy as np

from spk.errors import InputError

SAMPLE_RATE = 22050  # Hz, espeak-ng's own

# Values of speak_lib.h and espeak_ng.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
PARAMETER_RATE, PARAMETER_PITCH = 1, 3
POSITION_CHARACTER = 1
CHARS_UTF8 = 1

ENGLISH_DATA = ("en_dict", "intonations", "lang", "phondata", "phonindex", "phontab")
LONGEST_DATA_PATH = 130  # characters; espeak-ng cuts a longer path off and then looks elsewhere for its data
Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """An espeak-ng of one's own, with voices of one's own. Use as a context manager.

    The library keeps state from one utterance to the next (phases, flutter, gain, noise), which a new initialisation
    does not reset. So every object loads a private copy of it: what it says depends on `seed` and on what it was told
    to say before, and on nothing else.
    """

    def __init__(self, voices: Mapping[str, str], seed: int) -> None:
        """`voices` maps a name to the lines of a variant file (espeak-ng's docs/voices.md: pitch, formant, ...)."""
        self.voices = dict(voices)
        self.seed = seed
        self.samples: list[np.ndarray] = []
        self.callback = Callback(self._receive)  # kept, because the library only holds its address

    def __enter__(self) -> Espeak:
        self.folder = Path(tempfile.mkdtemp(prefix="espeak."))
        try:
            self._prepare_data()
            self._load()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.library.espeak_Terminate()
        shutil.rmtree(self.folder)

    def speak(self, text: str, language: str, voice: str, words_per_minute: int, pitch: int = 50) -> np.ndarray:
        """Say `text` in English of the accent `language` (a file of espeak-ng's lang folder: 'gmw/en-US').

        `pitch` is espeak-ng's 0 to 99; 50 leaves the voice's own. Returns int16 [samples] at SAMPLE_RATE.
        """
        if voice not in self.voices:
            raise KeyError(voice)  # espeak-ng would take its plain voice
        self.samples = []
        encoded = text.encode()
        calls = (
            self.library.espeak_SetVoiceByName(f"{language}+{voice}".encode()),
            self.library.espeak_SetParameter(PARAMETER_RATE, words_per_minute, 0),
            self.library.espeak_SetParameter(PARAMETER_PITCH, pitch, 0),
            self.library.espeak_Synth(
                encoded, ctypes.c_size_t(len(encoded) + 1), 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None
            ),
        )
        if any(calls) or not self.samples:
            raise RuntimeError(f"espeak-ng could not say {text!r} as {language}+{voice} (statuses {calls})")
        return np.concatenate(self.samples)

    def _receive(self, samples: ctypes.Array, count: int, events: int) -> int:
        """The library's callback: keep the samples, 0 = go on."""
        if samples and count > 0:
            self.samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def _prepare_data(self) -> None:
        """A data folder with what English needs of the wheel's, and voice variants of ours."""
        if len(str(self.folder)) > LONGEST_DATA_PATH:
            raise InputError(f"{self.folder}: espeak-ng cannot use so long a path; set TMPDIR to a shorter one")
        data = self.folder / "espeak-ng-data"
        (data / "voices" / "!v").mkdir(parents=True)
        for name in ENGLISH_DATA:
            (data / name).symlink_to(Path(espeakng_loader.get_data_path()) / name)
        for name, lines in self.voices.items():
            (data / "voices" / "!v" / name).write_text(f"language variant\nname {name}\n{lines}", encoding="utf-8")

    def _load(self) -> None:
        """Load and initialise the private copy, and make sure that it reads our data."""
        copy = self.folder / "libespeak-ng.so"
        shutil.copyfile(espeakng_loader.get_library_path(), copy)
        self.library = ctypes.CDLL(str(copy))
        sample_rate = self.library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, 0, str(self.folder).encode(), INITIALIZE_DONT_EXIT
        )
        data_path = ctypes.c_char_p()
        self.library.espeak_Info.restype = ctypes.c_char_p
        self.library.espeak_Info(ctypes.byref(data_path))
        if sample_rate != SAMPLE_RATE or data_path.value != str(self.folder / "espeak-ng-data").encode():
            raise RuntimeError(f"espeak-ng did not start: sample rate {sample_rate}, data from {data_path.value!r}")
        self.library.espeak_SetSynthCallback(self.callback)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(self.seed))  # initialising seeds from the clock
