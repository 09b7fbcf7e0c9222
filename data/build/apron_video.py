"""Half a minute of an apron, drawn by program, as two cameras would film it."""

import io
import struct
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from data.build.catalogue import Resource
from data.build.formats import csv_file, riff_chunk, write_zip
from data.build.seeds import rng
from data.build.tables import RawTable

FRAMES, RATE, SIZE = 240, 8, (160, 120)
#: From this frame on the light is weaker; from that one on the second camera is shown.
DARK, CUT = 64, 180
LIGHT = 0.7
SIDES = ("left", "top", "right", "bottom")


class Vehicle(NamedTuple):
    """It enters at a frame, at a place, with a speed in pixels; it waits between two frames."""

    name: str
    camera: int
    frame: int
    left: int
    bottom: int
    speed: int
    size: tuple[int, int]
    waits: tuple[int, int] = (FRAMES, FRAMES)


VEHICLES = [
    Vehicle("car-1", 1, 0, 60, 114, -4, (24, 11), (0, 14)),  # is there before the film begins
    Vehicle("tug-1", 1, 5, -22, 64, 4, (22, 13)),
    Vehicle("bus-1", 1, 20, 160, 90, -5, (40, 18)),
    Vehicle("tug-2", 1, 54, -22, 64, 4, (22, 13)),
    Vehicle("truck-1", 1, 80, 160, 90, -4, (32, 17), (104, FRAMES)),  # stops, and stays
    Vehicle("car-2", 1, 112, -24, 114, 6, (24, 11)),
    Vehicle("tug-3", 1, 152, 160, 64, -4, (22, 13)),  # the cut comes before it has left
    Vehicle("bus-2", 2, 186, -40, 90, 4, (40, 18)),
    Vehicle("tug-4", 2, 200, 160, 114, -6, (22, 13)),
]


def build(resource: Resource, out: Path, _: RawTable) -> None:
    """Write the film, and ``truth.csv``: a row for each vehicle in each frame."""
    draw = rng(resource["name"], "film")
    scenes = {
        camera: _scene(camera, rng(resource["name"], f"camera {camera}")) for camera in (1, 2)
    }
    paint = {v.name: tuple(int(c) for c in draw.integers(150, 255, 3)) for v in VEHICLES}
    frames, truth = [], []
    for frame in range(FRAMES):
        camera, light = (1 if frame < CUT else 2), (1.0 if frame < DARK else LIGHT)
        image = scenes[camera].copy()
        seen = []
        for vehicle in VEHICLES:
            box = _place(vehicle, frame)
            if box and vehicle.camera == camera:
                _draw(ImageDraw.Draw(image), box, paint[vehicle.name])
                state = "waits" if vehicle.waits[0] <= frame < vehicle.waits[1] else "moves"
                inside = [max(0, box[0]), box[1], min(SIZE[0], box[2]), box[3]]
                seen.append(
                    {"vehicle": vehicle.name, "state": state}
                    | dict(zip(SIDES, inside, strict=True))
                )
        shown = {"frame": frame, "camera": camera, "light": light}
        truth += [shown | row for row in seen or [{}]]
        values = np.asarray(image, dtype=float) * light + draw.normal(0, 2.5, (*SIZE[::-1], 1))
        photo = io.BytesIO()
        Image.fromarray(values.clip(0, 255).round().astype("uint8")).save(
            photo, "JPEG", quality=85, subsampling="4:2:0"
        )
        frames.append(photo.getvalue())
    columns = ["frame", "camera", "light", "vehicle", "state", *SIDES]
    write_zip([("apron.avi", avi(frames)), ("truth.csv", csv_file(truth, columns))], out)


def _place(vehicle: Vehicle, frame: int) -> tuple[int, int, int, int] | None:
    """Where a vehicle is: left, top, right, bottom; nothing when none of it is in the picture."""
    driven = frame - vehicle.frame
    driven -= max(0, min(frame, vehicle.waits[1]) - max(vehicle.waits[0], vehicle.frame))
    left = vehicle.left + vehicle.speed * driven
    width, height = vehicle.size
    if frame < vehicle.frame or left + width <= 0 or left >= SIZE[0]:
        return None
    return left, vehicle.bottom - height, left + width, vehicle.bottom


def _scene(camera: int, draw: np.random.Generator) -> Image.Image:
    """The still part of what a camera sees: a building, the ground, and paint on it."""
    image = Image.new("RGB", SIZE, tuple(int(v) for v in draw.integers(85, 105, 3)))
    pen = ImageDraw.Draw(image)
    horizon = {1: 36, 2: 66}[camera]
    pen.rectangle((0, 0, SIZE[0], horizon), fill=tuple(int(v) for v in draw.integers(140, 190, 3)))
    for y in range(horizon - 24, 0, -24):
        for x in range(4, SIZE[0], 22):  # windows
            pen.rectangle((x, y, x + 12, y + 10), fill=(60, 70, 95))
    for y in range(horizon + 32, SIZE[1], 26):
        for x in range(int(draw.integers(0, 12)), SIZE[0], 24):
            pen.rectangle((x, y, x + 10, y + 1), fill=(190, 185, 120))
    return image


def _draw(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], paint: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    pen.rectangle((left, top, right - 1, bottom - 4), fill=paint)
    pen.rectangle((left, bottom - 4, right - 1, bottom - 3), fill=(40, 40, 45))
    for x in (left + 2, right - 8):
        pen.ellipse((x, bottom - 6, x + 5, bottom - 1), fill=(20, 20, 20))


def avi(frames: list[bytes]) -> bytes:
    """An AVI file of JPEG images (Motion JPEG) and its index, by hand: the same bytes always."""
    largest = max(map(len, frames))
    main = struct.pack(
        "<14I",
        1_000_000 // RATE,
        largest * RATE,
        0,
        0x10,
        len(frames),
        0,
        1,
        largest,
        *SIZE,
        *[0] * 4,
    )
    stream = b"vidsMJPG" + struct.pack(
        "<IHHIIIIIIII4H", 0, 0, 0, 0, 1, RATE, 0, len(frames), largest, 10_000, 0, 0, 0, *SIZE
    )
    bits = 24
    form = struct.pack(
        "<IiiHH4sIiiII", 40, *SIZE, 1, bits, b"MJPG", SIZE[0] * SIZE[1] * bits // 8, 0, 0, 0, 0
    )
    head = _list(b"strl", riff_chunk(b"strh", stream) + riff_chunk(b"strf", form))
    movie, index, at = [], [], 4
    for frame in frames:
        movie.append(riff_chunk(b"00dc", frame))
        index.append((b"00dc", 0x10, at, len(frame)))
        at += len(movie[-1])
    body = _list(b"hdrl", riff_chunk(b"avih", main) + head) + _list(b"movi", b"".join(movie))
    body += riff_chunk(b"idx1", b"".join(starmap(struct.Struct("<4sIII").pack, index)))
    return riff_chunk(b"RIFF", b"AVI " + body)


def _list(name: bytes, body: bytes) -> bytes:
    return riff_chunk(b"LIST", name + body)
