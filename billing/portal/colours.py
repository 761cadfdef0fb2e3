"""The issuer's colour as a stylesheet, since pages carry no style of their own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from billing.presentation.colours import on_dark, palette
from billing.presentation.views import Palette

_RULE = (
    ":root {{ --accent: {colours.accent}; --accent-text: {colours.text}; --tint: {colours.tint} }}"
)


@require_safe
def colours(request: HttpRequest, accent: str) -> HttpResponse:
    """Return what is mixed from a colour, for light pages and dark ones; always the same."""
    light, dark = palette(f"#{accent}"), on_dark(f"#{accent}")
    sheet = f"{_rule(light)}\n@media (prefers-color-scheme: dark) {{ {_rule(dark)} }}\n"
    return HttpResponse(
        sheet,
        content_type="text/css; charset=utf-8",
        headers={"Cache-Control": "public, max-age=86400"},
    )


def _rule(colours: Palette) -> str:
    return _RULE.format(colours=colours)
