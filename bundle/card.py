"""The card of a version as one self-contained page: `card.html` with its plots in place of their images."""

import re
from collections.abc import Mapping
from functools import partial

from bundle.manifest import CARD_FILE

IMAGE = re.compile(r'<img src="([\w-]+)\.svg" alt="([^"]*)" />')


def card_page(files: Mapping[str, bytes]) -> bytes:
    """Return the card of a bundle's files; a plot that is not among them stays an image."""
    page = files[CARD_FILE].decode()
    return IMAGE.sub(partial(_inline, files), page).encode()


def _inline(files: Mapping[str, bytes], image: re.Match[str]) -> str:
    """Return a plot as an element of a page; a prefix makes its ids unique among the plots."""
    name, description = image.groups()
    if f"{name}.svg" not in files:
        return image[0]
    svg = files[f"{name}.svg"].decode()
    svg = re.sub(r'( id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg[svg.index("<svg") :])
    return f'<figure role="img" aria-label="{description}">{svg}</figure>'
