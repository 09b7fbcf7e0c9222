"""Music for terminals, made by program: pieces of known key and tempo, and what a phone heard."""

import io
import math
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.build.catalogue import Resource
from data.build.formats import csv_file, write_zip
from data.build.seeds import rng
from data.build.tables import RawTable

RATE = 11_025
SECONDS = 14
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
#: Degrees of the scale on which the chords of four bars stand.
CHORDS = ((0, 3, 4, 0), (0, 4, 3, 0), (0, 3, 0, 4))


class Piece(NamedTuple):
    """A piece: its file's name, the tonic as a pitch class (0 is C), and what makes it hard."""

    title: str
    tonic: int
    minor: bool
    bpm: int
    #: Strokes of the drum to a beat.
    strokes: int
    #: Hundredths of a semitone above the tuning of 440 Hz.
    cents: int


PIECES = (
    Piece("boarding", 0, False, 96, 1, 0),
    Piece("carousel", 9, True, 72, 2, 0),
    Piece("departure", 7, False, 120, 1, 0),
    Piece("escalator", 4, True, 84, 1, 0),
    Piece("finger-dock", 5, False, 132, 1, 0),
    Piece("gate-change", 2, True, 108, 1, 0),
    Piece("hangar", 10, False, 160, 1, 0),
    Piece("old-tape", 1, False, 100, 1, 44),
)
STRANGER = Piece("stranger", 0, False, 96, 1, 0)
#: What a phone heard: name, piece, second of the piece at which it begins, noise (1 is as loud).
HEARD = (
    ("heard-1", "departure", 3.7, 0.1),
    ("heard-2", "gate-change", 6.2, 0.3),
    ("heard-3", "stranger", 2.0, 0.1),
    ("heard-4", "boarding", 8.1, 0.6),
)
LISTENED = 4


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write the pieces, what was heard, and ``truth.csv``."""
    name = resource["name"]
    sounds = {piece.title: _sound(piece, rng(name, piece.title)) for piece in PIECES}
    files = [(f"pieces/{title}.wav", _wav(sound)) for title, sound in sounds.items()]
    sounds[STRANGER.title] = _sound(STRANGER, rng(name, STRANGER.title))
    for heard, title, second, noise in HEARD:
        part = sounds[title][round(second * RATE) :][: LISTENED * RATE]
        files.append((f"{heard}.wav", _wav(_phone(part, noise, rng(name, heard)))))
    names = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    truth = []
    for piece in PIECES:
        key = f"{names[piece.tonic]} {'minor' if piece.minor else 'major'}"
        truth.append({"file": f"pieces/{piece.title}.wav", "key": key, "bpm": piece.bpm})
    for heard, title, second, _ in HEARD:
        known = {"piece": title, "second": second} if title != STRANGER.title else {}
        truth.append({"file": f"{heard}.wav", **known})
    columns = ["file", "key", "bpm", "piece", "second"]
    write_zip([*files, ("truth.csv", csv_file(truth, columns))], out)


def _sound(piece: Piece, draw: np.random.Generator) -> np.ndarray:
    """Samples between -1 and 1: chords, a bass, a tune, and a drum."""
    sound = np.zeros(RATE * SECONDS)
    for begin, length, pitch, loud in _notes(piece, draw):
        _add(sound, begin, _tone(pitch + piece.cents / 100, length) * loud)
    beat = 60 / piece.bpm
    for stroke in range(int(SECONDS / beat * piece.strokes)):
        hiss = draw.normal(size=RATE // 20) * np.exp(-np.arange(RATE // 20) / (RATE / 80))
        _add(sound, stroke * beat / piece.strokes, hiss * 0.25)
    return sound / np.abs(sound).max() * 0.8


def _notes(piece: Piece, draw: np.random.Generator) -> Iterator[tuple[float, float, int, float]]:
    """Begin and length in seconds, pitch (69 is A of 440 Hz), loudness."""
    beat, scale = 60 / piece.bpm, MINOR if piece.minor else MAJOR
    chords = CHORDS[int(draw.integers(len(CHORDS)))]

    def pitch(degree: int, octave: int) -> int:
        raised, step = divmod(degree, 7)
        return 12 * (octave + raised) + piece.tonic + scale[step]

    for bar in range(math.ceil(SECONDS / beat / 4)):
        root, begin = chords[bar % 4], bar * 4 * beat
        yield begin, 4 * beat, pitch(root, 3), 0.5
        for step, loud in ((0, 0.35), (2, 0.3), (4, 0.2)):
            yield begin, 4 * beat, pitch(root + step, 4), loud
        for quarter in range(4):
            on_chord = root + 2 * int(draw.integers(3))
            degree = on_chord if quarter % 2 == 0 else on_chord + int(draw.integers(-1, 2))
            yield begin + quarter * beat, beat, pitch(degree, 5), 0.25


def _tone(pitch: float, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    parts = [np.sin(2 * np.pi * hertz * n * time) / n**2 for n in range(1, 5)]
    return np.sum(parts, axis=0) * np.exp(-2 * time / seconds) * np.minimum(1, time * 100)


def _add(sound: np.ndarray, second: float, part: np.ndarray) -> None:
    first = round(second * RATE)
    room = sound[first : first + len(part)]
    room += part[: len(room)]


def _phone(sound: np.ndarray, noise: float, draw: np.random.Generator) -> np.ndarray:
    """The band of a telephone, and noise as loud as so many times the sound."""
    hall = draw.normal(size=len(sound)) * noise * sound.std()
    waves = np.fft.rfft(sound + hall)
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    waves[(hertz < 300) | (hertz > 3400)] = 0
    heard = np.fft.irfft(waves, len(sound))
    return heard / np.abs(heard).max() * 0.8


def _wav(sound: np.ndarray) -> bytes:
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())
    return sink.getvalue()
