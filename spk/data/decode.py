"""Decode compressed audio by ffmpeg into files that soundfile reads."""

from __future__ import annotations

# What soundfile does not read: suffixes of files that ffmpeg decodes.
ENCODED = (".m4a", ".mp4", ".aac", ".webm", ".opus")
