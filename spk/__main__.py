"""A trained system in use.

Usage: spk COMMAND ...
  spk embed EXP RECORDING... --output DIR      embeddings, as an ark or a numpy file
  spk verify EXP RECORDING RECORDING           are these two of one speaker?
  spk enroll EXP GALLERY NAME RECORDING...     remember how a speaker sounds
  spk identify EXP GALLERY RECORDING...        which of the remembered speakers is this?
  spk gallery list|remove GALLERY [NAME...]    who is remembered
  spk export EXP OUT.spk|OUT.onnx              the system in one file; the network for ONNX
EXP is the directory of a trained system, or its .spk file. Each command answers --help.
"""

from __future__ import annotations

import importlib
import sys

COMMANDS = ("embed", "verify", "enroll", "identify", "gallery", "export")


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("--help", "-h"):
        print(__doc__.strip())
        return
    if name not in COMMANDS:
        said = f"there is no command {name!r}" if name else "it takes a command"
        sys.exit(f"spk: error: {said}; known: {', '.join(COMMANDS)} (spk --help says what each does)")
    sys.argv[:2] = [f"spk {name}"]
    importlib.import_module(f"spk.bin.{name}").main()


if __name__ == "__main__":
    main()
