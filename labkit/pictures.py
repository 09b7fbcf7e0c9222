"""Figures that say in words what they show."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture:
    """A figure with alternative text; shown in a notebook as an HTML image."""

    def __init__(self, png: bytes, alt: str) -> None:
        self.png = png
        self.alt = alt

    def __repr__(self) -> str:
        return f"[Picture: {self.alt}]"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        return f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'


def picture(figure: Figure, alt: str) -> Picture:
    """Draw ``figure`` once, as PNG at 100 dots per inch, and close it.

    ``alt`` says in one or two sentences what a reader is meant to see.
    """
    import matplotlib.pyplot as plt

    sink = io.BytesIO()
    # No software version and no date in the file: the same figure is the same bytes.
    figure.savefig(sink, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return Picture(sink.getvalue(), alt)
