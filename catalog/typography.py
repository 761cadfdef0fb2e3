"""How French is set, whatever it says. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

NARROW = "\u202f"
"""The narrow no-break space."""
_BEFORE = re.compile(r"[ \u00a0](?=[;:?!»])")


def set_in_french(words: Mapping[str, str]) -> dict[str, str]:
    """Put a narrow no-break space before ; : ? ! and inside guillemets, where words have another."""
    return {
        key: _BEFORE.sub(NARROW, text).replace("« ", f"«{NARROW}") for key, text in words.items()
    }
