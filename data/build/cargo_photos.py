"""Photos of a cargo ramp, drawn by program: scenes in bursts, labels, copies, and odd files."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from data.build.catalogue import Resource
from data.build.formats import csv_file, write_zip
from data.build.seeds import rng
from data.build.tables import RawTable

KINDS = ("jet", "propeller", "truck")
SCENES, SHOTS, LABELS = 48, 3, 16
SIZE = (160, 120)
#: Three digits of an airline on its air waybills, as drawn here.
PREFIXES = ("001", "006", "016", "037", "279")
#: Tags of EXIF.
ORIENTATION, GPS, MAKER = 0x0112, 0x8825, 0x010F

Columns = dict[str, str]


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write the photos and ``truth.csv``, which says what is in each."""
    dests = sorted({row["dest"] for row in raw("flights-raw").select(["dest"]).to_pylist()})
    made = [*_scenes(resource["name"]), *_labels(resource["name"], dests)]
    made += _copies(resource["name"], {row["file"]: data for row, data in made})
    made += _odd({row["file"]: data for row, data in made})
    rows = sorted((row for row, _ in made), key=lambda row: row["file"])
    truth = csv_file(rows, ["file", "kind", "scene", "level", "awb", "copy_of", "note"])
    files = [(row["file"], data) for row, data in made]
    write_zip([*files, ("truth.csv", truth)], out)


def check_digit(serial: int) -> int:
    """The last digit of an air waybill: the serial number of seven digits, modulo seven."""
    return serial % 7


def _jpeg(image: Image.Image, quality: int = 85, exif: Image.Exif | None = None) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality, **({"exif": exif} if exif else {}))
    return sink.getvalue()


def _png(image: Image.Image) -> bytes:
    # Stored, not compressed: compressed bytes would follow the zlib in use.
    sink = io.BytesIO()
    image.save(sink, "PNG", compress_level=0)
    return sink.getvalue()


def _noisy(image: Image.Image, draw: np.random.Generator, strength: float) -> Image.Image:
    values = np.asarray(image, dtype=float) + draw.normal(0, strength, (*image.size[::-1], 1))
    return Image.fromarray(values.clip(0, 255).round().astype("uint8"))


def _scenes(name: str) -> Iterator[tuple[Columns, bytes]]:
    for number in range(SCENES):
        draw = rng(name, f"scene {number}")
        kind = KINDS[number % len(KINDS)]
        width, height = SIZE[0] + 24, SIZE[1] + 16
        back = Image.new("RGB", (width, height))
        pen = ImageDraw.Draw(back)
        horizon = int(draw.integers(35, 70))
        light = float(draw.uniform(0.35, 1.0))
        sky, ground = ([int(v * light) for v in draw.integers(80, 250, 3)] for _ in range(2))
        pen.rectangle((0, 0, width, horizon), fill=tuple(sky))
        pen.rectangle((0, horizon, width, height), fill=tuple(ground))
        for _ in range(int(draw.integers(4, 9))):  # sheds, masts, lines of paint
            x, y = int(draw.integers(0, width)), int(draw.integers(10, height))
            w, h = int(draw.integers(3, 50)), int(draw.integers(3, 22))
            pen.rectangle(
                (x, y, x + w, y + h), fill=tuple(int(v * light) for v in draw.integers(20, 255, 3))
            )
        paint = tuple(int(v * light) for v in draw.integers(60, 255, 3))
        dark = tuple(int(v * 0.35) for v in paint)
        x, y = int(draw.integers(45, 75)), int(draw.integers(50, 80))
        size, side = float(draw.uniform(0.8, 1.25)), int(draw.choice([-1, 1]))
        _vehicle(pen, kind, (x + 25, y), size * side, paint, dark)
        for shot in range(SHOTS):
            dx, dy = int(draw.integers(8, 13)), int(draw.integers(6, 9))
            photo = back.crop((dx, dy, dx + SIZE[0], dy + SIZE[1]))
            photo = photo.point([min(255, int(v * (0.96 + 0.03 * shot))) for v in range(256)] * 3)
            row = {"file": f"ramp/{number:02}-{shot}.jpg", "kind": kind, "scene": f"{number:02}"}
            yield row, _jpeg(_noisy(photo, draw, 6), 80)


def _vehicle(
    pen: ImageDraw.ImageDraw,
    kind: str,
    at: tuple[int, int],
    size: float,
    paint: tuple[int, ...],
    dark: tuple[int, ...],
) -> None:
    def box(x: float, y: float, u: float, v: float) -> tuple[float, ...]:
        xs = sorted((at[0] + x * size, at[0] + u * size))
        ys = at[1] + y * abs(size), at[1] + v * abs(size)
        return xs[0], ys[0], xs[1], ys[1]

    def shape(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(at[0] + x * size, at[1] + y * abs(size)) for x, y in points]

    if kind == "truck":
        pen.rectangle(box(-30, -12, 14, 10), fill=paint)
        pen.rectangle(box(16, -4, 30, 10), fill=dark)
        for x in (-24, 0, 18):
            pen.ellipse(box(x, 7, x + 9, 16), fill=(15, 15, 15))
        return
    pen.ellipse(box(-45, -8, 45, 8), fill=paint)
    pen.polygon(shape((-42, -3), (-50, -24), (-38, -24), (-28, -5)), fill=dark)
    if kind == "jet":
        pen.polygon(shape((6, 2), (-24, 20), (-12, 20), (18, 3)), fill=dark)
        pen.ellipse(box(-6, 8, 10, 15), fill=dark)
    else:
        pen.rectangle(box(-12, -11, 10, -7), fill=dark)
        pen.rectangle(box(2, -15, 16, -9), fill=dark)
        pen.rectangle(box(17, -24, 19, 2), fill=(15, 15, 15))


def _labels(name: str, dests: list[str]) -> Iterator[tuple[Columns, bytes]]:
    big, small = ImageFont.load_default(40), ImageFont.load_default(20)
    for number in range(LABELS):
        draw = rng(name, f"label {number}")
        level = number % 4
        serial = int(draw.integers(1_000_000, 10_000_000))
        awb = f"{draw.choice(PREFIXES)}-{serial}{check_digit(serial)}"
        origin = str(draw.choice(["EWR", "JFK", "LGA"]))
        dest = str(draw.choice([d for d in dests if d != origin]))
        paper = Image.new("RGB", (420, 240), (245, 243, 235))
        pen = ImageDraw.Draw(paper)
        pen.rectangle((4, 4, 415, 235), outline=(30, 30, 30), width=3)
        pen.text((20, 14), "AIR WAYBILL", font=small, fill=(20, 20, 20))
        pen.text((20, 44), awb, font=big, fill=(20, 20, 20))
        pen.text((20, 104), f"{origin} - {dest}", font=big, fill=(20, 20, 20))
        pieces = int(draw.integers(2, 9))
        of = f"PIECE {int(draw.integers(1, pieces + 1))} OF {pieces}"
        weight = f"{int(draw.integers(20, 900))} KG"
        pen.text((20, 170), f"{of}     {weight}", font=small, fill=(20, 20, 20))
        shade = tuple(int(v) for v in draw.integers(90, 150, 3))
        photo = Image.new("RGB", (500, 320), shade)
        photo.paste(paper, (40, 40))
        photo = photo.rotate(
            float(draw.uniform(-1, 1)) * (1 + 2 * level),
            resample=Image.Resampling.BICUBIC,
            fillcolor=shade,
        )
        photo = photo.filter(ImageFilter.GaussianBlur((0.4, 1.2, 2.2, 3.0)[level]))
        photo = photo.point([int(v * (1, 0.8, 0.6, 0.45)[level]) for v in range(256)] * 3)
        photo = _noisy(photo, draw, (3, 8, 12, 16)[level])
        exif, turn = Image.Exif(), (1, 6, 3, 8)[number // 4]
        exif[MAKER] = "Ramp scanner"
        exif[ORIENTATION] = turn
        exif.get_ifd(GPS).update({1: "N", 2: (40.0, 41.0, 33.0), 3: "W", 4: (74.0, 10.0, 7.0)})
        # Stored as the sensor saw it: whoever shows it has to turn it by the tag.
        stored = {1: 0, 6: 90, 3: 180, 8: 270}[turn]
        photo = photo.rotate(stored, expand=True)
        row = {"file": f"labels/{number:02}.jpg", "kind": "label", "level": str(level), "awb": awb}
        yield row, _jpeg(photo, 80, exif)


def _copies(name: str, files: dict[str, bytes]) -> Iterator[tuple[Columns, bytes]]:
    draw = rng(name, "copies")
    for number, scene in enumerate(sorted(int(n) for n in draw.choice(SCENES, 9, replace=False))):
        source = f"ramp/{scene:02}-0.jpg"
        image = Image.open(io.BytesIO(files[source]))
        how = ("smaller", "recoded", "png")[number % 3]
        if how == "smaller":
            data = _jpeg(image.resize((96, 72), Image.Resampling.LANCZOS), 75)
        else:
            data = _jpeg(image, 30) if how == "recoded" else _png(image)
        suffix = "png" if how == "png" else "jpg"
        kind = KINDS[scene % len(KINDS)]
        row = {"file": f"copies/{number}.{suffix}", "kind": kind, "scene": f"{scene:02}"}
        yield {**row, "copy_of": source, "note": how}, data


def _odd(files: dict[str, bytes]) -> Iterator[tuple[Columns, bytes]]:
    whole = files["ramp/00-0.jpg"]
    image = Image.open(io.BytesIO(whole))
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(SIZE))
    deep = Image.fromarray((np.asarray(image.convert("L")).astype("uint16") * 257).copy())
    page = b"<!DOCTYPE html><title>504 Gateway Time-out</title>\n"
    for file, note, data in [
        ("cut.jpg", "the last 40 % of the bytes are missing", whole[: len(whole) * 6 // 10]),
        ("empty.jpg", "no bytes", b""),
        ("page.jpg", "an error page, saved under the name of a photo", page),
        ("other.jpg", "a PNG with the wrong name", _png(image)),
        ("bomb.png", "a header that asks for 900 million pixels", _bomb(30_000)),
        ("grey.jpg", "grey", _jpeg(image.convert("L"))),
        ("cmyk.jpg", "colours of a printer", _jpeg(image.convert("CMYK"))),
        ("alpha.png", "transparent towards the top", _png(alpha)),
        ("deep.png", "grey with 16 bits", _png(deep)),
    ]:
        yield {"file": f"odd/{file}", "kind": "odd", "note": note}, data


def _bomb(side: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + end

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(64), 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
