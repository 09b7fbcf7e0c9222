"""Layers of the environment that labs ask for."""

from __future__ import annotations

import sys

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


class Launcher:
    """Installs nothing, as where there is no network."""

    CourseError = ValueError

    def cache_dir(self):
        return sys.prefix

    def prepare(self, names):
        raise ValueError(f"{names[0]} cannot be fetched")


def test_a_layer_that_cannot_be_had_says_why(monkeypatch):
    monkeypatch.setattr("labkit.services.artifacts._launcher", Launcher)
    monkeypatch.setitem(layers.LAYERS, "gone", Layer("gone", "no_such_module", 1))
    with pytest.raises(CourseError, match="^gone cannot be fetched$"):
        layers.fetch(["gone"])


def test_a_python_that_is_not_the_courses_own_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("labkit.services.artifacts._launcher", Launcher)
    monkeypatch.setattr(Launcher, "cache_dir", lambda self: tmp_path)
    monkeypatch.setitem(layers.LAYERS, "gone", Layer("gone", "no_such_module", 7))
    with pytest.raises(CourseError, match=r"7 MB.*\n%pip install .*requirements/gone\.txt$"):
        layers.fetch(["gone"])
