"""Numbers for JSON, which has no infinity."""

from __future__ import annotations

import math
from typing import Any


def without_infinities(value: Any) -> Any:
    """The same dictionaries and lists with None, JSON's null, in place of every infinite number."""
    if isinstance(value, dict):
        return {key: without_infinities(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_infinities(each) for each in value]
    return None if isinstance(value, float) and math.isinf(value) else value
