"""What a page must hold in front of anybody: looked at in a browser, at any width, light and dark.

A few checks of our own: no sideways scrolling, one heading of the first rank, labels, pictures that
are there, text that can be read, a focus that can be seen.
"""

from __future__ import annotations

from playwright.sync_api import Page

NARROW, WIDE = 390, 1280
HEIGHT = 900

_FAULTS = """
() => {
    const faults = [];
    const visible = (element) => element.checkVisibility({visibilityProperty: true});
    const shown = (element) => element.outerHTML.slice(0, 160);

    const headings = [...document.querySelectorAll("h1")].filter(visible);
    if (headings.length !== 1) faults.push(`${headings.length} h1: ${headings.map((one) => one.textContent.trim())}`);
    if (!document.title.trim()) faults.push("no title");
    if (!document.documentElement.lang) faults.push("no language");

    for (const image of document.images)
        if (visible(image) && !(image.complete && image.naturalWidth)) faults.push(`missing image ${image.src}`);
        else if (!image.hasAttribute("alt")) faults.push(`no alt: ${shown(image)}`);

    for (const input of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
        if (!visible(input) || input.matches(".select2-search__field")) continue;  // a library's own
        const named = input.labels?.length && [...input.labels].some((label) => label.textContent.trim());
        if (!named && !["aria-label", "aria-labelledby", "title"].some((name) => input.getAttribute(name)?.trim())
            && !["submit", "button"].includes(input.type)) faults.push(`no label: ${shown(input)}`);
    }
    for (const button of document.querySelectorAll("a[href], button"))
        if (visible(button) && !((button.innerText ?? button.textContent).trim() || button.getAttribute("aria-label") || button.title
            || button.querySelector("img[alt], svg[aria-label], svg title, [title]")))
            faults.push(`no name: ${shown(button)}`);

    const seen = new Set();
    for (const {id} of document.querySelectorAll("[id]")) {
        if (seen.has(id)) faults.push(`twice the id ${id}`);
        seen.add(id);
    }
    return faults;
}
"""

_SIDEWAYS = """
() => {
    const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (over <= 0) return "";
    const widest = [...document.body.querySelectorAll("*")].reduce((found, one) =>
        one.getBoundingClientRect().right > found.getBoundingClientRect().right ? one : found);
    return `${over} px too wide: ${widest.outerHTML.slice(0, 160)}`;
}
"""

_HARD_TO_READ = """
() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
        return [red, green, blue, alpha / 255];
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((part, i) => part * a + below[i] * (1 - a));
    const ground = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor));
        const page = rgba("Canvas");
        return layers.reverse().reduce((below, layer) => over(layer, below), page.slice(0, 3));
    };
    const light = (colour) => {
        const [r, g, b] = colour.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faults = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
        if (element.getBoundingClientRect().width <= 1) continue;  // for screen readers alone
        if (element.closest("svg, progress, .material-symbols-outlined, [disabled], [aria-disabled=true]")) continue;
        const style = getComputedStyle(element), below = ground(element);
        const pair = [light(over(rgba(style.color), below)), light(below)].sort((a, b) => b - a);
        const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
        const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        if (contrast < (large ? 3 : 4.5) - 0.01)
            faults.add(`contrast ${contrast.toFixed(2)}: ${walker.currentNode.textContent.trim().slice(0, 60)}`);
    }
    return [...faults];
}
"""

# The admin's theme asks for the scheme only when it loads, and says it by a class.
_THEME = "(scheme) => document.documentElement.classList.toggle('dark', scheme === 'dark')"

# After a key, a focus given by a script is shown as the keyboard's own.
_UNSEEN_FOCUS = """
() => {
    const before = document.activeElement, faults = [];
    const reached = document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]");
    for (const element of reached) {
        if (element.disabled || element.tabIndex < 0 || !element.checkVisibility({visibilityProperty: true})) continue;
        element.focus({preventScroll: true});
        if (document.activeElement !== element) continue;
        const style = getComputedStyle(element.closest(".select2-selection") ?? element);
        for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish();
        const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
        if (!ring) faults.push(`focus can't be seen on ${element.outerHTML.slice(0, 160)}`);
    }
    before?.focus?.({preventScroll: true});
    return faults;
}
"""


def faults(page: Page) -> list[str]:
    """Say what is wrong with a page that is open, at both widths, in the light and in the dark."""
    found: list[str] = []
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        if sideways := page.evaluate(_SIDEWAYS):
            found.append(f"at {width} px {sideways}")
        found += (f"at {width} px {fault}" for fault in page.evaluate(_FAULTS))
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate(_THEME, scheme)
        found += (f"{scheme}: {fault}" for fault in page.evaluate(_HARD_TO_READ))
    page.set_viewport_size({"width": WIDE, "height": HEIGHT})
    page.keyboard.press("Tab")
    found += page.evaluate(_UNSEEN_FOCUS)
    return found
