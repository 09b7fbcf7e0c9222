"""Layers of the course's environment: packages that only some labs need, installed on first use."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.errors import CourseError
from labkit.services.artifacts import Layer

#: By name: the lock in ``requirements/``, a module that it brings, and its download in MB.
LAYERS = {
    "spark": Layer("spark", "pyspark", 500),
    "beam": Layer("beam", "apache_beam", 30),
    "media": Layer("media", "librosa", 250),
    "torch": Layer("torch", "transformers", 2100),
}


def fetch(names: Iterable[str]) -> None:
    """Install the layers that are missing. Raises CourseError with what to do when it fails."""
    for name in names:
        if name not in LAYERS:
            raise CourseError(f"There is no layer {name!r}; there are {', '.join(LAYERS)}.")
        LAYERS[name].fetch()
