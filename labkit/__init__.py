"""What a lab may import: data sets, the lab and its checks, pictures."""

from labkit.datasets import dataset
from labkit.lab import open_lab
from labkit.pictures import picture

__all__ = ["dataset", "open_lab", "picture"]
