"""Copies of speech at other speeds are of speakers of their own, sp0.9-id10001, but it is one voice."""

from __future__ import annotations

import re

COPY = re.compile(r"(?<![A-Za-z0-9])sp(0\.[0-9]+|1\.[0-9]+|2)-")  # perhaps behind a corpus's prefix


def original(speaker: str) -> str:
    """'sp0.9-id10001' -> 'id10001', 'A-sp1.1-x' -> 'A-x'"""
    return COPY.sub("", speaker, count=1)
