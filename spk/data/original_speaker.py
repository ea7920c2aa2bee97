"""Copies of speech at other speeds are of speakers of their own, sp0.9-id10001, but it is one voice."""

from __future__ import annotations

import re

COPY = re.compile(r"sp[0-9]+(\.[0-9]+)?-")


def original(speaker: str) -> str:
    """'sp0.9-id10001' -> 'id10001'"""
    return COPY.sub("", speaker, count=1)
