# %% [markdown] minutes=60 datasets=["airports", "flights"] systems=["duckdb_spatial"] layers=["media"]
# # Geospatial data: axes, formats, indexes, rasters, routes
#
# A published list of airports has one in China that stands in Phoenix, and no tool complains. You find such positions by evidence,
# keep data whole between formats, and ask questions of a round Earth.

# %% [markdown]
# ## You will be able to
#
# - find swapped axes, lost signs and wrong coordinate systems in a feed (exercise 1)
# - take in files of several formats without losing names, systems or shapes (exercise 2)
# - find nearest neighbours on a sphere, with an index (exercise 3)
# - join points with areas, each point once (exercise 4)
# - read values out of a raster (exercise 5)
# - write routes that cross the date line as GeoJSON that maps can draw (exercise 6)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python: dictionaries, loops, `min` with a key | all answers |
# | pandas: columns and `rename` | exercise 2 |
#
# Airports and flights are real. Positions of aircraft, the areas and the heights between airports are invented and labelled.

# %% role="setup"
import io
import math
import re
import tempfile
import warnings
import zipfile
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from labkit import dataset, open_lab, picture
from labkit.services import service

lab = open_lab("07-2-multimodal/09-geospatial")
database = service("duckdb_spatial")

import folium
import geopandas as gpd
import pyogrio
import rasterio
import shapely
from pyproj import Geod, Transformer
from scipy.spatial import cKDTree
from sklearn.neighbors import BallTree

GEOD = Geod(ellps="WGS84")
lab

# %%
AIRPORTS = dataset("airports").frame()[["faa", "name", "lon", "lat", "alt"]]
FLIGHTS = dataset("flights").arrow().select(["origin", "dest", "distance"])
ROUTES = FLIGHTS.to_pandas().drop_duplicates(["origin", "dest"])
PLACES = {a.faa: (a.lon, a.lat) for a in AIRPORTS.itertuples()}
print(len(AIRPORTS), "airports,", len(ROUTES), "routes")

# %% [markdown] topics=["7.2-2.5", "7.2-8"]
# ## Two numbers are no position
#
# A position is two numbers *and* a *coordinate reference system* (CRS) that says what they mean. Each has a number, its *EPSG* code:
#
# | EPSG | Unit | First axis | Where you meet it |
# |---|---|---|---|
# | 4326 (WGS 84) | degrees | latitude, says the standard; most files write longitude first | GPS, GeoJSON |
# | 3857 (Web Mercator) | metres, too long: 1.3 times at New York, 3 times in northern Alaska | x | map tiles |
# | 5070 (Albers) | metres, areas are right | x | the 48 contiguous states |
#
# The airports are in 4326, as published. **Predict:** all are airports of the United States. How many points lie elsewhere?

# %%
SHIFT = {"EEN": (8, -4), "DVT": (-32, 2), "MYF": (6, -12), "SYA": (-14, 9)}
figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
axes.plot(AIRPORTS["lon"], AIRPORTS["lat"], ".", markersize=2)
for faa in ("EEN", "DVT", "MYF", "SYA"):
    axes.annotate(faa, PLACES[faa], xytext=SHIFT[faa], textcoords="offset points")
    axes.plot(*PLACES[faa], "o", markerfacecolor="none", color="tab:red")
axes.set(xlabel="longitude, °", ylabel="latitude, °", xlim=(-185, 185))
picture(
    figure,
    alt="A map of dots in the shape of the United States; DVT and MYF lie in China, EEN in the Arctic sea, SYA at the far end of the Aleutians.",
)

# %% [markdown]
# DVT and MYF lost the sign of their longitude, and are tens of kilometres off besides. EEN's axes are swapped, and its sign is lost. SYA is right: it lies in the Aleutians, beyond
# the 180th meridian. So the rule "longitudes of the USA are negative" would break a good row. A rule about ranges is no evidence. A second source is.
#
# The flights bring one for the 103 airports that they touch, though for none of these four: the distance of each route as the airline's report has it. *Degrees* are no unit of distance: a degree of
# longitude is 111 km at the equator, 85 km at New York, 36 km in northern Alaska. The *geodesic* is the shortest way on the ellipsoid.
#
# **Predict:** how wrong is "69 miles a degree" for Newark to Anchorage?

# %%
for dest in ("MIA", "LAX", "HNL", "ANC"):
    (x, y), (u, v) = PLACES["EWR"], PLACES[dest]
    _, _, metres = GEOD.inv(x, y, u, v)
    reported = ROUTES.query("origin == 'EWR' and dest == @dest")["distance"].iloc[0]
    print(
        f"EWR-{dest}: reported {reported} miles, geodesic {metres / 1609.344:.0f}, "
        f"69 miles a degree {69 * math.hypot(x - u, y - v):.0f}"
    )

# %% [markdown] topics=["7.2-2.5", "7.2-8"]
# ## Break it: a feed changes its axes
#
# A feed sends the position of each aircraft as it leaves. A new release of the sender swaps the axes of some, drops a sign, and sends metres of EPSG:3857 for others. The usual test is
# a range: longitude within ±180, latitude within ±90.

# %%
to_metres = Transformer.from_crs(4326, 3857, always_xy=True)
feed = []
for number, origin in enumerate(["JFK", "LGA", "EWR", "JFK", "SYA", "JFK"]):
    lon, lat = PLACES[origin]
    sent = [(lon, lat), (lat, lon), to_metres.transform(lon, lat), (-lon, lat)]
    x, y = sent[number % 4]
    feed.append({"id": f"P{number}", "origin": origin, "x": x, "y": y})
passed = [p["id"] for p in feed if abs(p["x"]) <= 180 and abs(p["y"]) <= 90]
print("positions within the ranges:", passed)

# %% [markdown]
# Three of them are wrong. You repair by evidence: each aircraft must be near the airport that it leaves.
#
# `Transformer.from_crs(a, b, always_xy=True)` converts. Without `always_xy` it follows the standard's order of axes, which for 4326 is latitude first.

# %% [markdown] role="task" exercise="axes" points=3 topics=["7.2-2.5", "7.2-8"]
# ### Read a position by evidence
#
# Write `mend(positions, airports, limit)`. A position has `id`, `origin`, `x` and `y`. `airports` gives the longitude and latitude of each origin: `{"JFK": [-73.78, 40.64]}`.
#
# A position can be read in four ways:
#
# | `reading` | longitude and latitude |
# |---|---|
# | `"as sent"` | x, y |
# | `"swapped"` | y, x |
# | `"sign"` | −x, y |
# | `"metres"` | x and y are metres of EPSG:3857 |
#
# Take the reading that lies nearest to the origin, by geodesic, if that is at most `limit` km; of equally near ones, the first in the table. Return for each position a dictionary with `id`, `lon` and `lat` (rounded to four digits) and `reading`. If no reading is
# near enough, these three are `None`.
#
# Example: `x` 40.7 and `y` −73.8, from JFK, with a limit of 30, is `"swapped"`: lon −73.8, lat 40.7.
#
# Why: a swapped position in New York passes each test of ranges. It lies in Antarctica.


# %% role="answer" exercise="axes"
def mend(positions: list[dict], airports: dict, limit: float) -> list[dict]:
    """Each position in the reading that fits its airport."""
    ### BEGIN SOLUTION
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    rows = []
    for position in positions:
        x, y = position["x"], position["y"]
        readings = [("as sent", x, y), ("swapped", y, x), ("sign", -x, y)]
        readings.append(("metres", *to_degrees.transform(x, y)))
        near = []
        for reading, lon, lat in readings:
            _, _, metres = GEOD.inv(lon, lat, *airports[position["origin"]])
            if metres <= limit * 1000:  # not a number where there is no such place
                near.append((metres, round(lon, 4), round(lat, 4), reading))
        _, lon, lat, reading = min(near, default=(None, None, None, None))
        rows.append({"id": position["id"], "lon": lon, "lat": lat, "reading": reading})
    return rows
    ### END SOLUTION


# %% role="check" exercise="axes"
with lab.check("axes") as answer:
    airports = {
        "JFK": [-73.7789, 40.6398],
        "BRW": [-156.766, 71.2854],
        "SYA": [174.1136, 52.7123],
        "LCY": [0.0553, 51.5053],
        "SLY": [66.611, 66.591],
    }
    for origin, x, y, limit, lon, lat, reading in [
        ("JFK", -73.8, 40.7, 30, -73.8, 40.7, "as sent"),
        ("JFK", 40.7, -73.8, 30, -73.8, 40.7, "swapped"),
        ("JFK", 73.8, 40.7, 30, -73.8, 40.7, "sign"),
        ("JFK", -8215440.0, 4969000.0, 30, -73.8006, 40.7055, "metres"),
        ("JFK", 0.0, 0.0, 30, None, None, None),
        ("JFK", -73.7789, 40.90981, 30, -73.7789, 40.9098, "as sent"),
        ("JFK", -73.7789, 40.91009, 30, None, None, None),
        ("BRW", -157.7, 71.3, 40, -157.7, 71.3, "as sent"),
        ("BRW", 71.3, -157.7, 40, -157.7, 71.3, "swapped"),
        ("SYA", 174.2, 52.7, 30, 174.2, 52.7, "as sent"),
        ("LCY", 0.06, 51.5, 30, 0.06, 51.5, "as sent"),
        ("LCY", -0.06, 51.5, 30, 0.06, 51.5, "sign"),
        ("LCY", 0.0, 51.5, 30, 0.0, 51.5, "as sent"),
        ("SLY", 66.4, 66.2, 50, 66.2, 66.4, "swapped"),
    ]:
        answer.same_rows(
            answer.call(
                "mend", [{"id": "P", "origin": origin, "x": x, "y": y}], airports, limit
            ),
            [{"id": "P", "lon": lon, "lat": lat, "reading": reading}],
            asked=f"the position x {x}, y {y} from {origin} at {airports[origin]}, with a limit of {limit} km",
        )
    mixed = [
        {"id": "A", "origin": "JFK", "x": 40.7, "y": -73.8},
        {"id": "B", "origin": "SYA", "x": 174.2, "y": 52.7},
        {"id": "C", "origin": "JFK", "x": 0.0, "y": 0.0},
    ]
    answer.same_rows(
        answer.call("mend", mixed, airports, 30),
        [
            {"id": "A", "lon": -73.8, "lat": 40.7, "reading": "swapped"},
            {"id": "B", "lon": 174.2, "lat": 52.7, "reading": "as sent"},
            {"id": "C", "lon": None, "lat": None, "reading": None},
        ],
        key=["id"],
        asked=f"three positions in one call, with a limit of 30 km: {mixed}",
    )

# %% role="hidden" exercise="axes"
with lab.check("axes", hidden=True) as answer:
    draw = answer.random
    back = Transformer.from_crs(4326, 3857, always_xy=True)
    airports, positions, expected = {}, [], []
    for number in range(24):
        lon, lat = draw.uniform(95, 170), draw.uniform(-60, 60)
        airports[f"A{number}"] = [lon, lat]
        lon, lat = lon + draw.uniform(-0.1, 0.1), lat + draw.uniform(-0.1, 0.1)
        reading = ["as sent", "swapped", "sign", "metres", None][number % 5]
        x, y = {
            "as sent": (lon, lat),
            "swapped": (lat, lon),
            "sign": (-lon, lat),
            "metres": back.transform(lon, lat),
            None: (lon + 5, lat),
        }[reading]
        positions.append({"id": f"P{number}", "origin": f"A{number}", "x": x, "y": y})
        expected.append(
            {
                "id": f"P{number}",
                "lon": round(lon, 4) if reading else None,
                "lat": round(lat, 4) if reading else None,
                "reading": reading,
            }
        )
    answer.same_rows(
        answer.call("mend", positions, airports, 50),
        expected,
        key=["id"],
        asked="24 positions of the eastern hemisphere, with a limit of 50 km",
    )

# %% [markdown] role="hint" exercise="axes"
# How far is each of the four readings from the airport? What does the geodesic give for a latitude of −157?

# %% [markdown] role="hint" exercise="axes"
# `GEOD.inv(lon1, lat1, lon2, lat2)` returns two directions and the metres; these are `nan` where there is no such place, and `nan <= 5` is false.
# `min(near, default=…)` of tuples compares their first items.

# %% [markdown] role="hint" exercise="axes"
# ```python
# to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
# rows = []
# for position in positions:
#     readings = [("as sent", x, y), ...]
#     near = []
#     for reading, lon, lat in readings:
#         _, _, metres = GEOD.inv(...)
#         if ...:
#             near.append((metres, ...))
#     ... = min(near, default=...)
#     rows.append(...)
# return rows
# ```


# %% role="right" exercise="axes"
def mend(positions, airports, limit):
    frame = gpd.GeoSeries.from_xy
    rows = []
    for position in positions:
        x, y, home = position["x"], position["y"], airports[position["origin"]]
        point = frame([x], [y], crs=3857).to_crs(4326)[0]
        best = {"id": position["id"], "lon": None, "lat": None, "reading": None}
        least = limit
        for reading, lon, lat in [
            ("as sent", x, y),
            ("swapped", y, x),
            ("sign", -x, y),
            ("metres", point.x, point.y),
        ]:
            if abs(lat) > 90 or abs(lon) > 180:
                continue
            away = GEOD.line_length([lon, home[0]], [lat, home[1]]) / 1000
            if away < least:
                least = away
                best |= {
                    "lon": round(lon, 4),
                    "lat": round(lat, 4),
                    "reading": reading,
                }
        rows.append(best)
    return rows


# %% [markdown] role="equivalent" exercise="axes" reason="4327 is WGS 84 with a height beside"
# - to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
# + to_degrees = Transformer.from_crs(3857, 4327, always_xy=True)


# %% [markdown] role="equivalent" exercise="axes" reason="No position lies at the very limit"
# - if metres <= limit * 1000:  # not a number where there is no such place
# + if metres < limit * 1000:  # not a number where there is no such place


# %% role="wrong" exercise="axes" misconception="Swapped axes show by a latitude above 90" caught="check" says="x 40.7, y -73.8"
def mend(positions, airports, limit):
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    rows = []
    for position in positions:
        lon, lat, reading = position["x"], position["y"], "as sent"
        if abs(lon) > 180:
            lon, lat = to_degrees.transform(lon, lat)
            reading = "metres"
        elif abs(lat) > 90:
            lon, lat, reading = lat, lon, "swapped"
        elif lon * airports[position["origin"]][0] < 0:
            lon, reading = -lon, "sign"
        _, _, metres = GEOD.inv(lon, lat, *airports[position["origin"]])
        row = {"id": position["id"], "lon": None, "lat": None, "reading": None}
        if metres <= limit * 1000:
            row |= {"lon": round(lon, 4), "lat": round(lat, 4), "reading": reading}
        rows.append(row)
    return rows


# %% role="wrong" exercise="axes" misconception="A degree is 111 km" caught="check" says="from BRW"
def mend(positions, airports, limit):
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    rows = []
    for position in positions:
        x, y = position["x"], position["y"]
        readings = [("as sent", x, y), ("swapped", y, x), ("sign", -x, y)]
        readings.append(("metres", *to_degrees.transform(x, y)))
        near = []
        for reading, lon, lat in readings:
            away = math.dist((lon, lat), airports[position["origin"]]) * 111
            if away <= limit:
                near.append((away, round(lon, 4), round(lat, 4), reading))
        _, lon, lat, reading = min(near, default=(None, None, None, None))
        rows.append({"id": position["id"], "lon": lon, "lat": lat, "reading": reading})
    return rows


# %% role="wrong" exercise="axes" misconception="A transformer gives x before y by itself" caught="check" says="x -8215440.0"
def mend(positions, airports, limit):
    to_degrees = Transformer.from_crs(3857, 4326)
    rows = []
    for position in positions:
        x, y = position["x"], position["y"]
        readings = [("as sent", x, y), ("swapped", y, x), ("sign", -x, y)]
        readings.append(("metres", *to_degrees.transform(x, y)))
        near = []
        for reading, lon, lat in readings:
            _, _, metres = GEOD.inv(lon, lat, *airports[position["origin"]])
            if metres <= limit * 1000:
                near.append((metres, round(lon, 4), round(lat, 4), reading))
        _, lon, lat, reading = min(near, default=(None, None, None, None))
        rows.append({"id": position["id"], "lon": lon, "lat": lat, "reading": reading})
    return rows


# %% role="wrong" exercise="axes" misconception="The nearest reading is right, however far" caught="check" says="x 0.0, y 0.0"
def mend(positions, airports, limit):
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    rows = []
    for position in positions:
        x, y = position["x"], position["y"]
        readings = [("as sent", x, y), ("swapped", y, x), ("sign", -x, y)]
        readings.append(("metres", *to_degrees.transform(x, y)))
        near = []
        for reading, lon, lat in readings:
            _, _, metres = GEOD.inv(lon, lat, *airports[position["origin"]])
            if not math.isnan(metres):
                near.append((metres, round(lon, 4), round(lat, 4), reading))
        _, lon, lat, reading = min(near)
        rows.append({"id": position["id"], "lon": lon, "lat": lat, "reading": reading})
    return rows


# %% role="wrong" exercise="axes" misconception="The first reading that fits is the best" caught="check" says="x -0.06"
def mend(positions, airports, limit):
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    rows = []
    for position in positions:
        x, y = position["x"], position["y"]
        readings = [("as sent", x, y), ("swapped", y, x), ("sign", -x, y)]
        readings.append(("metres", *to_degrees.transform(x, y)))
        row = {"id": position["id"], "lon": None, "lat": None, "reading": None}
        for reading, lon, lat in readings:
            _, _, metres = GEOD.inv(lon, lat, *airports[position["origin"]])
            if metres <= limit * 1000 and row["reading"] is None:
                row |= {"lon": round(lon, 4), "lat": round(lat, 4), "reading": reading}
        rows.append(row)
    return rows


# %% role="wrong" exercise="axes" misconception="The nearest in degrees is the nearest" caught="check" says="from SLY"
def mend(positions, airports, limit):
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    rows = []
    for position in positions:
        x, y, home = position["x"], position["y"], airports[position["origin"]]
        readings = [("as sent", x, y), ("swapped", y, x), ("sign", -x, y)]
        readings.append(("metres", *to_degrees.transform(x, y)))
        reading, lon, lat = min(readings, key=lambda r: math.dist(r[1:], home))
        _, _, metres = GEOD.inv(lon, lat, *home)
        row = {"id": position["id"], "lon": None, "lat": None, "reading": None}
        if metres <= limit * 1000:
            row |= {"lon": round(lon, 4), "lat": round(lat, 4), "reading": reading}
        rows.append(row)
    return rows


# %% role="wrong" exercise="axes" misconception="A sender errs in one way only" caught="check" says="three positions in one call"
def mend(positions, airports, limit):
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    read = {
        "as sent": lambda x, y: (x, y),
        "swapped": lambda x, y: (y, x),
        "sign": lambda x, y: (-x, y),
        "metres": to_degrees.transform,
    }

    def away(position, reading):
        place = read[reading](position["x"], position["y"])
        return GEOD.inv(*place, *airports[position["origin"]])[2]

    first = [(away(positions[0], reading), reading) for reading in read]
    _, reading = min(pair for pair in first if not math.isnan(pair[0]))
    rows = []
    for position in positions:
        row = {"id": position["id"], "lon": None, "lat": None, "reading": None}
        if away(position, reading) <= limit * 1000:
            lon, lat = read[reading](position["x"], position["y"])
            row |= {"lon": round(lon, 4), "lat": round(lat, 4), "reading": reading}
        rows.append(row)
    return rows


# %% [markdown]
# Now your answer reads the feed.

# %%
for row in mend(feed, PLACES, 30) or ["not started"]:
    print(row)

# %% [markdown] topics=["7.2-8.1", "7.2-10"]
# ## What a format keeps
#
# | Format | What it is | Mind |
# |---|---|---|
# | Shapefile | three to five files that belong together | names of 10 characters, texts of 254, files of 2 GB, one kind of shape; the CRS is in a file of its own, `.prj`, that gets lost |
# | GeoJSON | text | the standard (RFC 7946) knows only WGS 84 in degrees, longitude first |
# | GeoPackage | an SQLite file | many layers, an index inside; for exchange and editing |
# | GeoParquet | Parquet with shapes and the CRS | for tables that engines scan; not for editing |
#
# One table in the CRS 5070, written to each and read again. **Predict:** which formats lose something?


# %%
def back(frame, driver, name):
    """The frame after a trip through a file, and the warnings that the writer gave."""
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        path = Path(folder, name)
        if driver == "GeoParquet":
            frame.to_parquet(path)
            return gpd.read_parquet(path), said
        frame.to_file(path, driver=driver)
        return gpd.read_file(path), said


sent = gpd.GeoDataFrame(
    {
        "airport_name": ["Atlanta", "Öland"],
        "runway_length_m": pd.array([610, None], dtype="Int64"),
        "checked_at": pd.to_datetime(["2013-07-01 10:00Z", "2013-07-02 10:00Z"]),
    },
    geometry=gpd.points_from_xy([-84.4, -80.6], [33.6, 41.1]),
    crs=4326,
).to_crs(5070)
for driver, name in [
    ("ESRI Shapefile", "a.shp"),
    ("GeoJSON", "a.geojson"),
    ("GPKG", "a.gpkg"),
    ("GeoParquet", "a.parquet"),
]:
    got, said = back(sent, driver, name)
    kinds = {c: str(got[c].dtype) for c in got.columns[:-1]}
    print(f"{driver}: EPSG:{got.crs.to_epsg()}, {len(said)} warnings\n  {kinds}")

# %% [markdown]
# The Shapefile lost names and made a time into text. Read into pandas, only GeoParquet kept an integer with a null: the other files hold integers, and the reader made floats of them. And the GeoJSON? The writer put *metres* into it, with a member `crs`
# that the standard has abolished. This reader honours it. Others read degrees. Convert to 4326 before you write GeoJSON.
#
# `set_crs` *declares* what the numbers are; `to_crs` *converts* them. Declaring where you should convert moves each point by thousands of kilometres.
# On a frame that names a CRS already, `set_crs` raises an error; with `allow_override=True`, or where none is named, nothing warns.
#
# Shapes can be *invalid* too, such as a polygon whose border crosses itself. `shapely.make_valid` repairs most.

# %% [markdown] role="task" exercise="take-in" points=3 topics=["7.2-8.1", "7.2-10"]
# ### Take in a supplier's file
#
# Write `take_in(source, target, crs, names)`. `source` is the path of a Shapefile in a zip (`….shp.zip`), a GeoJSON or a GeoPackage. Write a GeoParquet file at `target`:
#
# - in EPSG:4326. A file that names no CRS is in `crs`, says the contract; but a GeoJSON without one is in WGS 84. Otherwise the file's own CRS is right.
# - with columns renamed by `names`, such as `{"runway_len": "runway_length_m"}`. Columns that are not in it keep their names; those of it that are not in the file are no error. There is no other column, an index neither.
# - without rows that have no shape (missing or empty)
# - with invalid shapes repaired
#
# Return a dictionary: `rows` (written), `dropped` and `repaired`.
#
# Example: three rows, one of them without shape, one a polygon that crosses itself: `{"rows": 2, "dropped": 1, "repaired": 1}`.
#
# Why: the next reader sees your file only.


# %% role="answer" exercise="take-in"
def take_in(source: str, target: str, crs: str, names: dict) -> dict:
    """A supplier's file as GeoParquet in EPSG:4326."""
    ### BEGIN SOLUTION
    frame = gpd.read_file(source)
    if frame.crs is None:
        frame = frame.set_crs(crs)
    lost = frame.geometry.isna() | frame.geometry.is_empty
    kept = frame[~lost].to_crs(4326).rename(columns=names)
    repaired = int((~kept.geometry.is_valid).sum())
    kept = kept.set_geometry(kept.geometry.make_valid())
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}
    ### END SOLUTION


# %% role="check" exercise="take-in"
with lab.check("take-in") as answer:
    bow = "POLYGON ((-74 40, -73 41, -73 40, -74 41, -74 40))"
    some = ["POINT (-74 40)", None, bow, "POINT (-73 42)", "POINT EMPTY"]
    for what, shapes, own, contract in [
        ("a Shapefile in EPSG:5070", ["POINT (-74 40)", "POINT (-75 41)"], 5070, 4326),
        ("a Shapefile without .prj, in EPSG:32618 by contract", [bow], None, 32618),
        ("a GeoJSON without crs", some, 4326, 3857),
        ("a GeoPackage in EPSG:32618", some, 32618, 3857),
    ]:
        frame = gpd.GeoDataFrame(
            {
                "runway_len": [10 + n for n in range(len(shapes))],
                "code": ["Å" * (n + 1) for n in range(len(shapes))],
            },
            geometry=gpd.GeoSeries.from_wkt(shapes),
            crs=4326,
        ).to_crs(own or contract)
        with tempfile.TemporaryDirectory() as place:
            if "GeoJSON" in what:
                name = "a.geojson"
                frame.to_file(f"{place}/{name}", driver="GeoJSON", RFC7946="YES")
                data = Path(place, name).read_bytes()
            elif "GeoPackage" in what:
                name = "a.gpkg"
                frame.to_file(f"{place}/{name}", driver="GPKG")
                data = Path(place, name).read_bytes()
            else:
                name, sink = "a.shp.zip", io.BytesIO()
                frame.to_file(f"{place}/a.shp", driver="ESRI Shapefile")
                with zipfile.ZipFile(sink, "w") as packed:
                    for file in sorted(Path(place).iterdir()):
                        if own or file.suffix != ".prj":
                            packed.write(file, file.name)
                data = sink.getvalue()
        target = f"{answer.folder()}/a.parquet"
        got = answer.call(
            "take_in",
            answer.put(name, data),
            target,
            f"EPSG:{contract}",
            {"runway_len": "runway_length_m", "elevation": "elevation_m"},
        )
        whole = [n for n, s in enumerate(shapes) if s and "EMPTY" not in s]
        answer.equal(
            got,
            {
                "rows": len(whole),
                "dropped": len(shapes) - len(whole),
                "repaired": shapes.count(bow),
            },
            asked=f"the numbers of {what} with the shapes {shapes}",
        )
        written = gpd.read_parquet(io.BytesIO(answer.read(target)))
        answer.true(
            written.crs is not None
            and written.crs.equals(4326, ignore_axis_order=True),
            asked=f"a file in EPSG:4326, from {what}",
            found=f"one in {written.crs and written.crs.to_string()}",
        )
        answer.true(
            bool(written.geometry.is_valid.all()),
            asked=f"valid shapes, from {what}",
            found="one that is not valid",
        )
        plain = answer.parquet(target).read().drop_columns([written.geometry.name])
        answer.same_rows(
            plain,
            [{"runway_length_m": 10 + n, "code": "Å" * (n + 1)} for n in whole],
            asked=f"the columns beside the shapes, from {what}",
        )
        # Two digits, as a repair before the conversion is as good as one after it.
        mended = shapely.make_valid(np.asarray(written.geometry))
        middle = shapely.centroid(mended)
        answer.same_rows(
            [
                {
                    "code": c,
                    "lon": round(m.x, 2),
                    "lat": round(m.y, 2),
                    "area": round(g.area, 2),
                }
                for c, m, g in zip(written["code"], middle, mended, strict=True)
            ],
            [
                {
                    "code": "Å" * (n + 1),
                    "lon": round(m.x, 2),
                    "lat": round(m.y, 2),
                    "area": round(g.area, 2),
                }
                for n in whole
                for g in [shapely.make_valid(shapely.from_wkt(shapes[n]))]
                for m in [g.centroid]
            ],
            key=["code"],
            asked=f"the middle and the area of each shape, in degrees, of {what} with the shapes {shapes}",
        )

# %% role="hidden" exercise="take-in"
with lab.check("take-in", hidden=True) as answer:
    draw = answer.random
    gone = draw.randrange(1, 5)
    lons = [draw.uniform(-78, -72) for _ in range(6)]
    lats = [draw.uniform(38, 44) for _ in range(6)]
    points = gpd.GeoSeries.from_xy(lons, lats, crs=4326)
    points[gone] = shapely.Point()
    for own, contract in [(32618, 2263), (None, 5070)]:
        frame = gpd.GeoDataFrame(
            {"nm": [*"abcdef"]}, geometry=points.to_crs(own or contract)
        )
        if not own:
            frame = frame.set_crs(None, allow_override=True)
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(place, "b.gpkg")
            frame.to_file(path, driver="GPKG")
            data = path.read_bytes()
        target = f"{answer.folder()}/b.parquet"
        answer.call(
            "take_in",
            answer.put("b.gpkg", data),
            target,
            f"EPSG:{contract}",
            {"nm": "name"},
        )
        written = gpd.read_parquet(io.BytesIO(answer.read(target)))
        answer.same_rows(
            [
                {"name": n, "lon": round(p.x, 4), "lat": round(p.y, 4)}
                for n, p in zip(written["name"], written.geometry, strict=True)
            ],
            [
                {"name": n, "lon": round(x, 4), "lat": round(y, 4)}
                for i, (n, x, y) in enumerate(zip("abcdef", lons, lats, strict=True))
                if i != gone
            ],
            key=["name"],
            asked="the points, without an empty one, of a GeoPackage "
            + ("in EPSG:32618" if own else "without a CRS, in EPSG:5070 by contract"),
        )

# %% [markdown] role="hint" exercise="take-in"
# When does the contract's CRS count? Which of the two methods declares, and which converts?

# %% [markdown] role="hint" exercise="take-in"
# `gpd.read_file(source)` reads all three, and `frame.crs` is `None` where the file names none. `frame.geometry` has `isna()`, `is_empty`, `is_valid` and `make_valid()`; `set_geometry` puts
# the repaired shapes in. `to_parquet` writes the index as a column unless you say `index=False`.

# %% [markdown] role="hint" exercise="take-in"
# ```python
# frame = gpd.read_file(source)
# if frame.crs is None:
#     frame = ...
# lost = ...
# kept = frame[~lost]...
# repaired = ...
# kept = kept.set_geometry(...)
# kept.to_parquet(target, index=False)
# return {...}
# ```


# %% role="right" exercise="take-in"
def take_in(source, target, crs, names):
    meta, table = pyogrio.read_arrow(source)
    shapes = table.column_names[-1]
    geometry = shapely.from_wkb(np.array(table[shapes].to_pylist(), dtype=object))
    rows = table.drop_columns([shapes]).to_pandas()
    whole = np.array([g is not None and not shapely.is_empty(g) for g in geometry])
    change = Transformer.from_crs(meta["crs"] or crs, 4326, always_xy=True)
    moved = [
        shapely.transform(g, change.transform, interleaved=False)
        for g in geometry[whole]
    ]
    ill = [not g.is_valid for g in moved]
    frame = gpd.GeoDataFrame(
        rows[whole].rename(columns=names).drop(columns="fid", errors="ignore"),
        geometry=[shapely.make_valid(g) for g in moved],
        crs=4326,
    )
    frame.to_parquet(target, index=False)
    return {
        "rows": len(frame),
        "dropped": len(rows) - len(frame),
        "repaired": sum(ill),
    }


# %% [markdown] role="equivalent" exercise="take-in" reason="A number of numpy is a number"
# - repaired = int((~kept.geometry.is_valid).sum())
# + repaired = ((~kept.geometry.is_valid).sum())

# %% [markdown] role="equivalent" exercise="take-in" reason="A number of numpy is a number"
# - return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}
# + return {"rows": len(kept), "dropped": (lost.sum()), "repaired": repaired}


# %% role="wrong" exercise="take-in" misconception="set_crs converts" caught="check" says="the middle and the area"
def take_in(source, target, crs, names):
    frame = gpd.read_file(source).set_crs(4326, allow_override=True)
    lost = frame.geometry.isna() | frame.geometry.is_empty
    kept = frame[~lost].rename(columns=names)
    repaired = int((~kept.geometry.is_valid).sum())
    kept = kept.set_geometry(kept.geometry.make_valid())
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}


# %% role="wrong" exercise="take-in" misconception="The contract's CRS is the CRS of every file" caught="check" says="the middle and the area"
def take_in(source, target, crs, names):
    frame = gpd.read_file(source).set_crs(crs, allow_override=True)
    lost = frame.geometry.isna() | frame.geometry.is_empty
    kept = frame[~lost].to_crs(4326).rename(columns=names)
    repaired = int((~kept.geometry.is_valid).sum())
    kept = kept.set_geometry(kept.geometry.make_valid())
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}


# %% role="wrong" exercise="take-in" misconception="Only the rows without shape need care" caught="check" says="valid shapes"
def take_in(source, target, crs, names):
    frame = gpd.read_file(source)
    if frame.crs is None:
        frame = frame.set_crs(crs)
    lost = frame.geometry.isna() | frame.geometry.is_empty
    kept = frame[~lost].to_crs(4326).rename(columns=names)
    repaired = int((~kept.geometry.is_valid).sum())
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}


# %% role="wrong" exercise="take-in" misconception="The names of a Shapefile are the names" caught="check" says="no column runway_length_m"
def take_in(source, target, crs, names):
    frame = gpd.read_file(source)
    if frame.crs is None:
        frame = frame.set_crs(crs)
    lost = frame.geometry.isna() | frame.geometry.is_empty
    kept = frame[~lost].to_crs(4326)
    repaired = int((~kept.geometry.is_valid).sum())
    kept = kept.set_geometry(kept.geometry.make_valid())
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}


# %% role="wrong" exercise="take-in" misconception="The system of the source may stay" caught="check" says="a file in EPSG:4326"
def take_in(source, target, crs, names):
    frame = gpd.read_file(source)
    if frame.crs is None:
        frame = frame.set_crs(crs)
    lost = frame.geometry.isna() | frame.geometry.is_empty
    kept = frame[~lost].rename(columns=names)
    repaired = int((~kept.geometry.is_valid).sum())
    kept = kept.set_geometry(kept.geometry.make_valid())
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}


# %% role="wrong" exercise="take-in" misconception="What has no shape is null" caught="check" says="the numbers of a GeoPackage"
def take_in(source, target, crs, names):
    frame = gpd.read_file(source)
    if frame.crs is None:
        frame = frame.set_crs(crs)
    lost = frame.geometry.isna()
    kept = frame[~lost].to_crs(4326).rename(columns=names)
    repaired = int((~kept.geometry.is_valid).sum())
    kept = kept.set_geometry(kept.geometry.make_valid())
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}


# %% role="wrong" exercise="take-in" misconception="Any valid shape is a repair" caught="check" says="the middle and the area"
def take_in(source, target, crs, names):
    frame = gpd.read_file(source)
    if frame.crs is None:
        frame = frame.set_crs(crs)
    lost = frame.geometry.isna() | frame.geometry.is_empty
    kept = frame[~lost].to_crs(4326).rename(columns=names)
    repaired = int((~kept.geometry.is_valid).sum())
    kept = kept.set_geometry(kept.geometry.convex_hull)
    kept.to_parquet(target, index=False)
    return {"rows": len(kept), "dropped": int(lost.sum()), "repaired": repaired}


# %% [markdown] topics=["7.2-8.2"]
# ## Nearest, on a sphere
#
# An aircraft over the Pacific asks for the nearest airports. Comparing it with each airport is *brute force*. A *spatial index* sorts positions into nested boxes
# or balls, so that most are never looked at.
#
# An index must know the shape of the Earth. `BallTree(…, metric="haversine")` measures on a sphere. It wants radians, **latitude first**, and gives distances in
# radii; the Earth's mean radius is 6371 km. `cKDTree` on degrees is as quick, and flat.
#
# **Predict:** which airports does the flat index find for an aircraft at 179.5° West, 52° North?

# %%
known = AIRPORTS[~AIRPORTS["faa"].isin(["EEN", "DVT", "MYF"])]  # the wrong ones
where = np.array([-179.5, 52.0])
_, flat = cKDTree(known[["lon", "lat"]]).query(where, k=3)
round_tree = BallTree(np.radians(known[["lat", "lon"]].to_numpy()), metric="haversine")
_, ball = round_tree.query(np.radians(where[::-1])[None], k=3)
for title, found in (("flat", flat), ("sphere", ball[0])):
    rows = known.iloc[found]
    print(title, [(a.faa, round(a.lon, 1), round(a.lat, 1)) for a in rows.itertuples()])

# %% [markdown]
# The flat index believes that SYA, on the other side of the 180th meridian, is a world away. Near the poles it is as wrong. Now the price, in distances that are computed for one question:

# %%
round_tree.reset_n_calls()
round_tree.query(np.radians(where[::-1])[None], k=3)
print("brute force:", len(known), "- with the index:", round_tree.get_n_calls())

# %% [markdown] role="task" exercise="nearest" points=2 topics=["7.2-8.2"]
# ### The nearest airports
#
# Write `nearest(points, airports, k)`. A point has `id`, `lon` and `lat`, an airport `faa`, `lon` and `lat`, in degrees. Neither list is empty.
#
# Return one dictionary for each point and each of its `k` nearest airports: `id`, `rank` (1 for the nearest), `faa` and `km` (on a sphere of radius 6371 km, rounded to one digit). With
# fewer than `k` airports, return them all. Judged are the rows, not how you find them.
#
# Example: from 0° East on the equator, an airport at 1° East on the equator is at 111.2 km.
#
# Why: an airport for an emergency is sought where maps end.


# %% role="answer" exercise="nearest"
def nearest(points: list[dict], airports: list[dict], k: int) -> list[dict]:
    """The k nearest airports of each point."""
    ### BEGIN SOLUTION
    radians = lambda rows: np.radians([[r["lat"], r["lon"]] for r in rows])  # noqa: E731
    tree = BallTree(radians(airports), metric="haversine")
    distances, found = tree.query(radians(points), k=min(k, len(airports)))
    rows = []
    for n, point in enumerate(points):
        for rank, number in enumerate(found[n], 1):
            km = round(distances[n, rank - 1] * 6371, 1)
            faa = airports[number]["faa"]
            rows.append({"id": point["id"], "rank": rank, "faa": faa, "km": km})
    return rows
    ### END SOLUTION


# %% role="check" exercise="nearest"
with lab.check("nearest") as answer:
    for place, (lon, lat), spots, k, expected in [
        (
            "on the equator",
            (0, 0),
            {"E": (1, 0), "N": (0, 3), "S": (1, -1)},
            2,
            ["E 111.2", "S 157.2"],
        ),
        (
            "at the 180th meridian",
            (-179.5, 52),
            {"W": (-176.6, 51.9), "E": (179.3, 52), "F": (174.1, 52.7)},
            3,
            ["E 82.1", "W 199.0", "F 441.5"],
        ),
        (
            "near the pole",
            (10, 89),
            {"A": (-170, 89.5), "B": (12, 84), "C": (100, 88)},
            5,
            ["A 166.8", "C 248.6", "B 556.1"],
        ),
        (
            "with nine of them east of it",
            (-179.5, 52),
            {f"W{n}": (n - 170, 52) for n in range(9)} | {"E": (179.3, 52)},
            1,
            ["E 82.1"],
        ),
    ]:
        rows = [{"faa": f, "lon": x, "lat": y} for f, (x, y) in spots.items()]
        answer.same_rows(
            answer.call("nearest", [{"id": "P", "lon": lon, "lat": lat}], rows, k),
            [
                {"id": "P", "rank": n, "faa": e.split()[0], "km": float(e.split()[1])}
                for n, e in enumerate(expected, 1)
            ],
            key=["rank"],
            asked=f"the {k} nearest of {spots} {place}, from lon {lon}, lat {lat}",
        )
    two = [{"id": "P", "lon": 0, "lat": 0}, {"id": "Q", "lon": 0, "lat": 2}]
    rows = [{"faa": "E", "lon": 1, "lat": 0}, {"faa": "N", "lon": 0, "lat": 3}]
    answer.same_rows(
        answer.call("nearest", two, rows, 1),
        [
            {"id": "P", "rank": 1, "faa": "E", "km": 111.2},
            {"id": "Q", "rank": 1, "faa": "N", "km": 111.2},
        ],
        key=["id", "rank"],
        asked=f"the nearest of {rows} for two points: {two}",
    )

# %% role="hidden" exercise="nearest"
with lab.check("nearest", hidden=True) as answer:
    draw = answer.random
    spots = [
        {"faa": f"A{n}", "lon": draw.uniform(-180, 180), "lat": draw.uniform(-90, 90)}
        for n in range(60)
    ]
    points = [
        {"id": f"P{n}", "lon": draw.uniform(-180, 180), "lat": draw.uniform(-90, 90)}
        for n in range(12)
    ]

    def apart(a, b):
        x, y, u, v = map(math.radians, (a["lon"], a["lat"], b["lon"], b["lat"]))
        h = math.sin((v - y) / 2) ** 2
        h += math.cos(y) * math.cos(v) * math.sin((u - x) / 2) ** 2
        return 2 * 6371 * math.asin(math.sqrt(h))

    expected = [
        {"id": p["id"], "rank": n, "faa": s["faa"], "km": round(apart(p, s), 1)}
        for p in points
        for n, s in enumerate(sorted(spots, key=lambda s: apart(p, s))[:4], 1)
    ]
    answer.same_rows(
        answer.call("nearest", points, spots, 4),
        expected,
        key=["id", "rank"],
        asked="the four nearest of 60 places all over the world, for 12 points",
    )

# %% [markdown] role="hint" exercise="nearest"
# In which order, and in which unit, does the tree want a position? What does its distance of 1 mean?

# %% [markdown] role="hint" exercise="nearest"
# The demonstration builds the tree. `query` returns two arrays with a row for each point: distances and numbers of airports, the nearest first. It refuses a `k` above
# the number of airports.

# %% [markdown] role="hint" exercise="nearest"
# ```python
# tree = BallTree(np.radians([[...] for a in airports]), metric="haversine")
# distances, found = tree.query(np.radians([...]), k=...)
# rows = []
# for n, point in enumerate(points):
#     for rank, number in enumerate(found[n], 1):
#         rows.append(...)
# return rows
# ```


# %% role="right" exercise="nearest"
def nearest(points, airports, k):
    def on_sphere(rows):
        lon, lat = np.radians([[r["lon"], r["lat"]] for r in rows]).T
        return np.column_stack(
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
        )

    tree = cKDTree(on_sphere(airports))
    chords, found = tree.query(on_sphere(points), k=range(1, min(k, len(airports)) + 1))
    kms = 2 * 6371 * np.arcsin(chords / 2)
    return pd.DataFrame(
        [
            {"id": p["id"], "rank": n + 1, "faa": airports[i]["faa"], "km": round(d, 1)}
            for p, ds, where in zip(points, kms.tolist(), found, strict=True)
            for n, (d, i) in enumerate(zip(ds, where, strict=True))
        ]
    )


# %% [markdown] role="equivalent" exercise="nearest" reason="The smaller of two is the same in either order"
# - distances, found = tree.query(radians(points), k=min(k, len(airports)))
# + distances, found = tree.query(radians(points), k=min(len(airports), k))


# %% role="wrong" exercise="nearest" misconception="Near in degrees is near" caught="check" says="180th meridian"
def nearest(points, airports, k):
    tree = cKDTree([[a["lon"], a["lat"]] for a in airports])
    rows = []
    for point in points:
        k = min(k, len(airports))
        _, found = tree.query([point["lon"], point["lat"]], k=range(1, k + 1))
        for rank, number in enumerate(found, 1):
            a = airports[number]
            y, v = math.radians(point["lat"]), math.radians(a["lat"])
            x = math.radians(a["lon"] - point["lon"])
            h = math.sin((v - y) / 2) ** 2
            h += math.cos(y) * math.cos(v) * math.sin(x / 2) ** 2
            km = round(2 * 6371 * math.asin(math.sqrt(h)), 1)
            rows.append({"id": point["id"], "rank": rank, "faa": a["faa"], "km": km})
    return rows


# %% role="wrong" exercise="nearest" misconception="haversine takes longitude first" caught="check" says="in the row with rank 1"
def nearest(points, airports, k):
    radians = lambda rows: np.radians([[r["lon"], r["lat"]] for r in rows])  # noqa: E731
    tree = BallTree(radians(airports), metric="haversine")
    distances, found = tree.query(radians(points), k=min(k, len(airports)))
    return [
        {
            "id": point["id"],
            "rank": rank,
            "faa": airports[number]["faa"],
            "km": round(float(distance) * 6371, 1),
        }
        for point, ds, numbers in zip(points, distances, found, strict=True)
        for rank, (distance, number) in enumerate(zip(ds, numbers, strict=True), 1)
    ]


# %% role="wrong" exercise="nearest" misconception="haversine takes degrees" caught="check" says="on the equator"
def nearest(points, airports, k):
    plain = lambda rows: [[r["lat"], r["lon"]] for r in rows]  # noqa: E731
    tree = BallTree(plain(airports), metric="haversine")
    distances, found = tree.query(plain(points), k=min(k, len(airports)))
    return [
        {
            "id": point["id"],
            "rank": rank,
            "faa": airports[number]["faa"],
            "km": round(float(distance) * 6371, 1),
        }
        for point, ds, numbers in zip(points, distances, found, strict=True)
        for rank, (distance, number) in enumerate(zip(ds, numbers, strict=True), 1)
    ]


# %% role="wrong" exercise="nearest" misconception="Web Mercator has metres, so its distances are right" caught="check" says="column km holds"
def nearest(points, airports, k):
    change = Transformer.from_crs(4326, 3857, always_xy=True).transform
    tree = cKDTree([change(a["lon"], a["lat"]) for a in airports])
    rows = []
    for point in points:
        count = min(k, len(airports))
        metres, found = tree.query(
            change(point["lon"], point["lat"]), k=range(1, count + 1)
        )
        for rank, (m, number) in enumerate(zip(metres, found, strict=True), 1):
            rows.append(
                {
                    "id": point["id"],
                    "rank": rank,
                    "faa": airports[number]["faa"],
                    "km": round(float(m) / 1000 / 6378.137 * 6371, 1),
                }
            )
    return rows


# %% role="wrong" exercise="nearest" misconception="The nearest is among the nearest in degrees" caught="check" says="with nine of them east of it"
def nearest(points, airports, k):
    flat = cKDTree([[a["lon"], a["lat"]] for a in airports])
    rows = []
    for point in points:
        many = min(3 * k, len(airports))
        _, found = flat.query([point["lon"], point["lat"]], k=range(1, many + 1))
        some = [airports[n] for n in found]
        tree = BallTree(
            np.radians([[a["lat"], a["lon"]] for a in some]), metric="haversine"
        )
        where = np.radians([[point["lat"], point["lon"]]])
        distances, found = tree.query(where, k=min(k, len(some)))
        for rank, (d, n) in enumerate(zip(distances[0], found[0], strict=True), 1):
            km = round(float(d) * 6371, 1)
            rows.append(
                {"id": point["id"], "rank": rank, "faa": some[n]["faa"], "km": km}
            )
    return rows


# %% role="wrong" exercise="nearest" misconception="A query answers for one point" caught="check" says="two points"
def nearest(points, airports, k):
    radians = lambda rows: np.radians([[r["lat"], r["lon"]] for r in rows])  # noqa: E731
    tree = BallTree(radians(airports), metric="haversine")
    distances, found = tree.query(radians(points), k=min(k, len(airports)))
    return [
        {
            "id": point["id"],
            "rank": rank,
            "faa": airports[number]["faa"],
            "km": round(float(distance) * 6371, 1),
        }
        for point in points
        for rank, (distance, number) in enumerate(
            zip(distances[0], found[0], strict=True), 1
        )
    ]


# %% [markdown] topics=["7.2-8.2", "7.2-8.3"]
# ## Points in areas: filter, then refine
#
# Which airports lie in an area with a storm warning? A *spatial join* answers in two steps. The *filter* compares boxes: an index such as `STRtree` does it without looking at all
# pairs. The *refinement* asks an exact *predicate* of the pairs that are left.
#
# The areas here are invented: fields of 10 by 5 degrees over the United States, cut along their diagonals.
#
# **Predict:** two triangles share each box. How many pairs pass the filter for each that is true?

# %%
areas = []
for west in range(-130, -60, 10):
    for south in range(20, 50, 5):
        a, b = (west, south), (west + 10, south + 5)
        areas += [
            shapely.Polygon([a, (b[0], a[1]), b]),
            shapely.Polygon([a, b, (a[0], b[1])]),
        ]
tree = shapely.STRtree(areas)
points = shapely.points(known[["lon", "lat"]].to_numpy())
print("all pairs:", len(points) * len(areas))
print("after the filter:", tree.query(points).shape[1])
print("within:", tree.query(points, predicate="within").shape[1])

# %% [markdown]
# Databases do the same: PostGIS, and DuckDB with its extension `spatial` (`INSTALL spatial; LOAD spatial`). An extension fits one version of DuckDB only, so a separate DuckDB, 1.5.5, runs here.
#
# **Predict:** for a join, which of the two steps does the database take first, and who builds the tree?

# %%
db = database.client()
wkb = pd.DataFrame({"shape": [area.wkb for area in areas]})
spots = pd.DataFrame({"spot": [point.wkb for point in points]})
db.sql(
    """CREATE OR REPLACE TABLE area AS SELECT ST_GeomFromWKB(shape) AS shape FROM wkb;
    CREATE OR REPLACE TABLE place AS SELECT ST_GeomFromWKB(spot) AS spot FROM spots""",
    wkb=wkb,
    spots=spots,
)
join = "SELECT count(*) AS pairs FROM place JOIN area ON "
print("after the filter:", db.sql(join + "ST_Intersects_Extent(spot, shape)").pairs[0])
print("within:", db.sql(join + "ST_Within(spot, shape)").pairs[0])


def operators(query: str) -> list[str]:
    """The steps of a plan that read or join, last step first."""
    plan = db.sql("EXPLAIN " + query).iloc[0, 1]
    return re.findall(r"\w*(?:JOIN|SCAN)\b", plan)


print("join:  ", operators(join + "ST_Within(spot, shape)"))
window = (
    "SELECT * FROM area WHERE ST_Intersects(shape, ST_MakeEnvelope(-80, 40, -79, 41))"
)
print("search:", operators(window))
db.sql("CREATE INDEX boxes ON area USING RTREE (shape)")
print("search:", operators(window), "with an index")

# %% [markdown]
# `SPATIAL_JOIN` builds an *R-tree*, a tree of boxes, for this one query. For searches you keep one with `CREATE INDEX`.
#
# And axes bite again. `ST_Distance_Spheroid` measures in metres, and by default expects latitude first. From New York (JFK) to Atlanta (ATL):

# %%
(lon1, lat1), (lon2, lat2) = PLACES["JFK"], PLACES["ATL"]
metres = "SELECT ST_Distance_Spheroid(ST_Point({}, {}), ST_Point({}, {})) AS m"
for title, order in (
    ("longitude first", (lon1, lat1, lon2, lat2)),
    ("latitude first", (lat1, lon1, lat2, lon2)),
):
    print(title, round(db.sql(metres.format(*order)).m[0] / 1000), "km")
print("pyproj", round(GEOD.inv(lon1, lat1, lon2, lat2)[2] / 1000), "km")

# %% [markdown]
# Longitude first is short by two in a hundred, and nothing warns. `SET geometry_always_xy = true;` before the query, in the same call, puts longitude first.

# %% [markdown]
# A point *on* a border is not `within`; it does `intersect`, and with two areas at once.

# %%
edge = shapely.Point(-100, 32)
for predicate in ("within", "intersects"):
    print(
        predicate,
        "- areas of a point on a border:",
        len(tree.query(edge, predicate=predicate)),
    )

# %% [markdown] role="task" exercise="zones" points=3 topics=["7.2-8.2", "7.2-8.3"]
# ### Each airport once
#
# Write `zones(airports, areas)`. An airport has `faa`, `lon` and `lat`. `areas` gives the shape of each area as text (WKT): `{"north": "POLYGON ((0 0, 4 0, 4 4, 0 0))"}`. Areas may have holes.
#
# Return a dictionary for each airport: `faa` and `zone`, the name of the area in which it lies, or on whose border. Where there are several, take the first name in the order of `sorted`; where there is
# none, `None`. Neither `airports` nor `areas` is empty.
#
# Build a tree for the areas, and ask it once for all airports.
#
# Example: an airport on the border that "east" and "west" share is in "east".
#
# Why: an airport that is counted twice, or lost, makes every total a little wrong.


# %% role="answer" exercise="zones"
def zones(airports: list[dict], areas: dict) -> list[dict]:
    """The area of each airport."""
    ### BEGIN SOLUTION
    names = sorted(areas)
    tree = shapely.STRtree(shapely.from_wkt([areas[name] for name in names]))
    points = shapely.points([[a["lon"], a["lat"]] for a in airports])
    first = {}
    for point, area in tree.query(points, predicate="intersects").T:
        first[point] = min(area, first.get(point, area))
    return [
        {"faa": a["faa"], "zone": names[first[n]] if n in first else None}
        for n, a in enumerate(airports)
    ]
    ### END SOLUTION


# %% role="check" exercise="zones"
with lab.check("zones") as answer:
    shapes = {
        "west": "POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 3 1, 3 3, 1 3, 1 1))",
        "east": "POLYGON ((4 0, 8 0, 8 4, 4 4, 4 0))",
        "cape": "POLYGON ((8 0, 12 0, 8 4, 8 0))",
        "isle": "POLYGON ((1.5 1.5, 2.5 1.5, 2.5 2.5, 1.5 2.5, 1.5 1.5))",
    }
    spots = [
        ("IN", 0.5, 2, "west"),
        ("HOLE", 1.2, 2, None),
        ("ISLE", 2, 2, "isle"),
        ("RIM", 3, 2, "west"),
        ("SHARED", 4, 3, "east"),
        ("THREE", 8, 4, "cape"),
        ("BOX", 11, 3, None),
        ("FAR", 40, 2, None),
        ("EAST", 6, 2, "east"),
    ]
    answer.same_rows(
        answer.call(
            "zones", [{"faa": f, "lon": x, "lat": y} for f, x, y, _ in spots], shapes
        ),
        [{"faa": f, "zone": zone} for f, _, _, zone in spots],
        key=["faa"],
        asked=f"the zones of {[s[:3] for s in spots]} in {shapes}",
    )
    # Of so many areas, the tree gives neither the first name first nor last.
    fan = {}
    for n in range(12):
        x = (5 * n + 6) % 12
        fan[f"s{n:02}"] = f"POLYGON ((0 0, {x} 9, {x + 1} 9, 0 0))"
    answer.same_rows(
        answer.call("zones", [{"faa": "HUB", "lon": 0, "lat": 0}], fan),
        [{"faa": "HUB", "zone": "s00"}],
        key=["faa"],
        asked=f"the zone of an airport at 0, 0, where these 12 areas meet: {fan}",
    )

# %% role="hidden" exercise="zones"
with lab.check("zones", hidden=True) as answer:
    draw = answer.random
    names = [f"Z{n:02}" for n in range(25)]
    draw.shuffle(names)
    cells = {(n // 5, n % 5): name for n, name in enumerate(names)}
    areas = {
        name: f"POLYGON (({x} {y}, {x + 1} {y}, {x + 1} {y + 1}, {x} {y + 1}, {x} {y}))"
        for (x, y), name in cells.items()
    }
    spots, expected = [], []
    for n in range(60):
        x, y = draw.randrange(-2, 13) / 2, draw.randrange(-2, 13) / 2
        touched = [
            name
            for (u, v), name in cells.items()
            if u <= x <= u + 1 and v <= y <= v + 1
        ]
        spots.append({"faa": f"A{n}", "lon": x, "lat": y})
        expected.append({"faa": f"A{n}", "zone": min(touched, default=None)})
    answer.same_rows(
        answer.call("zones", spots, areas),
        expected,
        key=["faa"],
        asked="the zones of 60 airports, many of them on borders and corners of 25 squares",
    )

# %% [markdown] role="hint" exercise="zones"
# Which predicate finds a point on a border? What do you do when it finds two areas?

# %% [markdown] role="hint" exercise="zones"
# `shapely.from_wkt` and `shapely.points` take lists. `tree.query(points, predicate=…)` returns two rows of numbers, of points and of areas; `.T` makes pairs. If the areas are in
# the order of their names, the smallest number is the first name.

# %% [markdown] role="hint" exercise="zones"
# ```python
# names = sorted(areas)
# tree = shapely.STRtree(shapely.from_wkt([...]))
# points = shapely.points([...])
# first = {}
# for point, area in tree.query(points, predicate=...).T:
#     first[point] = min(...)
# return [{"faa": ..., "zone": ...} for n, a in enumerate(airports)]
# ```


# %% role="right" exercise="zones"
def zones(airports, areas):
    frame = pd.DataFrame(airports)
    points = gpd.GeoDataFrame(
        frame[["faa"]], geometry=gpd.points_from_xy(frame["lon"], frame["lat"])
    )
    shapes = gpd.GeoDataFrame(
        {"zone": list(areas)}, geometry=gpd.GeoSeries.from_wkt(list(areas.values()))
    )
    joined = points.sjoin(shapes, how="left", predicate="intersects")
    joined = joined.sort_values("zone").drop_duplicates("faa")
    return [
        {"faa": r.faa, "zone": None if pd.isna(r.zone) else r.zone}
        for r in joined.itertuples()
    ]


# %% [markdown] role="equivalent" exercise="zones" reason="The smaller of two is the same in either order"
# - first[point] = min(area, first.get(point, area))
# + first[point] = min(first.get(point, area), area)


# %% role="wrong" exercise="zones" misconception="A point on the border is within" caught="check" says="faa 'RIM'"
def zones(airports, areas):
    names = sorted(areas)
    tree = shapely.STRtree(shapely.from_wkt([areas[name] for name in names]))
    points = shapely.points([[a["lon"], a["lat"]] for a in airports])
    first = dict(tree.query(points, predicate="within").T.tolist())
    return [
        {"faa": a["faa"], "zone": names[first[n]] if n in first else None}
        for n, a in enumerate(airports)
    ]


# %% role="wrong" exercise="zones" misconception="A join gives each point one row" caught="check" says="in the row with faa 'SHARED'"
def zones(airports, areas):
    frame = pd.DataFrame(airports)
    points = gpd.GeoDataFrame(
        frame[["faa"]], geometry=gpd.points_from_xy(frame["lon"], frame["lat"])
    )
    shapes = gpd.GeoDataFrame(
        {"zone": list(areas)}, geometry=gpd.GeoSeries.from_wkt(list(areas.values()))
    )
    joined = points.sjoin(shapes, how="left", predicate="intersects")
    return [
        {"faa": r.faa, "zone": None if pd.isna(r.zone) else r.zone}
        for r in joined.itertuples()
    ]


# %% role="wrong" exercise="zones" misconception="The index has the answer" caught="check" says="in the row with faa"
def zones(airports, areas):
    names = sorted(areas)
    tree = shapely.STRtree(shapely.from_wkt([areas[name] for name in names]))
    points = shapely.points([[a["lon"], a["lat"]] for a in airports])
    first = {}
    for point, area in tree.query(points).T.tolist():
        first[point] = min(area, first.get(point, area))
    return [
        {"faa": a["faa"], "zone": names[first[n]] if n in first else None}
        for n, a in enumerate(airports)
    ]


# %% role="wrong" exercise="zones" misconception="What is in no area needs no row" caught="check" says="row(s) missing"
def zones(airports, areas):
    names = sorted(areas)
    tree = shapely.STRtree(shapely.from_wkt([areas[name] for name in names]))
    points = shapely.points([[a["lon"], a["lat"]] for a in airports])
    first = {}
    for point, area in tree.query(points, predicate="intersects").T.tolist():
        first[point] = min(area, first.get(point, area))
    return [{"faa": airports[n]["faa"], "zone": names[z]} for n, z in first.items()]


# %% role="wrong" exercise="zones" misconception="Any of the areas will do" caught="check" says="in the row with faa"
def zones(airports, areas):
    shapes = {name: shapely.from_wkt(text) for name, text in areas.items()}
    rows = []
    for a in airports:
        point = shapely.Point(a["lon"], a["lat"])
        hits = [name for name, shape in shapes.items() if shape.intersects(point)]
        rows.append({"faa": a["faa"], "zone": hits[0] if hits else None})
    return rows


# %% role="wrong" exercise="zones" misconception="The tree gives the areas in the order of their names" caught="check" says="in the row with faa"
def zones(airports, areas):
    names = sorted(areas)
    tree = shapely.STRtree(shapely.from_wkt([areas[name] for name in names]))
    points = shapely.points([[a["lon"], a["lat"]] for a in airports])
    first = {}
    for point, area in tree.query(points, predicate="intersects").T.tolist():
        first.setdefault(point, area)
    return [
        {"faa": a["faa"], "zone": names[first[n]] if n in first else None}
        for n, a in enumerate(airports)
    ]


# %% role="wrong" exercise="zones" misconception="The last area that the tree gives is the first by name" caught="check" says="where these 12 areas meet"
def zones(airports, areas):
    names = sorted(areas)
    tree = shapely.STRtree(shapely.from_wkt([areas[name] for name in names]))
    points = shapely.points([[a["lon"], a["lat"]] for a in airports])
    first = {}
    for point, area in tree.query(points, predicate="intersects").T.tolist():
        first[point] = area
    return [
        {"faa": a["faa"], "zone": names[first[n]] if n in first else None}
        for n, a in enumerate(airports)
    ]


# %% [markdown] topics=["7.2-8", "7.2-8.3"]
# ## Rasters: values without points
#
# A *raster* is a grid of values, such as heights, with a CRS and an *affine transform*: six numbers that turn column and row into x and y. Rows count downwards, so its
# step in y is negative. A value such as −9999 stands for *no data*.
#
# This one has cells of 10 km in EPSG:5070. The heights are those of the airports; between them they are invented.

# %%
to_albers = Transformer.from_crs(4326, 5070, always_xy=True)
near = known[known["lon"].between(-125, -66) & known["lat"].between(24, 50)]
x, y = to_albers.transform(near["lon"].to_numpy(), near["lat"].to_numpy())
TRANSFORM = rasterio.transform.from_origin(-2_450_000, 3_250_000, 10_000, 10_000)
grid = np.array(np.meshgrid(np.arange(480) + 0.5, np.arange(320) + 0.5))
heights = np.full((320, 480), -9999, dtype="int16")
away, who = cKDTree(np.column_stack([x, y])).query(np.array(TRANSFORM * grid).T)
land = (away < 120_000).T
heights[land] = (near["alt"].to_numpy()[who.T] * 0.3048).round()[land]
WORK = tempfile.TemporaryDirectory()
RASTER = f"{WORK.name}/heights.tif"
with rasterio.open(
    RASTER, "w", driver="GTiff", width=480, height=320, count=1, dtype="int16",
    crs="EPSG:5070", transform=TRANSFORM, nodata=-9999, compress="deflate",
) as file:  # fmt: skip
    file.write(heights, 1)

# %%
figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
image = axes.imshow(np.ma.masked_equal(heights, -9999), cmap="cividis")
figure.colorbar(image, label="height, m")
axes.set(xlabel="column", ylabel="row")
picture(
    figure,
    alt="A raster of heights in the shape of the United States: high in the Rocky Mountains at columns 100 to 200, low in the east and on the coasts; the sea, and land far from any airport, is empty.",
)

# %% [markdown]
# Denver lies at about 1,650 m. **Predict:** its longitude and latitude are put into the raster's transform as they are. What comes out?

# %%
with rasterio.open(RASTER) as file:
    lon, lat = PLACES["DEN"]
    print("row and column of the degrees:", [int(v) for v in file.index(lon, lat)])
    print(
        "row and column of the metres:",
        [int(v) for v in file.index(*to_albers.transform(lon, lat))],
    )
    print(
        "height at the second:",
        int(heights[file.index(*to_albers.transform(lon, lat))]),
    )

# %% [markdown]
# The degrees are taken for metres: a point in row 324 of 320, and no error.

# %% [markdown] role="task" exercise="sample" points=2 topics=["7.2-8", "7.2-8.3"]
# ### Heights at points
#
# Write `sample(path, points)`. `path` is a raster file with one band and a CRS of its own. `points` is a list of `[lon, lat]` in EPSG:4326.
#
# Return a list with the number in the cell in which each point lies, fractions kept, or `None` where the point is outside or the cell has no data. The file may declare any value as no data, or none.
#
# Example: for the raster above, the point `[-160, 21]` (Hawaii) gives `None`.
#
# Why: −9999 is a fine number for a mean.


# %% role="answer" exercise="sample"
def sample(path: str, points: list) -> list:
    """The raster's value at each point."""
    ### BEGIN SOLUTION
    with rasterio.open(path) as file:
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
        places = [change.transform(lon, lat) for lon, lat in points]
        values = [value[0] for value in file.sample(places, masked=True)]
    return [None if value is np.ma.masked else value.item() for value in values]
    ### END SOLUTION


# %% role="check" exercise="sample"
with lab.check("sample") as answer:
    numbers = np.arange(10, 22, dtype="int16").reshape(3, 4)
    numbers[1, 2] = -9999
    around = [(0.1, 0.9), (0.9, 0.1), (1.9, 2.9), (2.5, 1.5), (3.6, 0.4), (-0.3, 1.5), (1.5, -0.3), (4.1, 1), (1.5, 3.2)]  # fmt: skip
    held = [10, 10, 19, None, 13, None, None, None, None]
    other = np.array([[-86, 0, 5], [255, -9999, 7]], dtype="int32")
    fine = np.array([[1.5, 2], [3, 0]], dtype="float32")
    for cells, empty, epsg, west, north, size, spots, expected in [
        (numbers, -9999, 32618, 500_000, 4_500_000, 1000, around, held),
        (numbers, -9999, 4326, -75, 41, 0.5, around, held),
        (other, 255, 4326, -75, 41, 0.5,
         [(0.5, 0.5), (1.5, 0.5), (2.5, 0.5), (0.5, 1.5), (1.5, 1.5), (2.5, 1.5), (9, 9)],
         [-86, 0, 5, None, -9999, 7, None]),
        (fine, None, 4326, -75, 41, 0.5,
         [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5), (9, 9)], [1.5, 2, 3, 0, None]),
    ]:  # fmt: skip
        high, wide = cells.shape
        with rasterio.MemoryFile() as memory:
            with memory.open(
                driver="GTiff", width=wide, height=high, count=1, dtype=cells.dtype, nodata=empty,
                crs=f"EPSG:{epsg}",
                transform=rasterio.transform.from_origin(west, north, size, size),
            ) as file:  # fmt: skip
                file.write(cells, 1)
            data = memory.read()
        degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
        asked_at = [
            [
                round(float(v), 6)
                for v in degrees.transform(west + c * size, north - r * size)
            ]
            for c, r in spots
        ]
        said = (
            f"the values at {asked_at} of a grid of {high} rows and {wide} columns in EPSG:{epsg}, with the "
            f"corner at {west}, {north}, cells of {size} and no data as {empty}: {cells.tolist()}"
        )
        got = answer.call("sample", answer.put("grid.tif", data), asked_at)
        answer.equal(got, expected, asked=said)
        answer.true(
            all(v is None or v == v for v in got),
            asked=f"None, not NaN, where there is no data, of {said}",
            found=f"{got}",
        )

# %% role="hidden" exercise="sample"
with lab.check("sample", hidden=True) as answer:
    draw = answer.random
    empty = draw.choice([255, 0])
    cells = np.array(
        [
            [draw.choice([empty, draw.randrange(1, 255)]) for _ in range(9)]
            for _ in range(6)
        ],
        dtype="uint8",
    )
    shape = rasterio.transform.from_origin(600_000, 250_000, 2000, 3000)
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=9, height=6, count=1, dtype="uint8", nodata=empty,
            crs="EPSG:32633", transform=shape,
        ) as file:  # fmt: skip
            file.write(cells, 1)
        data = memory.read()
    degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    points, expected = [], []
    for _ in range(60):
        column, row = draw.randrange(-1, 10), draw.randrange(-1, 7)
        x, y = shape * (column + draw.uniform(0.1, 0.9), row + draw.uniform(0.1, 0.9))
        points.append([float(v) for v in degrees.transform(x, y)])
        inside = 0 <= column < 9 and 0 <= row < 6
        value = int(cells[row, column]) if inside else empty
        expected.append(None if value == empty else value)
    answer.equal(
        answer.call("sample", answer.put("grid.tif", data), points),
        expected,
        asked="60 points in and around a raster in EPSG:32633 of 9 columns and 6 rows",
    )

# %% [markdown] role="hint" exercise="sample"
# In which CRS are the points, and in which is the raster? How does the file say that a cell is empty?

# %% [markdown] role="hint" exercise="sample"
# `file.crs` goes into `Transformer.from_crs`. `file.sample(places, masked=True)` gives an array with one value for each `(x, y)`; it is `np.ma.masked` where there is no data,
# outside too. Or compute with `file.index(x, y)`, `file.read(1)` and `file.nodata`, and mind negative numbers.

# %% [markdown] role="hint" exercise="sample"
# ```python
# with rasterio.open(path) as file:
#     change = Transformer.from_crs(..., ..., always_xy=True)
#     places = [...]
#     values = [value[0] for value in file.sample(...)]
# return [None if ... else value.item() for value in values]
# ```


# %% role="right" exercise="sample"
def sample(path, points):
    with rasterio.open(path) as file:
        band, nodata, inverse = file.read(1), file.nodata, ~file.transform
        change = Transformer.from_crs("EPSG:4326", file.crs, always_xy=True)
    result = []
    for lon, lat in points:
        column, row = map(math.floor, inverse * change.transform(lon, lat))
        inside = 0 <= row < band.shape[0] and 0 <= column < band.shape[1]
        value = band[row, column].item() if inside else nodata
        result.append(None if value == nodata else value)
    return result


# %% [markdown] role="equivalent" exercise="sample" reason="4327 is WGS 84 with a height beside"
# - change = Transformer.from_crs(4326, file.crs, always_xy=True)
# + change = Transformer.from_crs(4327, file.crs, always_xy=True)


# %% [markdown] role="equivalent" exercise="sample" reason="With one band the first is the last"
# - values = [value[0] for value in file.sample(places, masked=True)]
# + values = [value[(-1)] for value in file.sample(places, masked=True)]


# %% [markdown] role="equivalent" exercise="sample" reason="A number of numpy is a number"
# - return [None if value is np.ma.masked else value.item() for value in values]
# + return [None if value is np.ma.masked else value for value in values]


# %% role="wrong" exercise="sample" misconception="The raster knows what degrees are" caught="check" says="EPSG:32618"
def sample(path, points):
    with rasterio.open(path) as file:
        values = [value[0] for value in file.sample(points, masked=True)]
    return [None if value is np.ma.masked else value.item() for value in values]


# %% role="wrong" exercise="sample" misconception="No data is a value" caught="check" says="-9999"
def sample(path, points):
    with rasterio.open(path) as file:
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
        places = [change.transform(lon, lat) for lon, lat in points]
        return [value[0].item() for value in file.sample(places)]


# %% role="wrong" exercise="sample" misconception="A negative index fails by itself" caught="check" says="EPSG:32618"
def sample(path, points):
    with rasterio.open(path) as file:
        band, nodata = file.read(1), file.nodata
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
        result = []
        for lon, lat in points:
            try:
                value = band[file.index(*change.transform(lon, lat))].item()
            except IndexError:
                value = nodata
            result.append(None if value == nodata else value)
    return result


# %% role="wrong" exercise="sample" misconception="The cell is the rounded position" caught="check" says="EPSG:32618"
def sample(path, points):
    with rasterio.open(path) as file:
        band, nodata, inverse = file.read(1), file.nodata, ~file.transform
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
    result = []
    for lon, lat in points:
        column, row = map(round, inverse * change.transform(lon, lat))
        inside = 0 <= row < band.shape[0] and 0 <= column < band.shape[1]
        value = band[row, column].item() if inside else nodata
        result.append(None if value == nodata else value)
    return result


# %% role="wrong" exercise="sample" misconception="No data is what is below 0" caught="check" says="no data as 255"
def sample(path, points):
    with rasterio.open(path) as file:
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
        places = [change.transform(lon, lat) for lon, lat in points]
        values = [value[0] for value in file.sample(places, masked=True)]
    return [
        None if value is np.ma.masked or value < 0 else value.item() for value in values
    ]


# %% role="wrong" exercise="sample" misconception="What is empty counts as false" caught="check" says="no data as 255"
def sample(path, points):
    with rasterio.open(path) as file:
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
        places = [change.transform(lon, lat) for lon, lat in points]
        values = [value[0] for value in file.sample(places, masked=True)]
    return [None if value is np.ma.masked else value.item() or None for value in values]


# %% role="wrong" exercise="sample" misconception="NaN is None" caught="check" says="None, not NaN"
def sample(path, points):
    with rasterio.open(path) as file:
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
        places = [change.transform(lon, lat) for lon, lat in points]
        values = [value[0] for value in file.sample(places, masked=True)]
    return [float("nan") if v is np.ma.masked else v.item() for v in values]


# %% role="wrong" exercise="sample" misconception="A cell holds a whole number" caught="check" says="no data as None"
def sample(path, points):
    with rasterio.open(path) as file:
        change = Transformer.from_crs(4326, file.crs, always_xy=True)
        places = [change.transform(lon, lat) for lon, lat in points]
        values = [value[0] for value in file.sample(places, masked=True)]
    return [None if value is np.ma.masked else int(value) for value in values]


# %% [markdown] topics=["7.2-8.3", "7.2-8.1", "7.2-10"]
# ## All together: routes on a map
#
# The shortest way from Los Angeles to Tokyo passes south of the Aleutians and over the 180th meridian. A map library that gets this line as points draws a stroke through the whole world,
# from one edge to the other. RFC 7946 says: cut the line there. Both parts end *on* the meridian, one at 180°, one at −180°, at the same latitude.
#
# `GEOD.npts(lon1, lat1, lon2, lat2, n)` gives `n` points (at least one) on the way, without its ends, evenly spaced.

# %%
FAR = {"NRT": (140.386, 35.765), "SYD": (151.177, -33.946)}
way = GEOD.npts(*PLACES["LAX"], *FAR["NRT"], 9)
print([(round(lon), round(lat)) for lon, lat in way])

# %% [markdown] role="task" exercise="routes" points=3 topics=["7.2-8.3", "7.2-8.1", "7.2-10"]
# ### Routes as GeoJSON
#
# Write `routes(pairs, places, step)`. `pairs` is a list of `[origin, dest]`; `places` gives `[lon, lat]` for each code.
#
# Return a GeoJSON `FeatureCollection`: a dictionary with `type` and `features`. Each feature, in the order of the pairs, has `"type": "Feature"` and
#
# - `properties`: `origin`, `dest` and `km`, the geodesic length on WGS 84, rounded to a whole number
# - `geometry`: a `LineString` along the geodesic from origin to destination, its points at most `step` km apart. If it crosses the 180th meridian, a `MultiLineString` of two parts, cut there. The latitude of the cut lies on the
#   straight line between the two neighbouring points.
#
# Example: of the neighbours `(179, 10)` and `(-178, 13)`, the first part ends with `(180, 11)`, and the second begins with `(-180, 11)`.
#
# Why: each map, tile server and mobile app that reads your file expects this.


# %% role="answer" exercise="routes"
def routes(pairs: list, places: dict, step: float) -> dict:
    """Geodesics between pairs of airports, cut at the 180th meridian."""
    ### BEGIN SOLUTION
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step)), end]
        parts = [[start]]
        for (x, y), (u, v) in pairwise(line):
            if abs(u - x) > 180:
                edge = math.copysign(180, x)
                cut = y + (v - y) * (edge - x) / (u + 2 * edge - x)
                parts[-1].append((edge, cut))
                parts.append([(-edge, cut)])
            parts[-1].append((u, v))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}
    ### END SOLUTION


# %% role="check" exercise="routes"
with lab.check("routes") as answer:
    places = {
        "JFK": [-73.7789, 40.6398],
        "LAX": [-118.4081, 33.9425],
        "NRT": [140.386, 35.765],
        "SYD": [151.177, -33.946],
        "EWR": [-74.169, 40.692],
    }
    pairs = [["JFK", "LAX"], ["LAX", "NRT"], ["SYD", "LAX"], ["EWR", "JFK"]]
    kms = [3983, 8773, 12051, 33]
    step = 90
    got = answer.call("routes", pairs, places, step)
    answer.equal(got["type"], "FeatureCollection", asked="the type of the whole")
    answer.equal(
        [feature["type"] for feature in got["features"]],
        ["Feature"] * 4,
        asked=f"the type of each feature of {pairs}",
    )
    answer.equal(
        [feature["properties"] for feature in got["features"]],
        [
            {"origin": a, "dest": b, "km": km}
            for (a, b), km in zip(pairs, kms, strict=True)
        ],
        asked=f"the properties of {pairs} in {places}",
    )
    for feature, (origin, dest), km in zip(got["features"], pairs, kms, strict=True):
        said = f"{origin}-{dest} of {places}, with a step of {step} km"
        shape = feature["geometry"]
        answer.equal(
            shape["type"],
            "LineString" if "JFK" in (origin, dest) else "MultiLineString",
            asked=f"the kind of geometry of {said}",
        )
        lines = shape["coordinates"]
        if shape["type"] == "LineString":
            lines = [lines]
        answer.equal(
            len(lines),
            1 if "JFK" in (origin, dest) else 2,
            asked=f"the number of parts of {said}",
        )
        ends = [[float(v) for v in lines[0][0]], [float(v) for v in lines[-1][-1]]]
        answer.equal(
            ends,
            [places[origin], places[dest]],
            asked=f"first and last point of {said}",
        )
        for one, two in pairwise(lines):
            cut = [one[-1][0], two[0][0]]
            answer.equal(
                cut,
                [180, -180] if origin == "SYD" else [-180, 180],
                asked=f"the longitudes at the cut of {said}",
            )
            (x, y), (u, v) = one[-2], two[1]
            before, after = 180 - abs(x), 180 - abs(u)
            cut = round(y + (v - y) * before / (before + after), 5)
            answer.equal(
                [round(one[-1][1], 5), round(two[0][1], 5)],
                [cut, cut],
                asked=f"the latitudes at the cut of {said}",
            )
        gaps = [GEOD.inv(*a, *b)[2] / 1000 for line in lines for a, b in pairwise(line)]
        answer.true(
            max(gaps) <= step * 1.001,
            asked=f"points at most {step} km apart, {said}",
            found=f"two that are {max(gaps):.1f} km apart",
        )
        answer.true(
            abs(sum(gaps) - km) < 1.5,
            asked=f"a line as long as the geodesic, {said}",
            found=f"one of {sum(gaps):.0f} km",
        )

# %% role="hidden" exercise="routes"
with lab.check("routes", hidden=True) as answer:
    draw = answer.random
    pairs, places = [], {}
    for number in range(8):
        west = draw.random() < 0.5
        a = [draw.uniform(160, 179.9), draw.uniform(-60, 60)]
        b = [draw.uniform(-179.9, -150), draw.uniform(-60, 60)]
        if number % 4 == 3:
            b[0] = draw.uniform(120, 150)
        places |= {f"A{number}": b if west else a, f"B{number}": a if west else b}
        pairs.append([f"A{number}", f"B{number}"])
    got = answer.call("routes", pairs, places, 250)
    for feature, (origin, dest) in zip(got["features"], pairs, strict=True):
        shape = feature["geometry"]
        start, end = places[origin][0], places[dest][0]
        crosses, edge = start * end < 0, math.copysign(180, start)
        answer.equal(
            shape["type"],
            "MultiLineString" if crosses else "LineString",
            asked="the kind of geometry of a route in the Pacific",
        )
        lines = shape["coordinates"] if crosses else [shape["coordinates"]]
        answer.equal(
            [[float(line[n][0]) for n in (0, -1)] for line in lines],
            [[start, edge], [-edge, end]] if crosses else [[start, end]],
            asked="the first and last longitude of each part of a route in the Pacific",
        )
        km = GEOD.inv(*places[origin], *places[dest])[2] / 1000
        total = sum(
            GEOD.inv(*a, *b)[2] / 1000 for line in lines for a, b in pairwise(line)
        )
        answer.true(
            abs(total - km) < max(2, km / 500),
            asked="lines as long as the geodesic, in the Pacific",
            found=f"one of {total:.0f} km",
        )

# %% [markdown] role="hint" exercise="routes"
# How do you see, from two neighbouring points, that the line between them crosses the 180th meridian? On which side does it begin?

# %% [markdown] role="hint" exercise="routes"
# The difference of the two longitudes is more than 180. `math.copysign(180, x)` is 180 or −180, on the side of `x`. Add twice that to the other longitude, and both lie on one line of numbers.

# %% [markdown] role="hint" exercise="routes"
# ```python
# line = [start, *GEOD.npts(*start, *end, ...), end]
# parts = [[start]]
# for (x, y), (u, v) in pairwise(line):
#     if abs(u - x) > 180:
#         edge = math.copysign(180, x)
#         cut = y + (v - y) * ...
#         ...  # ends one part, begins another
#     parts[-1].append((u, v))
# ```


# %% role="right" exercise="routes"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        (x, y), (u, v) = places[origin], places[dest]
        _, _, metres = GEOD.inv(x, y, u, v)
        way = GEOD.npts(x, y, u, v, int(metres / 1000 / step) + 1)
        lons = np.degrees(np.unwrap(np.radians([x, *(p[0] for p in way), u])))
        lats = [y, *(p[1] for p in way), v]
        line = list(zip(lons.tolist(), lats, strict=True))
        side = 180 if x > 0 else -180
        beyond = [abs(lon) > 180 for lon in lons]
        shape = {
            "type": "LineString",
            "coordinates": [(x, y), *way, (u, v)],
        }
        if any(beyond):
            n = beyond.index(True)
            cut = float(
                np.interp(180, np.abs(lons[n - 1 : n + 1]), lats[n - 1 : n + 1])
            )
            back = [(lon - 2 * side, lat) for lon, lat in line[n:-1]]
            shape = {
                "type": "MultiLineString",
                "coordinates": [
                    [(x, y), *line[1:n], (side, cut)],
                    [(-side, cut), *back, (u, v)],
                ],
            }
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "origin": origin,
                    "dest": dest,
                    "km": round(metres / 1000),
                },
                "geometry": shape,
            }
        )
    return {"type": "FeatureCollection", "features": features}


# %% [markdown] role="equivalent" exercise="routes" reason="Neighbours differ by a few degrees, or by nearly 360"
# - if abs(u - x) > 180:
# + if abs(u - x) >= 180:

# %% [markdown] role="equivalent" exercise="routes" reason="Neighbours differ by a few degrees, or by nearly 360"
# - if abs(u - x) > 180:
# + if abs(u - x) > 181:

# %% [markdown] role="equivalent" exercise="routes" reason="Neighbours differ by a few degrees, or by nearly 360"
# - if abs(u - x) > 180:
# + if abs(u - x) > (179):


# %% [markdown] role="equivalent" exercise="routes" reason="A shortest way crosses the meridian at most once"
# - parts[-1].append((edge, cut))
# + parts[-(0)].append((edge, cut))


# %% [markdown] role="equivalent" exercise="routes" reason="The only part is first and last"
# - shape = {"type": "LineString", "coordinates": parts[0]}
# + shape = {"type": "LineString", "coordinates": parts[(-1)]}


# %% role="wrong" exercise="routes" misconception="A line is a line" caught="check" says="the kind of geometry of LAX-NRT"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step)), end]
        shape = {"type": "LineString", "coordinates": line}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="It is enough to begin a new part" caught="check" says="longitudes at the cut"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step)), end]
        parts = [[start]]
        for (x, _), (u, v) in pairwise(line):
            if abs(u - x) > 180:
                parts.append([])
            parts[-1].append((u, v))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="The kind of geometry makes the cut" caught="check" says="the number of parts of LAX-NRT"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step)), end]
        shape = {"type": "LineString", "coordinates": line}
        if abs(end[0] - start[0]) > 180:
            shape = {"type": "MultiLineString", "coordinates": [line]}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="A straight line on the map is the shortest way" caught="check" says="a line as long as the geodesic"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        n = math.ceil(2 * km / step)
        far = end[0] + 360 * round((start[0] - end[0]) / 360)
        line = list(
            zip(
                np.linspace(start[0], far, n + 2).tolist(),
                np.linspace(start[1], end[1], n + 2).tolist(),
                strict=True,
            )
        )
        line = [((x + 180) % 360 - 180, y) for x, y in line[1:-1]]
        parts = [[start]]
        for (x, y), (u, v) in pairwise([start, *line, end]):
            if abs(u - x) > 180:
                edge = math.copysign(180, x)
                cut = y + (v - y) * (edge - x) / (u + 2 * edge - x)
                parts[-1].append((edge, cut))
                parts.append([(-edge, cut)])
            parts[-1].append((u, v))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="GeoJSON has latitude first, as people say it" caught="check" says="first and last point of JFK-LAX"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step)), end]
        parts = [[(start[1], start[0])]]
        for (x, y), (u, v) in pairwise(line):
            if abs(u - x) > 180:
                edge = math.copysign(180, x)
                cut = y + (v - y) * (edge - x) / (u + 2 * edge - x)
                parts[-1].append((cut, edge))
                parts.append([(cut, -edge)])
            parts[-1].append((v, u))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="The Earth is a sphere, to the kilometre" caught="check" says="the properties of"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = Geod(a=6371000, b=6371000).inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step) + 1), end]
        parts = [[start]]
        for (x, y), (u, v) in pairwise(line):
            if abs(u - x) > 180:
                edge = math.copysign(180, x)
                cut = y + (v - y) * (edge - x) / (u + 2 * edge - x)
                parts[-1].append((edge, cut))
                parts.append([(-edge, cut)])
            parts[-1].append((u, v))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="Rounded places are good enough for a map" caught="check" says="first and last point of JFK-LAX"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step)), end]
        line = [(round(x, 3), round(y, 3)) for x, y in line]
        parts = [[line[0]]]
        for (x, y), (u, v) in pairwise(line):
            if abs(u - x) > 180:
                edge = math.copysign(180, x)
                cut = y + (v - y) * (edge - x) / (u + 2 * edge - x)
                parts[-1].append((edge, cut))
                parts.append([(-edge, cut)])
            parts[-1].append((u, v))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="Twenty points are enough for any line" caught="check" says="points at most 90 km apart"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, 20), end]
        parts = [[start]]
        for (x, y), (u, v) in pairwise(line):
            if abs(u - x) > 180:
                edge = math.copysign(180, x)
                cut = y + (v - y) * (edge - x) / (u + 2 * edge - x)
                parts[-1].append((edge, cut))
                parts.append([(-edge, cut)])
            parts[-1].append((u, v))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% role="wrong" exercise="routes" misconception="The cut lies half way between its neighbours" caught="check" says="latitudes at the cut"
def routes(pairs, places, step):
    features = []
    for origin, dest in pairs:
        start, end = places[origin], places[dest]
        km = GEOD.inv(*start, *end)[2] / 1000
        line = [start, *GEOD.npts(*start, *end, math.ceil(km / step)), end]
        parts = [[start]]
        for (x, y), (u, v) in pairwise(line):
            if abs(u - x) > 180:
                edge = math.copysign(180, x)
                cut = (y + v) / 2
                parts[-1].append((edge, cut))
                parts.append([(-edge, cut)])
            parts[-1].append((u, v))
        shape = {"type": "LineString", "coordinates": parts[0]}
        if len(parts) > 1:
            shape = {"type": "MultiLineString", "coordinates": parts}
        named = {"origin": origin, "dest": dest, "km": round(km)}
        features.append({"type": "Feature", "properties": named, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


# %% [markdown]
# Your routes. Uncut, the two to Tokyo and from Sydney would cross the whole picture.

# %%
PAIRS = [["JFK", d] for d in ("ANC", "HNL", "LAX", "MIA")] + [
    ["LAX", "NRT"],
    ["SYD", "LAX"],
]
drawn = routes(PAIRS, PLACES | FAR, 100) or {"features": []}
figure, axes = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
axes.plot(known["lon"], known["lat"], ".", markersize=1.5, color="silver")
for number, feature in enumerate(drawn["features"]):
    shape = feature["geometry"]
    lines = shape["coordinates"]
    for line in lines if shape["type"] == "MultiLineString" else [lines]:
        axes.plot(*np.transpose(line), color=f"C{number}", linewidth=1.2)
for code in sorted({code for pair in PAIRS for code in pair}):
    place = (PLACES | FAR)[code]
    axes.annotate(code, place, xytext=(4, -9), textcoords="offset points", fontsize=8)
axes.set(xlabel="longitude, °", ylabel="latitude, °", xlim=(-180, 180), ylim=(-50, 80))
picture(
    figure,
    alt="Six curved routes over a map of airports; those from Los Angeles to Tokyo and from Sydney leave the map at one edge and come back at the other.",
)

# %% [markdown]
# The same as an interactive map: drag, zoom, point at a route. folium writes a web page; your browser loads Leaflet, which draws it, and the tiles behind from the network.

# %% tags=["nbval-ignore-output"]
page = folium.Figure(height=360)  # else its height follows the width of the window
world = folium.Map([30, -120], zoom_start=2).add_to(page)
if drawn["features"]:
    labels = folium.GeoJsonTooltip(["origin", "dest", "km"])
    folium.GeoJson(drawn, tooltip=labels).add_to(world)
page

# %% [markdown]
# ## What you can do now
#
# | You can | Because |
# |---|---|
# | trust a position | it agrees with a second source, in metres |
# | take in a file | its CRS is declared where it is missing, then converted |
# | find neighbours | the index measures on a sphere |
# | join points with areas | filter by box, refine by predicate, borders by rule |
# | read a raster | points go into its CRS, no data comes out as `None` |
# | publish routes | WGS 84, longitude first, cut at the 180th meridian |
#
# New words: *CRS*, *EPSG*, *geodesic*, *spatial index*, *spatial join*, *predicate*, *raster*, *affine transform*, *no data*.
#
# To read on: RFC 7946 (GeoJSON); the GeoParquet specification; geopandas' user guide, *Projections*.

# %%
WORK.cleanup()
database.stop()
lab.close()
