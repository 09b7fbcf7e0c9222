"""METAR text from the real weather table, one report a line.

Wind in knots and tens of degrees, visibility in statute miles, temperatures in whole degrees
Celsius with M for minus, altimeter in hundredths of inches of mercury; the remarks repeat
pressure, precipitation and temperatures more exactly, as US reports do.
"""

from math import copysign, floor
from pathlib import Path
from typing import Any

from data.build.catalogue import Resource
from data.build.tables import RawTable

MPH_PER_KNOT = 1.15078
HPA_PER_INCH = 33.8639
# The published visibility has two decimals; METAR reports sixteenths.
FRACTIONS = {0.06: "1/16", 0.12: "1/8", 0.25: "1/4", 0.5: "1/2", 0.75: "3/4"}


def build(resource: Resource, out: Path, raw: RawTable) -> None:
    """Write one report for each weather row, in the order of hour and airport."""
    weather = raw("weather-raw").sort_by([("time_hour", "ascending"), ("origin", "ascending")])
    out.write_bytes("".join(f"{_report(row)}\n" for row in weather.to_pylist()).encode())


def _report(row: dict[str, Any]) -> str:
    remarks = ["RMK AO2", _sea_level(row["pressure"]), _rain(row["precip"]), _tenths(row)]
    groups = [
        f"K{row['origin']} {row['time_hour']:%d%H}51Z",
        _wind(row),
        f"{_miles(row['visib'])}SM",
        _whole_degrees(row),
        _altimeter(row["pressure"]),
        *remarks,
    ]
    return " ".join(group for group in groups if group)


def _rounded(value: float) -> int:
    # Half away from zero, not to even.
    return int(copysign(floor(abs(value) + 0.5), value))


def _wind(row: dict[str, Any]) -> str:
    if row["wind_speed"] is None:
        return "/////KT"
    speed = _rounded(row["wind_speed"] / MPH_PER_KNOT)
    if speed == 0:
        return "00000KT"
    if row["wind_dir"] is not None:
        direction = f"{row['wind_dir']:03d}"
    else:
        # A weak wind without direction is reported as variable; a stronger one is a gap.
        direction = "VRB" if speed <= 6 else "///"
    gust = "" if row["wind_gust"] is None else f"G{_rounded(row['wind_gust'] / MPH_PER_KNOT):02d}"
    return f"{direction}{speed:02d}{gust}KT"


def _miles(visibility: float) -> str:
    whole, part = int(visibility), visibility % 1
    fraction = FRACTIONS[round(part, 2)] if part else ""
    return f"{whole} {fraction}".strip() if whole or not fraction else fraction


def _celsius(fahrenheit: float) -> float:
    # To tenths first: the published degrees Fahrenheit come from tenths of degrees Celsius.
    return round((fahrenheit - 32) / 1.8, 1)


def _whole_degrees(row: dict[str, Any]) -> str:
    if row["temp"] is None:
        return ""
    return "/".join(_signed(_celsius(row[name])) for name in ("temp", "dewp"))


def _signed(celsius: float) -> str:
    # Halves go up, so M00 means below zero and still nearest to it.
    return f"{'M' if celsius < 0 else ''}{abs(floor(celsius + 0.5)):02d}"


def _altimeter(pressure: float | None) -> str:
    return "" if pressure is None else f"A{_rounded(pressure / HPA_PER_INCH * 100):04d}"


def _sea_level(pressure: float | None) -> str:
    return "SLPNO" if pressure is None else f"SLP{_rounded(pressure * 10) % 1000:03d}"


def _rain(inches: float) -> str:
    return f"P{_rounded(inches * 100):04d}" if inches else ""


def _tenths(row: dict[str, Any]) -> str:
    if row["temp"] is None:
        return ""
    tenths = [_rounded(_celsius(row[name]) * 10) for name in ("temp", "dewp")]
    return "T" + "".join(f"{int(value < 0)}{abs(value):03d}" for value in tenths)
