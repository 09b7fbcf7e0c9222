# %% [markdown] minutes=60 datasets=["flights-day-parquet", "airports", "planes"] systems=[]
# # Scraping
#
# A board lists two flights of Endeavor Air, and both vanish on the way into the table, without an error. You read without
# guessing, keep only what you may, and notice when pages change.

# %% [markdown]
# ## You will be able to
#
# - read tables, and refuse what can be read in two ways (exercise 1)
# - keep what you may, and prove where it came from (exercise 2)
# - notice that a site has a new design (exercise 3)
# - run a whole night (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | the lab *Crawling* | robots.txt, spiders of Scrapy |
# | the lab *APIs* | status codes |
# | Python: regular expressions, dictionaries | exercise 1 |
#
# The web sites are *models*: small servers in this notebook, with real HTTP, real flights of one day,
# and invented gates and people. Scrapy 2.19, Protego, parsel and pandas are the real ones.
#
# Scrapy starts only once in a process, so `crawl(spider, **settings)` gives each spider its own. Pauses are
# 1,000 times as short there. Between a task and its answer may stand a small function, through which the check calls yours.

# %% role="setup"
import hashlib
import io
import re
from datetime import UTC, date, datetime, timedelta
from tempfile import TemporaryDirectory
from urllib.parse import urljoin, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import pandas as pd
import requests
import scrapy
from parsel import Selector
from protego import Protego

from labkit import open_lab
from labkit.web.crawl import crawl, reports
from labkit.web.site import (
    Airport,
    open_site,
    redesign,
    request_log,
    serve,
    time_passes,
)

lab = open_lab("04-1-ingestion/06-scraping")
print(serve())
lab

# %% [markdown] topics=["4.1-7"]
# ## The crawler so far
#
# From the lab before you know who may fetch what, and a spider that comes home. They are given here, a little shorter.

# %%
AGENT = "delay-watch/1.0 (+https://airline.example/bot)"


def permission(status, text, agent, urls):
    """Which addresses an agent may fetch, and how slowly."""
    if status is None or status >= 500:
        return {"may": [], "delay": 1}
    rules = Protego.parse(text if status < 400 else "")
    may = [url for url in urls if rules.can_fetch(url, agent)]
    return {"may": may, "delay": max(1, rules.crawl_delay(agent) or 1)}


def as_page(response):
    """What we keep of an answer: where it came from, when, and what it was."""
    headers = response.headers.to_unicode_dict()
    return {
        "url": response.url,
        "fetched_at": datetime.now(UTC),
        "headers": {name.lower(): value for name, value in headers.items()},
        "html": response.text,
    }


# %%
def spider(url):
    """A class of spider that visits each board and each aircraft of a site once."""

    class Visitor(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = {  # noqa: RUF012
            "USER_AGENT": AGENT,
            "ROBOTSTXT_OBEY": True,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        }
        seen = frozenset()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text in self.seen or "No flights." in text:
                return
            self.seen = self.seen | {text}
            if response.url != f"{url}/":
                yield as_page(response)
            for link in response.css("a::attr(href)").getall():
                parts = urlsplit(urljoin(response.url, link))
                if parts.path.startswith(("/arrivals/", "/aircraft/")):
                    query = re.sub("&?sid=[^&]*", "", parts.query)
                    address = urlunsplit(parts._replace(query=query, fragment=""))
                    yield response.follow(address, self.parse)

    return Visitor


url = open_site()
pages = crawl(spider(url))["items"]
print(len(pages), "pages, for example", urlsplit(min(p["url"] for p in pages)).path)

# %% [markdown] topics=["4.1-7"]
# ## Tables
#
# `pd.read_html` finds each table of a page, repairs tags, and writes a cell with `rowspan` into each row
# that it covers. Then it guesses types.
#
# **Predict:** a board has two flights of Endeavor Air, 9E3404 and 9E41, at gates 07 and 12. What does
# pandas make of them?

# %%
small = """<table><tr><th>Flight<th>Gate
<tr><td>9E3404<td>07
<tr><td>9E41<td>12</table>"""
print(pd.read_html(io.StringIO(small))[0])

# %% [markdown]
# `9E3404` is a number with an exponent, too large for a float. Both flights are lost, and nothing failed. So
# read text, and make values of it by rules that fit the *whole* cell. What fits no rule is refused; a person
# looks at it.
#
# Three teams made our boards:

# %%
HEADINGS = {
    "flight": ("Flight", "Flight no.", "No."),
    "origin": ("From", "Origin"),
    "due": ("Scheduled", "Due"),
    "delay": ("Delay", "Late by"),
    "km": ("Distance",),
    "gate": ("Gate",),
}
TEXT = {name: str for names in HEADINGS.values() for name in names}


def tables(html):
    """The tables of a page as lists of rows, dictionaries by heading; our cells are text."""
    try:
        page = io.StringIO(html)
        options = {"header": 0, "converters": TEXT, "keep_default_na": False}
        frames = pd.read_html(page, flavor="lxml", **options)
    except ValueError:  # no table
        return []
    found = [frame.fillna("").to_dict("records") for frame in frames]
    return [table for table in found if table]


for concourse in "ABC":
    for table in tables(requests.get(f"{url}/arrivals/{concourse}", timeout=10).text):
        print(table[0])

# %% [markdown] role="task" exercise="board" points=3 topics=["4.1-7"]
# ### A board without a guess
#
# Write `board(html)` for the text of a page. It returns a dictionary with the lists `rows` and `refused`. Use
# `tables` or anything else. A board is a table with one of the `HEADINGS` for `flight`; leave out other
# tables, and columns that have no key.
#
# | Key | Cells | Value |
# |---|---|---|
# | `flight`, `origin`, `gate` | `9E3404`, `JFK`, `A7` | text |
# | `due` | `2013-11-03 08:24` or `3 Nov 2013, 08:24` | datetime in the zone of the attribute `data-zone` |
# | `delay` | `-7 min`; `1:05` or `-0:07` (hours, minutes); `on time` is 0 | minutes |
# | `km` | `1,400 mi` or `2,253 km`; a mile is 1.609344 km | whole kilometres, rounded |
#
# An empty cell, `–` or `n/a` is `None`, and so is a column that is not there. If any cell fits none of these
# forms, the flight's text goes into `refused`, and no row into `rows`. An hour that comes twice means the
# first; thousands have a comma; boards have `data-zone`.
#
# Why: `03/11/2013` is November or March, `2.253 km` is near or far. A wrong value costs more than none.


# %%
def boards(seed, flights, odd):
    """What your function reads on all boards of an airport."""
    airport, found = Airport(seed, flights, odd), {"rows": [], "refused": []}
    for concourse in "ABC":
        for part, _ in enumerate(airport.parts(concourse), 1):
            got = board(airport.page(concourse, part))
            found["rows"] += got["rows"]
            found["refused"] += got["refused"]
    return found


# %% role="answer" exercise="board"
def board(html: str) -> dict[str, list]:
    """The rows of a page's boards, and the flights that cannot be read for certain."""
    ### BEGIN SOLUTION
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"(\d{1,3}(?:,\d{3})*) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {
                    key: None if text in ("", "–", "n/a") else read.get(key, str)(text)
                    for key, text in cells.items()
                }
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}
    ### END SOLUTION


# %% role="check" exercise="board"
with lab.check("board") as answer:
    html = """<table><tr><td>Wind</td></tr><tr><td>12 kt</td></tr></table>
    <p data-zone="America/Chicago">
    <table><tr><th>From<th>No.<th>Agent<th>Due<th>Late by<th>Distance</tr>
    <tr><td rowspan="4">LGA<td>9E3404<td>Mei<td>3 Nov 2013, 08:24<td>-0:07<td>2,253 km</tr>
    <tr><td>9E41<td>Ana<td>2013-11-03 18:05<td>12:05<td>733 mi</tr>
    <tr><td>9E50<td>Ana<td>03/11/2013 09:00<td>5 min<td>1,180 km</tr>
    <tr><td>9E61<td>Mei<td>2013-11-03 09:00<td>on time<td>n/a</tr></table>
    <table><tr><td>Flight<td>Gate<td>Distance<td>Delay</tr>
    <tr><td>9E7<td>07<td>1,400 mi<td>95 min</tr>
    <tr><td>9E8<td>E12<td>2.253 km<td>-3 min</tr><tr><td>9E9<td>–<td>999 km<td>12</tr></table>"""

    def at(hour, minute):
        return datetime(2013, 11, 3, hour, minute, tzinfo=ZoneInfo("America/Chicago"))

    names = ["flight", "origin", "due", "delay", "km", "gate"]
    values = [
        ("9E3404", "LGA", at(8, 24), -7, 2253, None),
        ("9E41", "LGA", at(18, 5), 725, 1180, None),
        ("9E61", "LGA", at(9, 0), 0, None, None),
        ("9E7", None, None, 95, 2253, "07"),
    ]
    found = answer.call("board", html)
    answer.same_rows(
        found["rows"],
        [dict(zip(names, row, strict=True)) for row in values],
        asked="the rows of the page in this check",
        key=["flight"],
    )
    answer.equal(
        sorted(found["refused"]),
        ["9E50", "9E8", "9E9"],
        asked="the three flights refused that have a cell without a rule",
    )

# %% role="hidden" exercise="board"
with lab.check("board", hidden=True) as answer:
    answer.value("board")
    for flights, odd in ((30, 0), (28, 9)):
        seed = answer.random.randrange(10**6)
        airport = Airport(seed, flights, odd)
        found = answer.call("boards", seed, flights, odd)
        answer.same_rows(
            found["rows"],
            airport.rows(),
            asked=f"the rows of all boards of another airport, {odd} odd ones left out",
            key=["flight"],
        )
        answer.equal(
            sorted(found["refused"]),
            sorted(row["flight"] for row in airport.flights if row["odd"]),
            asked="each odd flight refused, and no other",
        )
    for html in (
        "<p>No flights.</p>",
        "<table><tr><th>Late<th>Gate<tr><td>1<td>A1</table>",
    ):
        answer.equal(
            answer.call("board", html),
            {"rows": [], "refused": []},
            asked=f"nothing of a page without a board: {html}",
        )

# %% [markdown] role="hint" exercise="board"
# For each of the six kinds of cells: which texts may come, and what must the whole cell look like?

# %% [markdown] role="hint" exercise="board"
# `datetime.strptime` with `%d %b %Y, %H:%M` fails loudly. `re.fullmatch` returns `None`, whose `groups()`
# raises `AttributeError`: one `try` around a whole row catches both. `int("-0")` has lost its sign.

# %% [markdown] role="hint" exercise="board"
# ```python
# zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))
# def due(text): ...
# def delay(text): ...
# def km(text): ...
# read = {"due": due, "delay": delay, "km": km}
# for table in tables(html):
#     found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
#     ...
#     for line in table:
#         cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
#         try:
#             rows.append({k: None if text in (...) else read.get(k, str)(text) ...})
#         except (ValueError, AttributeError):
#             refused.append(...)
# ```


# %% role="right" exercise="board"
def board(html):
    page = Selector(text=html)
    zone = ZoneInfo(page.xpath("//@data-zone").get() or "UTC")
    key_of = {name: key for key, names in HEADINGS.items() for name in names}
    result = {"rows": [], "refused": []}
    for table in page.xpath("//table"):
        grid, spans = [], {}
        for tr in table.xpath(".//tr"):
            line, cells = [], tr.xpath("./td | ./th")
            cells = list(cells)
            while cells or len(line) in spans:
                column = len(line)
                if column in spans:
                    left, text = spans.pop(column)
                    if left > 1:
                        spans[column] = (left - 1, text)
                else:
                    cell = cells.pop(0)
                    text = " ".join(cell.xpath("string()").get().split())
                    left = int(cell.attrib.get("rowspan", 1)) - 1
                    if left:
                        spans[column] = (left, text)
                line.append(text)
            grid.append(line)
        keys = [key_of.get(name) for name in grid[0]] if grid else []
        if "flight" not in keys:
            continue
        for line in grid[1:]:
            texts = dict.fromkeys(HEADINGS, "")
            texts |= {k: text for k, text in zip(keys, line, strict=False) if k}
            row, good = {}, True
            for key, text in texts.items():
                value = None
                if text in ("", "–", "n/a"):
                    pass
                elif key in ("flight", "origin", "gate"):
                    value = text
                elif key == "due":
                    for form in ("%Y-%m-%d %H:%M", "%d %b %Y, %H:%M"):
                        try:
                            value = datetime.strptime(text, form).replace(tzinfo=zone)
                        except ValueError:
                            continue
                elif key == "km":
                    if m := re.fullmatch(r"([\d,]+) (mi|km)", text):
                        value = int(m[1].replace(",", ""))
                        value = round(value * 1.609344) if m[2] == "mi" else value
                elif text == "on time":
                    value = 0
                elif m := re.fullmatch(r"(-?\d+) min", text):
                    value = int(m[1])
                elif m := re.fullmatch(r"(-?)(\d+):(\d+)", text):
                    value = int(m[2]) * 60 + int(m[3])
                    value = -value if m[1] else value
                if value is None and text not in ("", "–", "n/a"):
                    good = False
                row[key] = value
            if good:
                result["rows"].append(row)
            else:
                result["refused"].append(texts["flight"])
    return result


# %% role="wrong" exercise="board" misconception="pandas knows what a column holds" caught="check" says="should not be there"
def board(html):
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"([\d,]+) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in [
        frame.map(str).replace("nan", "").to_dict("records")
        for frame in pd.read_html(io.StringIO(html), header=0, flavor="lxml")
    ]:
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {
                    key: None if text in ("", "–", "n/a") else read.get(key, str)(text)
                    for key, text in cells.items()
                }
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="A parser of dates knows the order" caught="check" says="9E50"
def board(html):
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        return pd.to_datetime(text).to_pydatetime().replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"([\d,]+) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {
                    key: None if text in ("", "–", "n/a") else read.get(key, str)(text)
                    for key, text in cells.items()
                }
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="Zero minutes have no sign" caught="check" says="column delay"
def board(html):
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        hours, minutes = re.fullmatch(r"(-?\d+):(\d\d)", text).groups()
        return 60 * int(hours) + int(minutes)

    def km(text):
        number, unit = re.fullmatch(r"([\d,]+) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {
                    key: None if text in ("", "–", "n/a") else read.get(key, str)(text)
                    for key, text in cells.items()
                }
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="A delay without a unit is in minutes" caught="check" says="9E9"
def board(html):
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+)( min)?", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"([\d,]+) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {
                    key: None if text in ("", "–", "n/a") else read.get(key, str)(text)
                    for key, text in cells.items()
                }
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="Dots and commas part thousands" caught="check" says="9E8"
def board(html):
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"([\d.,]+) (mi|km)", text).groups()
        return round(int(re.sub("[.,]", "", number)) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {
                    key: None if text in ("", "–", "n/a") else read.get(key, str)(text)
                    for key, text in cells.items()
                }
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="What cannot be read is unknown" caught="check" says="should not be there"
def board(html):
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"([\d,]+) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            row = {}
            for key, text in cells.items():
                try:
                    empty = text in ("", "–", "n/a")
                    row[key] = None if empty else read.get(key, str)(text)
                except (ValueError, AttributeError):
                    row[key] = None
            rows.append(row)
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="Unknown is zero" caught="check" says="column"
def board(html):
    zone = ZoneInfo(Selector(html).css("[data-zone]::attr(data-zone)").get("UTC"))

    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=zone)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"([\d,]+) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {}
                for key, text in cells.items():
                    empty = 0 if key in ("delay", "km") else None
                    unknown = text in ("", "–", "n/a")
                    row[key] = empty if unknown else read.get(key, str)(text)
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="Times on a board are UTC" caught="check" says="column due"
def board(html):
    def due(text):
        form = "%Y-%m-%d %H:%M" if "-" in text else "%d %b %Y, %H:%M"
        return datetime.strptime(text, form).replace(tzinfo=UTC)

    def delay(text):
        if text == "on time":
            return 0
        if found := re.fullmatch(r"(-?\d+) min", text):
            return int(found[1])
        sign, hours, minutes = re.fullmatch(r"(-?)(\d+):(\d\d)", text).groups()
        return int(f"{sign}1") * (60 * int(hours) + int(minutes))

    def km(text):
        number, unit = re.fullmatch(r"([\d,]+) (mi|km)", text).groups()
        return round(int(number.replace(",", "")) * {"mi": 1.609344, "km": 1}[unit])

    read = {"due": due, "delay": delay, "km": km}
    rows, refused = [], []
    for table in tables(html):
        found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
        for line in table if "flight" in found else []:
            cells = {k: line[found[k]] if k in found else "" for k in HEADINGS}
            try:
                row = {
                    key: None if text in ("", "–", "n/a") else read.get(key, str)(text)
                    for key, text in cells.items()
                }
                rows.append(row)
            except (ValueError, AttributeError):
                refused.append(cells["flight"])
    return {"rows": rows, "refused": refused}


# %% role="wrong" exercise="board" misconception="Each row has all its cells" caught="check" says="column"
def board(html):
    page = Selector(html)
    zone = ZoneInfo(page.css("[data-zone]::attr(data-zone)").get("UTC"))
    rows = []
    for table in page.css("table"):
        grid = [
            [" ".join(cell.css("::text").getall()) for cell in tr.css("td, th")]
            for tr in table.css("tr")
        ]
        for line in grid[1:]:
            cells = dict(zip(grid[0], line, strict=False))
            row = dict.fromkeys(HEADINGS)
            for key, names in HEADINGS.items():
                for name in names:
                    row[key] = cells.get(name, row[key])
            if row["flight"] is None:
                continue
            try:
                due = datetime.strptime(row["due"] or "", "%Y-%m-%d %H:%M")
                row["due"] = due.replace(tzinfo=zone)
            except ValueError:
                row["due"] = None
            number = re.match("-?[0-9]+", row["delay"] or "")
            row["delay"] = int(number[0]) if number else None
            far = re.match("[0-9]+", (row["km"] or "").replace(",", ""))
            row["km"] = int(far[0]) if far else None
            rows.append(row)
    return {"rows": rows, "refused": []}


# %% [markdown] role="equivalent" exercise="board" reason="each row of a table has the same headings"
# - found = {k: n for k, names in HEADINGS.items() for n in names if n in table[0]}
# + found = {k: n for k, names in HEADINGS.items() for n in names if n in table[(-1)]}


# %% [markdown] topics=["4.1-7"]
# ## What you may keep
#
# Facts, and no legal advice:
#
# - *hiQ v. LinkedIn*: a US court held that reading public pages is probably no hacking (2022). hiQ still lost,
#   for breach of the site's terms.
# - *Personal data* stay personal in public: the GDPR asks for a purpose, as few as possible, and an end.
# - The EU protects databases as such (Directive 96/9/EC).
# - It allows text and data mining, unless the owner reserves it, online in a machine-readable way (Directive
#   2019/790, article 4). Signs in use: `noindex` and the unofficial `noai` in the header `X-Robots-Tag` or
#   in `<meta name="robots">`, and the header `tdm-reservation: 1`.
#
# Our own rule: store what we need, from pages that do not object, with its *provenance*.

# %%
KEEP = ("flight", "origin", "due", "delay", "km", "gate")
STOP = {"noindex", "none", "noai"}
PARSER = "board/1"
DAYS = 30
reserved = open_site(reserved={"/arrivals/A": "X-Robots-Tag", "/arrivals/B": "robots"})
for concourse in "AB":
    reply = requests.get(f"{reserved}/arrivals/{concourse}", timeout=10)
    print(
        reply.headers.get("X-Robots-Tag"),
        Selector(reply.text).css("meta[name=robots]").get(),
    )

# %% [markdown] role="task" exercise="admit" points=3 topics=["4.1-7"]
# ### Admit a row to the store
#
# Write `admit(page, rows)`. `page` comes from `as_page` (names of headers are in small letters), `rows` are
# dictionaries from that page. Return a list of records.
#
# It is empty if the page objects: a directive in the header `x-robots-tag`, or in the `content` of a `<meta
# name="robots">`, is in `STOP`, or the header `tdm-reservation` is `1`. Commas part directives; spaces around
# a value and capitals do not matter, also in the name `robots`.
#
# Else there is a record for each row: of its fields those in `KEEP`, and
#
# | Field | Content |
# |---|---|
# | `url`, `fetched_at` | as in the page |
# | `sha256` | the hash of `html` in UTF-8, in hexadecimal |
# | `parser` | `PARSER` |
# | `licence` | the full address of the first `<link rel="license">`, `None` without one |
# | `keep_until` | the date `DAYS` days after `fetched_at` |
#
# Why: "where is this from, and may we have it?" is asked of single rows.


# %% role="answer" exercise="admit"
def admit(page: dict, rows: list[dict]) -> list[dict]:
    """Records of a page that may be stored, with their provenance."""
    ### BEGIN SOLUTION
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if directives & STOP or page["headers"].get("tdm-reservation", "").strip() == "1":
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]
    ### END SOLUTION


# %% role="check" exercise="admit"
with lab.check("admit") as answer:
    rows = [
        {"flight": "9E41", "gate": None, "delay": 5, "agent": "Ana Lima, ext. 1200"},
        {"flight": "UA7", "gate": "A7", "remarks": "call Mei", "km": 300},
    ]
    page = {
        "url": "http://a.example/arrivals/A?part=2",
        "fetched_at": datetime(2026, 2, 27, 23, 30, tzinfo=UTC),
        "headers": {
            "content-type": "text/html",
            "x-robots-tag": "noarchive, max-snippet: 9",
        },
        "html": '<link rel="license" href="/terms"><meta name="robots" content="nofollow">Øre',
    }
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": "board/1",
        "licence": "http://a.example/terms",
        "keep_until": date(2026, 3, 29),
    }
    records = [
        {"flight": "9E41", "gate": None, "delay": 5} | about,
        {"flight": "UA7", "gate": "A7", "km": 300} | about,
    ]
    answer.equal(
        answer.call("admit", page, rows),
        records,
        asked=f"two records of {page} for {rows}",
    )
    for headers, html in (
        ({"x-robots-tag": "noarchive, NOINDEX"}, page["html"]),
        ({}, '<meta name="robots" content="nofollow,none">'),
        ({"tdm-reservation": "1"}, page["html"]),
    ):
        answer.equal(
            answer.call("admit", page | {"headers": headers, "html": html}, rows),
            [],
            asked=f"no record of a page with the headers {headers} that says {html}",
        )

# %% role="hidden" exercise="admit"
with lab.check("admit", hidden=True) as answer:
    rows = [{"flight": f"Ñ{answer.random.randint(1, 99)}", "captain": "L. Ødegård"}]
    page = {
        "url": "http://b.example/en/x",
        "fetched_at": datetime(2025, 12, answer.random.randint(3, 28), 9, tzinfo=UTC),
        "headers": {"tdm-reservation": "0", "x-robots-tag": "noimageai,nofollow"},
        "html": "<title>none</title><meta name='description' content='noindex'><p>noai",
    }
    got = answer.call("admit", page, rows)
    answer.equal(
        [{**record, "url": "", "fetched_at": ""} for record in got],
        [
            {
                "flight": rows[0]["flight"],
                "url": "",
                "fetched_at": "",
                "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
                "parser": "board/1",
                "licence": None,
                "keep_until": (page["fetched_at"] + timedelta(days=30)).date(),
            }
        ],
        asked=f"one record of a page that does not object: {page['headers']}, {page['html']}",
    )
    word = answer.random.choice(["noai", "NoIndex", "NONE"])
    for headers, html in (
        (
            {},
            f"<META NAME='Robots' CONTENT='all'><META NAME='ROBOTS' CONTENT='follow, {word}'>",
        ),
        ({"x-robots-tag": f" {word} ,all"}, "<p>"),
        ({"tdm-reservation": " 1"}, "<p>"),
    ):
        answer.equal(
            answer.call("admit", page | {"headers": headers, "html": html}, rows),
            [],
            asked=f"no record of a page with the headers {headers} that says {html}",
        )

# %% [markdown] role="hint" exercise="admit"
# A new column appears on the page tonight: a phone number. Does your function store it?

# %% [markdown] role="hint" exercise="admit"
# Collect the texts of header and meta tags, split them at commas, strip, lower: two sets have a common
# element if `a & b` is not empty. In XPath 1.0, `translate(@name, …)` makes letters small.

# %% [markdown] role="hint" exercise="admit"
# ```python
# said = [page["headers"].get("x-robots-tag", ""), *...]
# directives = {... for text in said for word in text.split(",")}
# if directives & STOP or ...:
#     return []
# licence = Selector(page["html"]).css('link[rel="license"]::attr(href)').get()
# about = {"url": ..., "fetched_at": ..., "sha256": ..., ...}
# return [{key: ... for key in KEEP if ...} | about for row in rows]
# ```


# %% role="right" exercise="admit"
def admit(page, rows):
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page["html"], "lxml")
    texts = page["headers"].get("x-robots-tag", "")
    for tag in soup.find_all("meta"):
        if (tag.get("name") or "").lower() == "robots":
            texts += "," + (tag.get("content") or "")
    if any(word.strip() in STOP for word in texts.lower().split(",")):
        return []
    if page["headers"].get("tdm-reservation", "0").strip() == "1":
        return []
    link = soup.find("link", rel="license")
    records = []
    for row in rows:
        record = {key: value for key, value in row.items() if key in KEEP}
        record["url"], record["fetched_at"] = page["url"], page["fetched_at"]
        record["sha256"] = hashlib.sha256(page["html"].encode("utf-8")).hexdigest()
        record["parser"] = PARSER
        record["licence"] = urljoin(page["url"], link["href"]) if link else None
        record["keep_until"] = (page["fetched_at"] + timedelta(days=DAYS)).date()
        records.append(record)
    return records


# %% role="wrong" exercise="admit" misconception="It is enough to drop the personal fields that we know" caught="hidden" says="one record"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if directives & STOP or page["headers"].get("tdm-reservation", "").strip() == "1":
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [
        {k: v for k, v in row.items() if k not in ("agent", "remarks")} | about
        for row in rows
    ]


# %% role="wrong" exercise="admit" misconception="Only the header counts" caught="check" says="nofollow,none"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if directives & STOP or page["headers"].get("tdm-reservation", "").strip() == "1":
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% role="wrong" exercise="admit" misconception="The directives stand in small letters" caught="check" says="NOINDEX"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip() for text in said for word in text.split(",")}
    if directives & STOP or page["headers"].get("tdm-reservation", "").strip() == "1":
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% role="wrong" exercise="admit" misconception="The words noindex and noai are all there is" caught="check" says="none"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if (
        directives & {"noindex", "noai"}
        or page["headers"].get("tdm-reservation", "").strip() == "1"
    ):
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% role="wrong" exercise="admit" misconception="A word anywhere in the page is an objection" caught="hidden" says="does not object"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if (
        any(word in page["html"] for word in STOP)
        or directives & STOP
        or page["headers"].get("tdm-reservation", "").strip() == "1"
    ):
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% role="wrong" exercise="admit" misconception="robots.txt and noindex are the only ways to object" caught="check" says="tdm-reservation"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if directives & STOP:
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% role="wrong" exercise="admit" misconception="Any tdm-reservation is an objection" caught="hidden" says="does not object"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if directives & STOP or "tdm-reservation" in page["headers"]:
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% role="wrong" exercise="admit" misconception="A link is an address" caught="check" says="two records"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if directives & STOP or page["headers"].get("tdm-reservation", "").strip() == "1":
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": licence,
        "keep_until": page["fetched_at"].date() + timedelta(days=DAYS),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% role="wrong" exercise="admit" misconception="A month is as good as thirty days" caught="check" says="two records"
def admit(page, rows):
    html = Selector(page["html"])
    said = [page["headers"].get("x-robots-tag", "")]
    said += html.xpath(
        "//meta[translate(@name, 'ROBTS', 'robts')='robots']/@content"
    ).getall()
    directives = {word.strip().lower() for text in said for word in text.split(",")}
    if directives & STOP or page["headers"].get("tdm-reservation", "").strip() == "1":
        return []
    licence = html.css('link[rel="license"]::attr(href)').get()
    about = {
        "url": page["url"],
        "fetched_at": page["fetched_at"],
        "sha256": hashlib.sha256(page["html"].encode()).hexdigest(),
        "parser": PARSER,
        "licence": urljoin(page["url"], licence) if licence else None,
        "keep_until": (
            pd.Timestamp(page["fetched_at"]) + pd.DateOffset(months=1)
        ).date(),
    }
    return [{key: row[key] for key in KEEP if key in row} | about for row in rows]


# %% [markdown] role="equivalent" exercise="admit" reason="what stands for a missing header is neither in STOP nor 1"
# - said = [page["headers"].get("x-robots-tag", "")]
# + said = [page["headers"].get("x-robots-tag", "XXXX")]
#
# - if directives & STOP or page["headers"].get("tdm-reservation", "").strip() == "1":
# + if directives & STOP or page["headers"].get("tdm-reservation", "XXXX").strip() == "1":


# %% [markdown] topics=["4.1-7"]
# ## Break it: a new design over night
#
# Nobody tells a scraper of a new design. *Renamed*: the heading over the flights says "Service". *Shifted*: a
# logo comes first in each row, without a heading. One reader below counts cells, the other one is your
# `board`.
#
# **Predict:** which of the four reads fail loudly?


# %%
def by_position(html):
    """Flight and gate of the first flight: the first cell and the fifth one."""
    line = Selector(html).css("[data-zone] tr:nth-child(2) td")
    return [cell.xpath("string()").get() for cell in line[0:5:4]]


for design in ("first", "renamed", "shifted"):
    redesign(url, design)
    html = requests.get(f"{url}/arrivals/A", timeout=10).text
    rows = len(board(html)["rows"]) if board(html) else "?"
    print(f"{design:<8} by position: {by_position(html)!s:<22} by heading: {rows} rows")
redesign(url, "first")

# %% [markdown]
# None. One reader delivers a delay as a gate, the other one nothing, as no cell fits its rule. What helps is a *contract*: what a good
# delivery looks like. What breaks it is not published; the last good one stays.

# %%
CONTRACT = {
    "flight": lambda value: re.fullmatch(r"[A-Z0-9]{2}\d{1,4}", value),
    "origin": lambda value: value in ("EWR", "JFK", "LGA"),
    "delay": lambda value: -120 <= value <= 1440,
    "km": lambda value: 50 <= value <= 9000,
    "gate": lambda value: re.fullmatch(r"[A-Z]\d{1,2}", value),
}

# %% [markdown] role="task" exercise="complaints" points=2 topics=["4.1-7"]
# ### What is wrong tonight
#
# Write `complaints(rows, last)`. `rows` are tonight's dictionaries, `last` those of the last good night.
# Return a sorted list of texts:
#
# | Complaint | When |
# |---|---|
# | `rows` | fewer than half as many rows as last, or more than twice as many |
# | `twice` | a flight stands in more than one row; `None` is no flight |
# | `empty KEY` | the share of rows in which KEY is `None` is larger than last by more than 0.25 |
# | `values KEY` | of the values of KEY that are not `None`, more than a tenth do not fit |
#
# KEY is each key of `CONTRACT`, whose functions tell whether a value fits. A missing key is `None`. In the
# first night `last` is empty: then there is no `rows` and no `empty`. Without rows tonight, there are no
# shares.
#
# Why: what fails loudly is mended on the same day.


# %% role="answer" exercise="complaints"
def complaints(rows: list[dict], last: list[dict]) -> list[str]:
    """In what tonight's rows break the contract."""
    ### BEGIN SOLUTION
    found = []
    if last and not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > len(values) / 10:
            found.append(f"values {key}")
    return sorted(found)
    ### END SOLUTION


# %% role="check" exercise="complaints"
with lab.check("complaints") as answer:
    good = [
        {"flight": f"9E{n}", "origin": "JFK", "delay": n, "km": 300, "gate": f"A{n}"}
        for n in range(40, 56)
    ]
    empty = [row | {"gate": None} for row in good]
    nameless = [row | {"flight": None} for row in good]
    words = [row | {"gate": f"Gate {row['gate']}"} for row in good]
    for case, rows, last, expected in (
        ("a night like the last", good, good, []),
        ("no rows", [], good, ["rows"]),
        ("half the rows", good[:8], good, []),
        ("fewer than half", good[:7], good, ["rows"]),
        ("twice the rows, each flight two times", good + good, good, ["twice"]),
        ("two rows without a flight", nameless[:2] + good[2:], good, []),
        ("gates that became empty", empty[:5] + good[5:], good, ["empty gate"]),
        ("a quarter of the gates empty", empty[:4] + good[4:], good, []),
        ("gates that were empty before, too", empty, empty[2:] + good[:2], []),
        (
            "half the gates empty, before an eighth",
            empty[:8] + good[8:],
            empty[:2] + good[2:],
            ["empty gate"],
        ),
        (
            "the words 'Gate A40' in two of 16 gates",
            words[:2] + good[2:],
            good,
            ["values gate"],
        ),
        ("one odd gate of 16", words[:1] + good[1:], good, []),
        ("the first night", empty, [], []),
    ):
        answer.equal(
            answer.call("complaints", rows, last),
            expected,
            asked=f"the complaints about {case}",
        )

# %% role="hidden" exercise="complaints"
with lab.check("complaints", hidden=True) as answer:
    size = answer.random.choice([20, 40])
    good = [
        {
            "flight": f"B6{100 + n}",
            "origin": answer.random.choice(["EWR", "LGA"]),
            "delay": answer.random.choice([None, -120, 0, 1440]),
            "km": answer.random.choice([50, 9000]),
            "gate": "B7",
        }
        for n in range(size)
    ]
    shifted = [
        {
            "flight": None,
            "origin": row["flight"],
            "delay": 1441,
            "km": row["delay"],
            "gate": "x",
        }
        for row in good
    ]
    far = [row | {"km": 49 if n % 2 else 9001} for n, row in enumerate(good)]
    late = [row | {"delay": -121} for row in good]
    bare = [{"flight": row["flight"]} for row in good]
    even = [row | {"delay": 0} for row in good]
    tenth = good[: size // 10]
    for case, rows, last, expected in (
        ("a board shifted by one cell", [r | {"km": 1} for r in shifted], good,
         ["empty flight", "values delay", "values gate", "values km", "values origin"]),
        ("distances out of range", far, good, ["values km"]),
        ("delays out of range", late, good, ["values delay"]),
        ("a tenth of the distances out of range", far[: len(tenth)] + good[len(tenth) :], good, []),
        ("two of 19 distances out of range", far[:2] + good[2:19], good[:19], ["values km"]),
        ("rows with a flight only, in the first night", bare, [], []),
        ("more than twice as many", good + [r | {"flight": f"AA{n}"} for n, r in enumerate(good + good)],
         good, ["rows"]),
        ("one row more than half of an odd number", even[:4], even[:7], []),
        ("one row less than half of an odd number", even[:3], even[:7], ["rows"]),
        ("columns that went away", bare, [r | {"delay": 5} for r in good],
         ["empty delay", "empty gate", "empty km", "empty origin"]),
        ("nothing, after nothing", [], [], []),
    ):  # fmt: skip
        answer.equal(
            answer.call("complaints", rows, last),
            expected,
            asked=f"the complaints about {case}",
        )

# %% [markdown] role="hint" exercise="complaints"
# Which divisions are in your function, and when is a divisor zero?

# %% [markdown] role="hint" exercise="complaints"
# For one key: `values = [row[key] for row in rows if row.get(key) is not None]`. Both shares follow from
# lengths. A value of 0 is a value.

# %% [markdown] role="hint" exercise="complaints"
# ```python
# found = []
# if last and not ... <= len(rows) <= ...:
#     found.append("rows")
# ...
# for key, fits in CONTRACT.items() if rows else ():
#     values = ...
#     if last:
#         before = ...
#         if 1 - len(values) / len(rows) > ...:
#             found.append(f"empty {key}")
#     if sum(not fits(value) for value in values) > ...:
#         ...
# return sorted(found)
# ```


# %% role="right" exercise="complaints"
def complaints(rows, last):
    now, then = (
        pd.DataFrame(r, columns=[*CONTRACT], dtype=object) for r in (rows, last)
    )
    found = {"twice"} if now["flight"].dropna().duplicated().any() else set()
    if len(then) and (2 * len(now) < len(then) or len(now) > 2 * len(then)):
        found.add("rows")
    for key, fits in CONTRACT.items():
        if not len(now):
            break
        if len(then) and now[key].isna().mean() - then[key].isna().mean() > 0.25:
            found.add(f"empty {key}")
        odd = [not fits(value) for value in now[key].dropna()]
        if odd and sum(odd) / len(odd) > 0.1:
            found.add(f"values {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="What is missing is a value like others" caught="check" says="without a flight"
def complaints(rows, last):
    found = []
    if last and not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row.get("flight") for row in rows]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > len(values) / 10:
            found.append(f"values {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="No rows, no complaint" caught="check" says="no rows"
def complaints(rows, last):
    found = []
    if not rows:
        return []
    if last and not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > len(values) / 10:
            found.append(f"values {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="An empty cell is always a fault" caught="check" says="empty before"
def complaints(rows, last):
    found = []
    if last and not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last and 1 - len(values) / len(rows) > 0.25:
            found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > len(values) / 10:
            found.append(f"values {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="One odd value spoils the night" caught="check" says="one odd gate"
def complaints(rows, last):
    found = []
    if last and not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > 0:
            found.append(f"values {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="There is always a last night" caught="check" says="the first night"
def complaints(rows, last):
    found = []
    if not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > len(values) / 10:
            found.append(f"values {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="Values that are there are right" caught="check" says="Gate A40"
def complaints(rows, last):
    found = []
    if last and not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key in CONTRACT if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="Only too few rows are suspicious" caught="hidden" says="more than twice"
def complaints(rows, last):
    found = []
    if last and len(rows) < len(last) / 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row.get(key) is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > len(values) / 10:
            found.append(f"values {key}")
    return sorted(found)


# %% role="wrong" exercise="complaints" misconception="A column that is there tonight stays there" caught="hidden" says="KeyError"
def complaints(rows, last):
    found = []
    if last and not len(last) / 2 <= len(rows) <= len(last) * 2:
        found.append("rows")
    flights = [row["flight"] for row in rows if row.get("flight")]
    if len(flights) > len(set(flights)):
        found.append("twice")
    for key, fits in CONTRACT.items() if rows else ():
        values = [row[key] for row in rows if row[key] is not None]
        if last:
            before = sum(row.get(key) is None for row in last) / len(last)
            if 1 - len(values) / len(rows) > before + 0.25:
                found.append(f"empty {key}")
        if sum(not fits(value) for value in values) > len(values) / 10:
            found.append(f"values {key}")
    return sorted(found)


# %% [markdown] topics=["4.1-7"]
# ## A whole night
#
# One thing is left: not to fetch again what has not changed. Scrapy's HTTP cache sends `ETag`s back, if you
# ask for the policy of the standard:

# %% tags=["nbval-ignore-output"]
CACHE = {
    "HTTPCACHE_ENABLED": True,
    "HTTPCACHE_POLICY": "scrapy.extensions.httpcache.RFC2616Policy",
}
with TemporaryDirectory() as folder:
    for number in (1, 2):
        before = len(request_log(url))
        crawl(spider(url), HTTPCACHE_DIR=folder, **CACHE)
        statuses = [entry["status"] for entry in request_log(url)[before:]]
        counts = {status: statuses.count(status) for status in sorted({*statuses})}
        print(f"night {number}:", counts)
        time_passes(url, changed=2)

# %% [markdown] role="task" exercise="night" points=4 topics=["4.1-7"]
# ### One night, all together
#
# Write `night(url, folder, last)`. `folder` holds the cache, from night to night; `last` are the records of
# the last good one. Ask for robots.txt as `AGENT`; without an answer, its status is `None`. Crawl with
# `spider`, the delay of `permission`, and the cache. Records are what `admit` makes of the `rows` of `board`.
#
# Return a dictionary:
#
# - `complaints`: `["robots.txt"]`, without any further request, if `permission` forbids `{url}/`; else those of
#   your exercise 3 about tonight's records;
# - `rows`: tonight's records, or `last` if there is a complaint.
#
# Why: this job runs while you sleep.


# %%
def nights(events, **site):
    """Run your function after each event: what it returned, and what the site saw."""
    url, last, seen = open_site(**site), [], []
    with TemporaryDirectory() as folder:
        for event in events:
            if event == "changes":
                time_passes(url)
            elif event:
                redesign(url, event)
            before, crawls = len(request_log(url)), len(reports())
            found = night(url, folder, last)
            last, log = found["rows"], request_log(url)[before:]
            seen.append(
                found
                | {
                    "pages": [entry["page"] for entry in log],
                    "bodies": sum(entry["status"] == 200 for entry in log),
                    "agents": sorted({entry["agent"] for entry in log}),
                    "delays": [report["delay"] for report in reports()[crawls:]],
                }
            )
    return seen


# %% role="answer" exercise="night"
def night(url: str, folder: str, last: list[dict]) -> dict:
    """Crawl a site politely: the records to publish, and what is wrong with tonight's."""
    ### BEGIN SOLUTION
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}
    ### END SOLUTION


# %% role="check" exercise="night"
with lab.check("night") as answer:
    answer.value("night")
    airport = Airport(5, 8)
    kept = ("flight", "origin", "due", "delay", "km", "gate")
    seen = answer.call("nights", ["", "changes", "renamed"], seed=5, flights=8)
    for number, case in enumerate(
        ("first night", "second night", "night with a new design"), 1
    ):
        if number == 2:
            airport.pass_time(3)
        answer.same_rows(
            [{key: row.get(key) for key in kept} for row in seen[number - 1]["rows"]],
            airport.rows(),
            asked=f"the right rows after the {case}",
            key=["flight"],
        )
    answer.equal(
        [night["complaints"] for night in seen],
        [[], [], ["rows"]],
        asked="the complaints of the three nights",
    )
    answer.true(
        seen[1]["bodies"] < len(seen[1]["pages"]) / 2,
        asked="few answers with a body in the second night, when three flights changed",
        found=f"{seen[1]['bodies']} bodies in {len(seen[1]['pages'])} requests",
    )
    answer.equal(
        seen[0]["agents"],
        ["delay-watch/1.0 (+https://airline.example/bot)"],
        asked="AGENT in each request",
    )
    (seen,) = answer.call("nights", [""], robots=503)
    answer.equal(
        [seen["rows"], seen["complaints"], sorted(set(seen["pages"]))],
        [[], ["robots.txt"], ["/robots.txt"]],
        asked="rows, complaints and pages asked for when robots.txt has status 503",
    )

# %% role="hidden" exercise="night"
with lab.check("night", hidden=True) as answer:
    answer.value("night")
    seed, delay = answer.random.randrange(10**6), answer.random.choice([3, 7.5])
    airport = Airport(seed, 10, 2)
    ways = answer.random.sample(["X-Robots-Tag", "robots", "tdm-reservation"], 2)
    first = [c for c in "ABC" if airport.parts(c)][:2]
    (seen,) = answer.call(
        "nights",
        [""],
        seed=seed,
        flights=10,
        odd=2,
        robots=f"User-agent: *\nDisallow: /*sid=\nCrawl-delay: {delay}",
        reserved={f"/arrivals/{c}": way for c, way in zip(first, ways, strict=True)},
    )
    closed = {row["flight"] for c in first for row in airport.parts(c)[0]}
    about = ["fetched_at", "keep_until", "licence", "parser", "sha256", "url"]
    kept = ["flight", "origin", "due", "delay", "km", "gate"]
    answer.same_rows(
        [{key: row.get(key) for key in kept} for row in seen["rows"]],
        [row for row in airport.rows() if row["flight"] not in closed],
        asked="the rows of another site, without odd flights and without pages that object",
        key=["flight"],
    )
    answer.equal(
        sorted({key for row in seen["rows"] for key in row}),
        sorted(about + kept) if seen["rows"] else [],
        asked="the fields of a record: those to keep, and their provenance",
    )
    answer.equal(
        seen["delays"], [delay], asked="one crawl, with the Crawl-delay of this site"
    )
    last = [{"flight": "UA1"}]
    answer.equal(
        answer.call("night", "http://127.0.0.1:1", answer.folder(), last),
        {"rows": last, "complaints": ["robots.txt"]},
        asked="the last good records when no server answers",
    )

# %% [markdown] role="hint" exercise="night"
# Which of your functions decides whether there is a crawl at all, and which one whether its result counts?

# %% [markdown] role="hint" exercise="night"
# `requests.RequestException` is what all errors of `requests` have in common. `crawl(…)["items"]` are pages
# as `as_page` makes them; `board(page["html"])["rows"]` is empty for a page without a board.

# %% [markdown] role="hint" exercise="night"
# ```python
# try:
#     robots = requests.get(..., headers=..., timeout=10)
#     status, text = ...
# except requests.RequestException:
#     status, text = ...
# asked = permission(...)
# if not asked["may"]:
#     return ...
# rows = []
# for page in crawl(spider(url), DOWNLOAD_DELAY=..., HTTPCACHE_DIR=..., **CACHE)["items"]:
#     rows += ...
# wrong = ...
# return {"rows": ..., "complaints": ...}
# ```


# %% role="right" exercise="night"
def night(url, folder, last):
    with requests.Session() as session:
        session.headers["User-Agent"] = AGENT
        try:
            reply = session.get(f"{url}/robots.txt", timeout=5)
            status, body = reply.status_code, reply.text
        except OSError:
            status, body = None, ""
    rules = permission(status, body, AGENT, [f"{url}/"])
    result = {"rows": last, "complaints": ["robots.txt"]}
    if rules["may"]:
        settings = CACHE | {"DOWNLOAD_DELAY": rules["delay"], "HTTPCACHE_DIR": folder}
        pages = crawl(spider(url), **settings)["items"]
        tonight = [
            r for page in pages for r in admit(page, board(page["html"])["rows"])
        ]
        result["complaints"] = complaints(tonight, last)
        if not result["complaints"]:
            result["rows"] = tonight
    return result


# %% role="wrong" exercise="night" misconception="A cache that is on asks again by itself" caught="check" says="second night"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {
        "DOWNLOAD_DELAY": asked["delay"],
        "HTTPCACHE_DIR": folder,
        "HTTPCACHE_ENABLED": True,
    }
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="The folder is all that a cache needs" caught="check" says="bodies"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="What is found is published, with its complaints" caught="check" says="new design"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="Whoever keeps the last good rows need not complain" caught="check" says="complaints of the three"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    return {"rows": last if complaints(rows, last) else rows, "complaints": []}


# %% role="wrong" exercise="night" misconception="ROBOTSTXT_OBEY settles the question" caught="check" says="503"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="Only the spider has a name" caught="check" says="AGENT"
def night(url, folder, last):
    try:
        robots = requests.get(f"{url}/robots.txt", timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="Scrapy keeps Crawl-delay" caught="hidden" says="Crawl-delay of this site"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="robots.txt can always be had" caught="hidden" says="runs to its end"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except ZeroDivisionError:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += admit(page, board(page["html"])["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="What robots.txt allows may be kept" caught="hidden" says="without pages that object"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        page["headers"] = {}
        license, page["html"] = page["html"], page["html"].replace('name="robots"', "")
        rows += admit(page, board(license)["rows"])
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% role="wrong" exercise="night" misconception="Rows are enough" caught="hidden" says="their provenance"
def night(url, folder, last):
    try:
        named = {"User-Agent": AGENT}
        robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
    except requests.RequestException:
        robots = requests.Response()  # an empty one: its status is None
    asked = permission(robots.status_code, robots.text, AGENT, [f"{url}/"])
    if not asked["may"]:
        return {"rows": last, "complaints": ["robots.txt"]}
    settings = {"DOWNLOAD_DELAY": asked["delay"], "HTTPCACHE_DIR": folder, **CACHE}
    rows = []
    for page in crawl(spider(url), **settings)["items"]:
        rows += board(page["html"])["rows"] if admit(page, [{}]) else []
    wrong = complaints(rows, last)
    return {"rows": last if wrong else rows, "complaints": wrong}


# %% [markdown] role="equivalent" exercise="night" reason="every server of this lab answers at once"
# - robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
# + robots = requests.get(f"{url}/robots.txt", headers=named, timeout=None)
#
# - robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
# + robots = requests.get(f"{url}/robots.txt", headers=named, )
#
# - robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
# + robots = requests.get(f"{url}/robots.txt", headers=named, timeout=11)
#
# - robots = requests.get(f"{url}/robots.txt", headers=named, timeout=10)
# + robots = requests.get(f"{url}/robots.txt", headers=named, timeout=(9))


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | read tables | whole cells; refuse, do not guess |
# | keep what you may | list what to keep, not what to drop |
# | notice a new design | compare with the last good night |
# | run a whole night | what breaks the contract is not published |
#
# **New words.** *Scraper*: takes data out of pages. *Provenance*: where a value came from, when, and how. *Contract*: what a
# good delivery looks like.
#
# **Read on.** pandas documentation, `read_html`. Directive (EU) 2019/790, articles 3 and 4, with recital 18.

# %%
lab.close()
