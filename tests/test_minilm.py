"""The model of sentences, against what its authors publish of it and its own invariants."""

import numpy as np
import pytest

from labkit.layers import fetch


@pytest.fixture(scope="module")
def model():
    fetch(["media"])
    from labkit.minilm import MiniLM

    return MiniLM()


def test_similarities_are_those_that_its_library_documents(model):
    """Sentence Transformers' documentation, "Quickstart", to four places."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    vectors = model.encode(texts)
    assert vectors.shape == (3, 384)
    documented = [[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]]
    assert np.allclose(vectors @ vectors.T, documented, atol=1e-4)


def test_padding_changes_nothing(model):
    short, long = "Late.", "We sat on the tarmac for two hours and nobody said why. " * 20
    together = model.encode([short, long])
    alone = np.concatenate([model.encode([short]), model.encode([long])])
    assert np.abs(together - alone).max() < 1e-5


def test_no_text_no_vector(model):
    assert model.encode([]).shape == (0, 384)
    assert np.isfinite(model.encode([""])).all()
