"""Layers of the environment that labs ask for."""

from __future__ import annotations

import pytest

from labkit import layers
from labkit.errors import CourseError
from labkit.services.artifacts import Layer


def test_each_layer_has_a_lock_and_its_module():
    assert [*layers.LAYERS] == [layer.name for layer in layers.LAYERS.values()]


def test_an_unknown_layer_is_one_sentence():
    with pytest.raises(CourseError, match="no layer 'nosuch'; there are spark, beam"):
        layers.fetch(["nosuch"])


def test_what_is_installed_is_not_installed_again(monkeypatch):
    def never(names):
        raise AssertionError(names)

    monkeypatch.setattr("labkit.services.artifacts._launcher", never)
    monkeypatch.setitem(layers.LAYERS, "here", Layer("here", "json", 1))
    layers.fetch(["here"])


def test_a_layer_that_cannot_be_had_says_what_to_do(monkeypatch):
    class Launcher:
        CourseError = ValueError

        def prepare(self, names):
            assert names == ["gone"]

    monkeypatch.setattr("labkit.services.artifacts._launcher", Launcher)
    monkeypatch.setitem(layers.LAYERS, "gone", Layer("gone", "no_such_module", 1))
    with pytest.raises(CourseError, match=r"install requirements/gone\.txt"):
        layers.fetch(["gone"])
