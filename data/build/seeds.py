"""One random stream for each (data set, partition), so that a new data set shifts no other."""

from hashlib import sha256

import numpy as np

SEED = 2013


def rng(dataset: str, partition: str) -> np.random.Generator:
    """Return the random generator that belongs to one partition of one data set."""
    # The key comes from the names: neither the order of calls nor PYTHONHASHSEED plays a part.
    key = [int.from_bytes(sha256(name.encode()).digest()[:4]) for name in (dataset, partition)]
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=key))
