"""Writing CSV that a spreadsheet reads as text and figures, and never as a formula."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def cell(text: str) -> str:
    """Return a text as a cell; one that a spreadsheet would compute begins with an apostrophe.

    Figures need none: write those as they are, negative ones too.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
