# %% [markdown] minutes=60 datasets=["flights-day-parquet", "airports", "planes"] systems=[]
# # Scraping and crawling
#
# Partner airports show gates and delays on web pages, and have no API. You write a crawler that asks first,
# comes home, reads without guessing, and notices when pages change.

# %% [markdown]
# ## You will be able to
#
# - give each page one address (exercise 1)
# - read robots.txt as the standard says (exercise 2)
# - write a spider of Scrapy that no trap holds (exercise 3)
# - read tables, and refuse what can be read in two ways (exercise 4)
# - find the data behind a page that needs a browser (exercise 5)
# - keep what you may, and prove where it came from (exercise 6)
# - notice that a site has a new design (exercise 7)
# - run a whole night (exercise 8)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python classes, HTML | a spider is a class, and reads it |
# | the lab *APIs* | status codes, `ETag` |
#
# The web sites are *models*: small servers in this notebook, with real HTTP, real flights of one day,
# and invented gates and people. Scrapy 2.19, Protego, parsel and pandas are the real ones.
#
# Scrapy starts only once in a process, so `crawl(spider, **settings)` gives each spider its own. Pauses are
# 1,000 times as short there.

# %% role="setup"
import hashlib
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import matplotlib.pyplot as plt
import pandas as pd
import requests
import scrapy
from parsel import Selector
from protego import Protego
from scrapy.linkextractors import LinkExtractor
from w3lib.url import canonicalize_url

from labkit import open_lab, picture
from labkit.web.crawl import crawl, draw, reports
from labkit.web.site import (
    Airport,
    open_site,
    page_name,
    redesign,
    request_log,
    serve,
    time_passes,
)

lab = open_lab("04-1-ingestion/03-scraping")
print(serve())
lab

# %% [markdown] topics=["4.1-7"]
# ## A crawl that never comes home
#
# A *crawler* follows links; a *scraper* takes data out of pages. In Scrapy, you write a *spider*: a class
# that says where to begin, and what to do with each answer. It yields data, or further requests.
#
# The spider below follows each link; Scrapy leaves out addresses that it knows. We want 23 pages: boards, and
# one for each aircraft.
#
# **Predict:** after 150 requests, how many has it seen?

# %%
url = open_site()


class Everything(scrapy.Spider):
    name = "everything"
    start_urls = (f"{url}/",)

    def parse(self, response):
        yield from response.follow_all(css="a")


crawl(Everything, CONCURRENT_REQUESTS=1)
careless = request_log(url)[:150]
wanted = {*Airport().names()} & {entry["page"] for entry in careless}
print(f"{len(careless)} requests, {len(wanted)} of {len(Airport().names())} pages")
for entry in careless[3:120:29]:
    print(entry["page"], "at", re.sub("sid=.*", "sid=…", entry["path"])[:70])

# %% [markdown]
# A few, again and again. Three traps are here, none of them meant badly:
#
# - *session ids*: each answer links to its board with a new `sid`;
# - a *link without its first slash*, on a server that finds pages below any path;
# - *empty pages for ever*: the last board, too, has a link "Later flights".

# %% [markdown] role="task" exercise="canonical" points=2 topics=["4.1-7"]
# ### One page, one address
#
# Write `canonical(link, page)`. `link` is what stands in `href`, `page` is the address of the page on
# which it stands. Return the full address in one fixed form:
#
# - what `canonicalize_url` of w3lib does: parameters in order, no fragment, no `.` or `..`;
# - no `:80` after a host of `http`, no `:443` after one of `https`;
# - no parameter `sid`, and none whose name begins with `utm_`. All others stay, also without a value, also
#   twice.
#
# Return `None` for a link that is neither `http` nor `https`.
#
# | On `http://a.example/b/` | Result |
# |---|---|
# | `HTTP://A.example:80/x?b=2&sid=7&a=` | `http://a.example/x?a=&b=2` |
# | `../Map#top` | `http://a.example/Map` |
# | `mailto:web@a.example` | `None` |
#
# Why: your partner pays for each address too many.


# %% role="answer" exercise="canonical"
def canonical(link: str, page: str) -> str | None:
    """The one address of the page to which a link leads."""
    ### BEGIN SOLUTION
    scheme, host, path, query, _ = urlsplit(urljoin(page, link))
    if scheme not in ("http", "https"):
        return None
    host = host.removesuffix({"http": ":80", "https": ":443"}[scheme])
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "sid" and not name.startswith("utm_")
    ]
    return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))
    ### END SOLUTION


# %% role="check" exercise="canonical"
with lab.check("canonical") as answer:
    page = "http://a.example/b/"
    for link, expected in {
        "HTTP://A.example:80/x?b=2&sid=7&a=": "http://a.example/x?a=&b=2",
        "../Map#top": "http://a.example/Map",
        "mailto:web@a.example": None,
        "?part=2&utm_source=board": "http://a.example/b/?part=2",
        "/x?from=JFK&from=EWR": "http://a.example/x?from=EWR&from=JFK",
        "https://a.example:443/x/": "https://a.example/x/",
        "http://a.example:443/x": "http://a.example:443/x",
        "http://a.example:8080/%7Ex?side=A": "http://a.example:8080/~x?side=A",
    }.items():
        answer.equal(
            answer.call("canonical", link, page),
            expected,
            asked=f"the address of {link} on {page}",
        )

# %% role="hidden" exercise="canonical"
with lab.check("canonical", hidden=True) as answer:
    page = "https://b.example:443/en/Boards/today"
    for _ in range(12):
        pairs = [
            (
                answer.random.choice(["to", "Sid", "day", "xutm_"]),
                answer.random.choice("AÑ 1"),
            )
            for _ in range(answer.random.randint(1, 3))
        ]
        extra = [(answer.random.choice(["sid", "utm_id"]), "ab")]
        mixed = pairs + extra
        answer.random.shuffle(mixed)
        start, path = answer.random.choice(
            [
                ("./x/", "/en/Boards/x/"),
                ("//B.example/X", "/X"),
                ("../a/./b", "/en/a/b"),
            ]
        )
        link = f"{start}?{urlencode(mixed)}#{answer.random.randint(1, 9)}"
        answer.equal(
            answer.call("canonical", link, page),
            f"https://b.example{path}?{urlencode(sorted(pairs))}",
            asked=f"the address of {link} on {page}",
        )
    for link in ("javascript:void(0)", "tel:+1-555-0100", "ftp://b.example/x"):
        answer.equal(
            answer.call("canonical", link, page), None, asked=f"None for {link}"
        )

# %% [markdown] role="hint" exercise="canonical"
# Which of the rules does `canonicalize_url` know already, and which can only you know? Try it on the
# examples.

# %% [markdown] role="hint" exercise="canonical"
# `urllib.parse`: `urljoin`, `urlsplit`, `parse_qsl` (look at `keep_blank_values`), `urlencode`,
# `urlunsplit`. `str.removesuffix` takes away an end where it is there.

# %% [markdown] role="hint" exercise="canonical"
# ```python
# scheme, host, path, query, _ = urlsplit(urljoin(...))
# if ...:
#     return None
# host = host.removesuffix(...)
# kept = [(name, value) for name, value in parse_qsl(...) if ...]
# return canonicalize_url(urlunsplit((scheme, host, path, ..., "")))
# ```


# %% role="right" exercise="canonical"
def canonical(link, page):
    full = canonicalize_url(urljoin(page, link))
    if not full.startswith(("http://", "https://")):
        return None
    full = re.sub(r"^(http://[^/?]*):80(?=[/?]|$)", r"\1", full)
    full = re.sub(r"^(https://[^/?]*):443(?=[/?]|$)", r"\1", full)
    base, _, query = full.partition("?")
    kept = [
        pair
        for pair in query.split("&")
        if pair and pair.split("=")[0] != "sid" and not pair.startswith("utm_")
    ]
    return base + ("?" + "&".join(kept) if kept else "")


# %% role="wrong" exercise="canonical" misconception="canonicalize_url does all of it" caught="check" says="sid=7"
def canonical(link, page):
    full = urljoin(page, link)
    return canonicalize_url(full) if full.startswith("http") else None


# %% role="wrong" exercise="canonical" misconception="The query is noise" caught="check" says="the address of"
def canonical(link, page):
    scheme, host, path, _, _ = urlsplit(urljoin(page, link))
    if scheme not in ("http", "https"):
        return None
    host = host.removesuffix({"http": ":80", "https": ":443"}[scheme])
    return canonicalize_url(urlunsplit((scheme, host, path, "", "")))


# %% role="wrong" exercise="canonical" misconception="Addresses are the same in small letters" caught="check" says="../Map#top"
def canonical(link, page):
    scheme, host, path, query, _ = urlsplit(urljoin(page, link).lower())
    if scheme not in ("http", "https"):
        return None
    host = host.removesuffix({"http": ":80", "https": ":443"}[scheme])
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "sid" and not name.startswith("utm_")
    ]
    return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))


# %% role="wrong" exercise="canonical" misconception="Parameters are a dictionary" caught="check" says="from=JFK&from=EWR"
def canonical(link, page):
    scheme, host, path, query, _ = urlsplit(urljoin(page, link))
    if scheme not in ("http", "https"):
        return None
    host = host.removesuffix({"http": ":80", "https": ":443"}[scheme])
    kept = dict(parse_qsl(query, keep_blank_values=True))
    kept = {n: v for n, v in kept.items() if n != "sid" and not n.startswith("utm_")}
    return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))


# %% role="wrong" exercise="canonical" misconception="A parameter without a value says nothing" caught="check" says="sid=7"
def canonical(link, page):
    scheme, host, path, query, _ = urlsplit(urljoin(page, link))
    if scheme not in ("http", "https"):
        return None
    host = host.removesuffix({"http": ":80", "https": ":443"}[scheme])
    kept = [
        (name, value)
        for name, value in parse_qsl(query)
        if name != "sid" and not name.startswith("utm_")
    ]
    return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))


# %% role="wrong" exercise="canonical" misconception="A slash at the end means nothing" caught="check" says="part=2"
def canonical(link, page):
    scheme, host, path, query, _ = urlsplit(urljoin(page, link))
    if scheme not in ("http", "https"):
        return None
    host = host.removesuffix({"http": ":80", "https": ":443"}[scheme])
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "sid" and not name.startswith("utm_")
    ]
    path = path.rstrip("/")
    return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))


# %% role="wrong" exercise="canonical" misconception="Every port may go" caught="check" says="a.example:443/x on"
def canonical(link, page):
    scheme, host, path, query, _ = urlsplit(urljoin(page, link))
    if scheme not in ("http", "https"):
        return None
    host = host.removesuffix(":80").removesuffix(":443")
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "sid" and not name.startswith("utm_")
    ]
    return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))


# %% role="wrong" exercise="canonical" misconception="Only mail links lead elsewhere" caught="hidden" says="None for"
def canonical(link, page):
    if link.startswith("mailto:"):
        return None
    scheme, host, path, query, _ = urlsplit(urljoin(page, link))
    host = host.removesuffix({"http": ":80", "https": ":443"}.get(scheme, " "))
    kept = [
        (name, value)
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "sid" and not name.startswith("utm_")
    ]
    return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))


# %% [markdown] role="equivalent" exercise="canonical" reason="canonicalize_url takes the fragment away"
# - return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "")))
# + return canonicalize_url(urlunsplit((scheme, host, path, urlencode(kept), "XXXX")))


# %% [markdown] topics=["4.1-7"]
# ## Ask first
#
# Before its first page, a polite crawler reads `/robots.txt`; RFC 9309 (2022) says how. It obeys the groups
# of lines that name it (`delay-watch`, not the address behind it), or else those for `*`. The *longest* rule that matches a path wins, wherever it
# stands; of two equally long ones, `Allow`. `*` stands for any text, `$` for the end. `Crawl-delay`, seconds
# between two requests, is not in the RFC, but common.
#
# robots.txt is a request, not a lock.
#
# **Predict:** `urllib.robotparser` of Python 3.12 and older reads the rules as of 1994: the first that fits wins.
# May we have the gates?

# %%
from urllib.robotparser import RobotFileParser

AGENT = "delay-watch/1.0 (+https://airline.example/bot)"
named = {"User-Agent": AGENT}
site_rules = requests.get(f"{url}/robots.txt", headers=named, timeout=10).text
print(site_rules.replace(url, "http://…"))
old = RobotFileParser()
old.parse(site_rules.splitlines())
new = Protego.parse(site_rules)
for path in ("/data/gates.json", "/data/staff.json", "/live?sid=7"):
    answers = old.can_fetch(AGENT, url + path), new.can_fetch(url + path, AGENT)
    print(f"{path:<17} 1994: {answers[0]!s:<6} RFC 9309: {answers[1]}")

# %% [markdown]
# They disagree twice. Scrapy uses Protego. `AGENT` says who we are.
#
# No parser sees the *status* of robots.txt. By the RFC, 4xx means that there are no rules; 5xx or no answer
# means that all is forbidden for now. Scrapy 2.19 does not look: an error page holds no rule, so it
# fetches all.

# %% [markdown] role="task" exercise="permission" points=2 topics=["4.1-7"]
# ### What a site permits
#
# Write `permission(status, text, agent, urls)`. `status` is that of robots.txt, or `None` if there was no
# answer; `text` is its body. Redirects are followed already. Return a dictionary with
#
# - `may`: those of the `urls` that `agent` may fetch, in the same order;
# - `delay`: the `Crawl-delay`, but at least 1, and 1 where there is none.
#
# Why: the night on which a server breaks down is the worst one to fetch everything.


# %% role="answer" exercise="permission"
def permission(status: int | None, text: str, agent: str, urls: list[str]) -> dict:
    """Which addresses an agent may fetch, and how slowly."""
    ### BEGIN SOLUTION
    if status is None or status >= 500:
        return {"may": [], "delay": 1}
    if status >= 400:
        return {"may": urls, "delay": 1}
    rules = Protego.parse(text)
    return {
        "may": [url for url in urls if rules.can_fetch(url, agent)],
        "delay": max(1, rules.crawl_delay(agent) or 1),
    }
    ### END SOLUTION


# %% role="check" exercise="permission"
with lab.check("permission") as answer:
    agent = "delay-watch/1.0 (+https://airline.example/bot)"
    text = """User-agent: *
        Crawl-delay: 9
        Disallow: /
        # Airlines may come in.
        User-agent: Delay-Watch
        User-agent: other-bot
        Disallow: /data
        Crawl-delay: 0.2
        User-agent: delay-watch
        Disallow: /*.pdf$
        Allow: /data/gates
        Crawl-delay: 2.5
    """
    urls = [
        f"http://a.example{path}"
        for path in ("/", "/data/gates.json", "/data", "/b.pdf")
    ]
    plain = "User-agent: *\nDisallow: /data\nCrawl-delay: 4"
    for case, status, body, may, delay in (
        ("two groups that name it", 200, text, urls[:2], 2.5),
        ("a Crawl-delay of 0.5", 200, text.replace("2.5", "0.5"), urls[:2], 1),
        ("rules for * only", 200, plain, [urls[0], urls[3]], 4),
        ("no Crawl-delay", 200, plain[:28], [urls[0], urls[3]], 1),
        ("status 404", 404, text, urls, 1),
        ("status 503", 503, text, [], 1),
        ("no answer", None, "", [], 1),
    ):
        answer.equal(
            answer.call("permission", status, body, agent, urls),
            {"may": may, "delay": delay},
            asked=f"what {agent} may fetch of {urls}, and the delay, for {case}",
        )

# %% role="hidden" exercise="permission"
with lab.check("permission", hidden=True) as answer:
    for _ in range(6):
        words = answer.random.sample(["gates", "staff", "boards", "maps"], 2)
        delay = answer.random.choice([3, 0.5, 12])
        name = answer.random.choice(["night-owl", "blue_bird"])
        rules = [
            f"Allow: /{words[0]}/*/open",
            f"Disallow: /{words[0]}",
            f"Crawl-delay: {delay}",
        ]
        answer.random.shuffle(rules)
        lines = [
            "User-Agent: *",
            "Disallow:",
            f"Disallow: /{words[1]}",
            f"USER-AGENT: {name}",
        ]
        paths = [
            f"/{words[0]}/7/open",
            f"/{words[1]}/x",
            f"/{words[0]}/7/closed",
            "/robots.txt",
        ]
        urls = [f"https://b.example{path}" for path in paths]
        answer.equal(
            answer.call("permission", 200, "\n".join(lines + rules), f"{name}/2", urls),
            {"may": [urls[0], urls[1], urls[3]], "delay": max(1, delay)},
            asked=f"what {name}/2 may, and the delay, with {lines + rules}",
        )
        status = answer.random.choice([400, 410, 499])
        answer.equal(
            answer.call("permission", status, "User-agent: *\nDisallow: /", name, urls),
            {"may": urls, "delay": 1},
            asked=f"all addresses for status {status}",
        )
        status = answer.random.choice([500, 502, 504])
        answer.equal(
            answer.call("permission", status, "User-agent: *\nAllow: /", name, urls),
            {"may": [], "delay": 1},
            asked=f"no address for status {status}",
        )

# %% [markdown] role="hint" exercise="permission"
# Which of the three kinds of status leaves you something to parse?

# %% [markdown] role="hint" exercise="permission"
# `Protego.parse(text)`, then `can_fetch(url, agent)` (mind the order) and `crawl_delay(agent)`, which is
# `None` where the group has none.

# %% [markdown] role="hint" exercise="permission"
# ```python
# if status is None or ...:
#     return {"may": ..., "delay": 1}
# if ...:
#     return {"may": ..., "delay": 1}
# rules = Protego.parse(text)
# return {"may": [...], "delay": max(...)}
# ```


# %% role="right" exercise="permission"
def permission(status, text, agent, urls):
    if not status or status // 100 == 5:
        text = "User-agent: *\nDisallow: /"
        return {"may": [], "delay": 1}
    if status // 100 == 4:
        text = ""
    rules = Protego.parse(text)
    delay = rules.crawl_delay(agent)
    if delay is None or delay < 1:
        delay = 1.0
    return {"may": [u for u in urls if rules.can_fetch(u, agent)], "delay": delay}


# %% role="wrong" exercise="permission" misconception="The parser of the standard library will do" caught="check" says="two groups"
def permission(status, text, agent, urls):
    if status is None or status >= 500:
        return {"may": [], "delay": 1}
    if status >= 400:
        return {"may": urls, "delay": 1}
    rules = RobotFileParser()
    rules.parse(text.splitlines())
    delay = rules.crawl_delay(agent)
    may = [url for url in urls if rules.can_fetch(agent, url)]
    return {"may": may, "delay": max(1, delay or 1)}


# %% role="wrong" exercise="permission" misconception="Without readable rules, all is allowed" caught="check" says="status 503"
def permission(status, text, agent, urls):
    if status != 200:
        return {"may": urls, "delay": 1}
    rules = Protego.parse(text)
    may = [url for url in urls if rules.can_fetch(url, agent)]
    return {"may": may, "delay": max(1, rules.crawl_delay(agent) or 1)}


# %% role="wrong" exercise="permission" misconception="Without readable rules, all is forbidden" caught="check" says="status 404"
def permission(status, text, agent, urls):
    if status != 200:
        return {"may": [], "delay": 1}
    rules = Protego.parse(text)
    may = [url for url in urls if rules.can_fetch(url, agent)]
    return {"may": may, "delay": max(1, rules.crawl_delay(agent) or 1)}


# %% role="wrong" exercise="permission" misconception="What a body says counts, whatever its status" caught="check" says="status 404"
def permission(status, text, agent, urls):
    rules = Protego.parse(text)
    may = [url for url in urls if rules.can_fetch(url, agent)]
    return {"may": may, "delay": max(1, rules.crawl_delay(agent) or 1)}


# %% role="wrong" exercise="permission" misconception="The rules for all hold for me as well" caught="check" says="two groups"
def permission(status, text, agent, urls):
    if status is None or status >= 500:
        return {"may": [], "delay": 1}
    if status >= 400:
        return {"may": urls, "delay": 1}
    rules = Protego.parse(text)
    may = [u for u in urls if rules.can_fetch(u, agent) and rules.can_fetch(u, "*")]
    return {"may": may, "delay": max(1, rules.crawl_delay(agent) or 1)}


# %% role="wrong" exercise="permission" misconception="A delay of their own is all they can ask" caught="check" says="Crawl-delay of 0.5"
def permission(status, text, agent, urls):
    if status is None or status >= 500:
        return {"may": [], "delay": 1}
    if status >= 400:
        return {"may": urls, "delay": 1}
    rules = Protego.parse(text)
    may = [url for url in urls if rules.can_fetch(url, agent)]
    return {"may": may, "delay": rules.crawl_delay(agent) or 1}


# %% role="wrong" exercise="permission" misconception="Only a missing file is no rule" caught="hidden" says="all addresses"
def permission(status, text, agent, urls):
    if status == 404:
        return {"may": urls, "delay": 1}
    if status != 200:
        return {"may": [], "delay": 1}
    rules = Protego.parse(text)
    may = [url for url in urls if rules.can_fetch(url, agent)]
    return {"may": may, "delay": max(1, rules.crawl_delay(agent) or 1)}


# %% role="wrong" exercise="permission" misconception="Only 503 means trouble" caught="hidden" says="no address"
def permission(status, text, agent, urls):
    if status in (None, 503):
        return {"may": [], "delay": 1}
    if status >= 400:
        return {"may": urls, "delay": 1}
    rules = Protego.parse(text)
    may = [url for url in urls if rules.can_fetch(url, agent)]
    return {"may": may, "delay": max(1, rules.crawl_delay(agent) or 1)}


# %% [markdown] role="equivalent" exercise="permission" reason="redirects are followed before"
# - if status >= 400:
# + if status >= (399):


# %% [markdown] role="equivalent" exercise="permission" reason="the larger of two is the same in any order"
# - "delay": max(1, rules.crawl_delay(agent) or 1),
# + "delay": max(rules.crawl_delay(agent) or 1, 1),
#
# - "delay": max(1, rules.crawl_delay(agent) or 1),
# + "delay": max(1, rules.crawl_delay(agent) or (0)),


# %% [markdown] topics=["4.1-7"]
# ## A spider that comes home
#
# Scrapy does most of the work; you say how.
#
# | In Scrapy | What it does |
# |---|---|
# | `USER_AGENT` | who asks |
# | `ROBOTSTXT_OBEY` | obeys robots.txt; off by default |
# | `CONCURRENT_REQUESTS_PER_DOMAIN` | requests at one time, by default 8 |
# | `DOWNLOAD_DELAY` | seconds between two, give or take half; `Crawl-delay` is ignored |
# | `DOWNLOAD_DELAY_JITTER` | the half; 0 keeps the delay |
# | `DEPTH_LIMIT`, `CLOSESPIDER_PAGECOUNT` | bounds against what you did not foresee |
# | `LinkExtractor(allow=…)` | links whose address fits a regular expression |
#
# The first three stand in the spider's attribute `custom_settings`. `response.follow(address, self.parse)`
# makes a request whose answer goes to `parse`.
#
# An address does not tell a trap; *content* does. A page that says what another one said is a *duplicate*:
# leave it, and do not follow its links.
#
# **Predict:** below, one board is fetched twice. Are the two answers equal? Are the two texts?


# %%
def as_page(response):
    """What we keep of an answer: where it came from, when, and what it was."""
    headers = response.headers.to_unicode_dict()
    return {
        "url": response.url,
        "fetched_at": datetime.now(UTC),
        "headers": {name.lower(): value for name, value in headers.items()},
        "html": response.text,
    }


first, second = (requests.get(f"{url}/arrivals/A", timeout=10).text for _ in range(2))
print("answers equal:", first == second)
texts = [" ".join(Selector(t).css("main ::text").getall()) for t in (first, second)]
print("texts equal:", texts[0] == texts[1], "|", texts[0].split("\n")[0])

# %% [markdown] role="task" exercise="spider" points=3 topics=["4.1-7"]
# ### A spider for any such site
#
# Write `spider(url)`, which returns a *class* of spider. It begins at `f"{url}/"`, says `AGENT`, obeys
# robots.txt, and asks for one page at a time. The delay is not its business.
#
# It yields `as_page(response)` once for each board with flights, `/arrivals/…`, and each aircraft,
# `/aircraft/…`. Different pages differ in the text of `main`; a board without flights says `No flights.`
# there. It asks for canonical addresses only, and for at most 20 pages beyond those that it yields, since
# each trap costs a step. Sites differ in the number of boards.
#
# Why: a crawl that ends by itself can run each night.


# %%
def visit(url, delay=2):
    """Crawl a site with your spider: the names of its pages, and how it was done."""
    found = crawl(spider(url), DOWNLOAD_DELAY=delay)
    names = [page_name(page["url"]) for page in found.pop("items")]
    log = request_log(url)
    return found | {
        "names": sorted(names),
        "extra": len(log) - len(names),
        "bad": [e["path"] for e in log if re.search("sid=|utm_|/staff/", e["path"])],
        "agents": sorted({entry["agent"] for entry in log}),
    }


# %% role="answer" exercise="spider"
def spider(url: str) -> type:
    """A class of spider that visits each board and each aircraft of a site once."""
    ### BEGIN SOLUTION
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/"])
    manners = {
        "USER_AGENT": AGENT,
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
    }

    class Airport(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text in self.seen or "No flights." in text:
                return
            self.seen.add(text)
            if response.url != f"{url}/":
                yield as_page(response)
            for link in links.extract_links(response):
                address = canonical(link.url, response.url)
                yield response.follow(address, self.parse)

    return Airport
    ### END SOLUTION


# %% role="check" exercise="spider"
with lab.check("spider") as answer:
    answer.value("spider")
    found = answer.call("visit", answer.call("open_site", seed=1, flights=12))
    answer.equal(
        found["names"],
        sorted(Airport(1, 12).names()),
        asked="each board with flights and each aircraft once, of a site with 12 flights",
        found=f"{len(found['names'])} pages, {len(set(found['names']))} of them different",
    )
    answer.true(
        found["extra"] <= 20,
        asked="at most 20 requests beyond",
        found=f"{found['extra']} requests beyond",
    )
    answer.equal(
        found["agents"],
        ["delay-watch/1.0 (+https://airline.example/bot)"],
        asked="AGENT in each request",
    )
    answer.equal(
        found["bad"],
        [],
        asked="canonical addresses only, and none that robots.txt forbids",
    )
    answer.true(
        found["at_once"] == 1,
        asked="one request at a time",
        found=f"{found['at_once']} at a time",
    )

# %% role="hidden" exercise="spider"
with lab.check("spider", hidden=True) as answer:
    answer.value("spider")
    seed = answer.random.randrange(10**6)
    robots = "User-agent: delay-watch\nDisallow: /*aircraft/\nDisallow: /*sid="
    for flights, rules in ((29, None), (9, robots)):
        options = {"robots": rules} if rules else {}
        found = answer.call(
            "visit", answer.call("open_site", seed, flights, **options), 5
        )
        names = Airport(seed, flights).names()
        if rules:
            names = [name for name in names if name.startswith("/arrivals/")]
        answer.equal(
            found["names"],
            sorted(names),
            asked=f"each page of another site once, {'without forbidden ones' if rules else 'a larger one'}",
            found=f"{len(found['names'])} pages, {len(set(found['names']))} of them different",
        )
        answer.true(
            found["extra"] <= 20,
            asked="at most 20 requests beyond, on another site",
            found=f"{found['extra']} requests beyond",
        )

# %% [markdown] role="hint" exercise="spider"
# Two pages of a trap: in what do they differ from each other, in what from a page that you want?

# %% [markdown] role="hint" exercise="spider"
# A set of texts, in `self.seen`, made in `__init__`. `LinkExtractor(allow=[…])` has
# `extract_links(response)`; each link has a `url`. A `return` in `parse` ends a page.

# %% [markdown] role="hint" exercise="spider"
# ```python
# links = LinkExtractor(allow=[...])
# manners = {"USER_AGENT": ..., "ROBOTSTXT_OBEY": ..., ...}
#
# class Site(scrapy.Spider):
#     name = "site"
#     start_urls = (f"{url}/",)
#     custom_settings = manners
#
#     def __init__(self):
#         self.seen = set()
#
#     def parse(self, response):
#         text = " ".join(response.css("main ::text").getall())
#         if ...:
#             return
#         ...
#         for link in links.extract_links(response):
#             yield response.follow(canonical(...), self.parse)
#
# return Site
# ```


# %% role="right" exercise="spider"
def spider(url):
    from scrapy.dupefilters import RFPDupeFilter
    from scrapy.spiders import CrawlSpider, Rule

    wanted = r"^http://[^/]+/(arrivals|aircraft)/\w+(\?part=[2-9]\d*)?$"
    good = {
        "USER_AGENT": AGENT,
        "ROBOTSTXT_OBEY": "True",
        "CONCURRENT_REQUESTS": 1,
        "DUPEFILTER_CLASS": RFPDupeFilter,
    }

    def full(response):
        return "No flights." not in response.text

    def kept(links):
        return [link for link in links if re.search(wanted, link.url)]

    class Boards(CrawlSpider):
        name = "boards"
        custom_settings = good
        start_urls = (f"{url}/",)

        def parse_start_url(self, response):
            for link in kept(self.clean(LinkExtractor().extract_links(response))):
                yield scrapy.Request(link.url, self.board)

        def clean(self, links):
            for link in links:
                link.url = canonical(link.url, url) or ""
            return links

        def board(self, response):
            if full(response):
                yield as_page(response)
                for link in kept(self.clean(LinkExtractor().extract_links(response))):
                    yield scrapy.Request(link.url, self.board)

    Boards.rules = ()
    assert Rule
    return Boards


# %% role="right" exercise="spider"
def spider(url):
    async def start(self):
        yield scrapy.Request(url + "/", callback=self.parse)

    def parse(self, response):
        main = response.xpath("string(//main)").get()
        mark = hashlib.sha256(main.encode()).digest()
        if mark in self.marks or "No flights" in main:
            return
        self.marks.append(mark)
        path = urlsplit(response.url).path
        if path.startswith(("/arrivals/", "/aircraft/")):
            yield as_page(response)
        for href in response.css("a::attr(href)").getall():
            to = canonical(href, response.url)
            if to and re.search("/(arrivals|aircraft)/", to):
                yield scrapy.Request(to, callback=self.parse)

    settings = {
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "USER_AGENT": AGENT,
        "DEPTH_LIMIT": 30,
    }
    body = {
        "name": "x",
        "start": start,
        "parse": parse,
        "marks": [],
        "custom_settings": settings,
    }
    return type("X", (scrapy.Spider,), body)


# %% role="wrong" exercise="spider" misconception="Canonical addresses end every trap" caught="check" says="requests beyond"
def spider(url):
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/"])
    manners = {
        "USER_AGENT": AGENT,
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
    }

    class Airport(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text not in self.seen and "No flights." not in text:
                self.seen.add(text)
                if response.url != f"{url}/":
                    yield as_page(response)
            for link in links.extract_links(response):
                yield response.follow(canonical(link.url, response.url), self.parse)

    return Airport


# %% role="wrong" exercise="spider" misconception="The whole answer shows whether a page is new" caught="check" says="of them different"
def spider(url):
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/"])
    manners = {
        "USER_AGENT": AGENT,
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "DEPTH_LIMIT": 6,
    }

    class Airport(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            if response.text in self.seen or "No flights." in response.text:
                return
            self.seen.add(response.text)
            if response.url != f"{url}/":
                yield as_page(response)
            for link in links.extract_links(response):
                yield response.follow(canonical(link.url, response.url), self.parse)

    return Airport


# %% role="wrong" exercise="spider" misconception="Scrapy is polite by default" caught="check" says="/staff/"
def spider(url):
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/", "/staff/"])
    manners = {"USER_AGENT": AGENT, "CONCURRENT_REQUESTS_PER_DOMAIN": 1}

    class Airport(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text in self.seen or "No flights." in text or "/staff/" in response.url:
                return
            self.seen.add(text)
            if response.url != f"{url}/":
                yield as_page(response)
            for link in links.extract_links(response):
                yield response.follow(canonical(link.url, response.url), self.parse)

    return Airport


# %% role="wrong" exercise="spider" misconception="A delay makes a crawl one request at a time" caught="check" says="8 at a time"
def spider(url):
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/"])
    manners = {"USER_AGENT": AGENT, "ROBOTSTXT_OBEY": True, "DOWNLOAD_DELAY": 2}

    class Airport(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text in self.seen or "No flights." in text:
                return
            self.seen.add(text)
            if response.url != f"{url}/":
                yield as_page(response)
            for link in links.extract_links(response):
                yield response.follow(canonical(link.url, response.url), self.parse)

    return Airport


# %% role="wrong" exercise="spider" misconception="A name in the spider is enough" caught="check" says="Scrapy/"
def spider(url):
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/"])
    manners = {"ROBOTSTXT_OBEY": True, "CONCURRENT_REQUESTS_PER_DOMAIN": 1}

    class Airport(scrapy.Spider):
        name = AGENT
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text in self.seen or "No flights." in text:
                return
            self.seen.add(text)
            if response.url != f"{url}/":
                yield as_page(response)
            for link in links.extract_links(response):
                yield response.follow(canonical(link.url, response.url), self.parse)

    return Airport


# %% role="wrong" exercise="spider" misconception="A small depth is the cure" caught="hidden" says="of them different"
def spider(url):
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/"])
    manners = {
        "USER_AGENT": AGENT,
        "ROBOTSTXT_OBEY": True,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "DEPTH_LIMIT": 3,
    }

    class Airport(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text in self.seen or "No flights." in text:
                return
            self.seen.add(text)
            if response.url != f"{url}/":
                yield as_page(response)
            for link in links.extract_links(response):
                yield response.follow(canonical(link.url, response.url), self.parse)

    return Airport


# %% role="wrong" exercise="spider" misconception="I know the rules of this site" caught="hidden" says="without forbidden"
def spider(url):
    links = LinkExtractor(allow=["/arrivals/", "/aircraft/"], deny=["/staff/"])
    manners = {"USER_AGENT": AGENT, "CONCURRENT_REQUESTS_PER_DOMAIN": 1}

    class Airport(scrapy.Spider):
        name = "airport"
        start_urls = (f"{url}/",)
        custom_settings = manners

        def __init__(self):
            self.seen = set()

        def parse(self, response):
            text = " ".join(response.css("main ::text").getall())
            if text in self.seen or "No flights." in text:
                return
            self.seen.add(text)
            if response.url != f"{url}/":
                yield as_page(response)
            for link in links.extract_links(response):
                yield response.follow(canonical(link.url, response.url), self.parse)

    return Airport


# %% [markdown] role="equivalent" exercise="spider" reason="a name and a separator are free, links of an extractor are whole, parse is the default"
# - name = "airport"
# + name = "XXairportXX"
#
# - text = " ".join(response.css("main ::text").getall())
# + text = "XX XX".join(response.css("main ::text").getall())
#
# - address = canonical(link.url, response.url)
# + address = canonical(link.url, None)
#
# - yield response.follow(address, self.parse)
# + yield response.follow(address, None)
#
# - yield response.follow(address, self.parse)
# + yield response.follow(address, )


# %% [markdown]
# Your spider on the site of the beginning:

# %%
url = open_site()
if spider(url):  # after exercise 3
    visit(url)
wanted, kinds = Airport().names(), ("the 23 pages", "seen before", "other pages")


def sorts(log):
    """How many requests brought a new wanted page, one seen before, something else."""
    pages = [entry["page"] for entry in log]
    new = len({*pages} & {*wanted})
    again = sum(page in wanted for page in pages) - new
    return [new, again, len(pages) - new - again]


figure, axes = plt.subplots(figsize=(7, 2.2))
rows = {"yours": sorts(request_log(url)), "careless": sorts(careless)}
for number, (kind, color) in enumerate(
    zip(kinds, ("#35507a", "#c44e00", "#9aa5b1"), strict=True)
):
    left = [sum(row[:number]) for row in rows.values()]
    axes.barh(
        [*rows],
        [row[number] for row in rows.values()],
        left=left,
        color=color,
        label=kind,
    )
axes.set(xlabel="requests", ylabel="spider")
axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.25))
print(rows)
picture(
    figure,
    alt="Two bars of requests. The careless spider spends nearly all of its 150 on pages that it has "
    "seen before; yours needs about 40, and more than half of them bring a wanted page.",
)

# %% [markdown]
# A *sitemap*, named in robots.txt, lists a site's addresses, with the day of their last change. Scrapy's
# `SitemapSpider` begins there.

# %%
from scrapy.utils.sitemap import Sitemap

for entry in Sitemap(requests.get(f"{url}/sitemap.xml", timeout=10).content):
    pages = [*Sitemap(requests.get(entry["loc"], timeout=10).content)]
    path = pages[0]["loc"].replace(url, "")
    print(f"{len(pages)} pages, such as {path}, changed on {pages[0]['lastmod']}")

# %% [markdown]
# Do not rely on `lastmod`: some write today everywhere, others forget it.

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
# ## A page without data
#
# `/live` shows gates in a browser. A crawler sees an empty box, which a script fills. A browser costs much, on
# both sides. So look, in this order, for
#
# 1. JSON *in* the page: in a script of type `application/json`, or in a variable, `window.STATE = {…};`;
# 2. an address of data, in an attribute such as `data-src`, or in the network view of a browser's tools;
# 3. a browser, run by Playwright or Selenium.
#
# robots.txt holds for that address, too.
#
# **Predict:** which of the three will do here?

# %%
live = requests.get(f"{url}/live", timeout=10).text
print(Selector(live).css("#live").get())
behind_it = f"{url}/data/gates.json"
print("allowed:", new.can_fetch(behind_it, AGENT))
print(requests.get(behind_it, timeout=10).json()["gates"][:2])

# %% [markdown]
# For comparison, a real browser, where there is one:

# %% tags=["nbval-ignore-output"]
drawn = draw(f"{url}/live")
if drawn is None:
    print("There is no Chromium here that runs. All else in this lab works without.")
else:
    print(Selector(drawn).css("#live td::text").getall()[:4])

# %% [markdown] role="task" exercise="behind" points=2 topics=["4.1-7"]
# ### Look before you browse
#
# Write `behind(url, html)` for the page `html` at `url`. Return a dictionary with one entry, the first that
# the page has:
#
# | Entry | When |
# |---|---|
# | `data`: the value | a script of type `application/json` holds it |
# | `data`: the value | a script says `window.NAME = {…}` with JSON, and goes on in any way |
# | `ask`: the full address | a `data-src` has a path that ends in `.json` |
# | `browser`: `url` | always |
#
# What is no JSON does not count.
#
# Why: most pages that "need a browser" do not.


# %% role="answer" exercise="behind"
def behind(url: str, html: str) -> dict:
    """Where the data of a page are: in it, at another address, or only in a browser."""
    ### BEGIN SOLUTION
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        for found in re.finditer(r"window\.\w+\s*=\s*(?=\{)", script):
            try:
                value, _ = json.JSONDecoder().raw_decode(script, found.end())
            except json.JSONDecodeError:
                continue
            return {"data": value}
    for source in page.css("[data-src]::attr(data-src)").getall():
        address = urljoin(url, source)
        if urlsplit(address).path.endswith(".json"):
            return {"ask": address}
    return {"browser": url}
    ### END SOLUTION


# %% role="check" exercise="behind"
with lab.check("behind") as answer:
    page = "http://a.example/en/live"
    gates = {"gates": [{"flight": "9E41", "gate": "A7"}], "note": "closed; see {B}"}
    lazy = '<img data-src="/plan.png"><div data-src="../data/gates.json?v=3"></div>'
    code = f"if (x) {{}} window.APP = {json.dumps(gates)}; start({{}});"
    layer = (
        "<script>window.dataLayer = {a: 1}; window.dataLayer = window.b || [];</script>"
    )
    for case, html, expected in (
        (
            "a script of type application/json, and a data-src",
            f'{lazy}<script type="application/json">{json.dumps(gates)}</script>',
            {"data": gates},
        ),
        (
            "a variable and code behind it",
            f"{layer}{lazy}<script>{code}</script>",
            {"data": gates},
        ),
        (
            "a data-src with JSON",
            layer + lazy,
            {"ask": "http://a.example/data/gates.json?v=3"},
        ),
        ("a data-src with an image", '<img data-src="/plan.png">', {"browser": page}),
    ):
        answer.equal(
            answer.call("behind", page, f"<html><body>{html}</body></html>"),
            expected,
            asked=f"what is behind a page with {case}: {html}",
        )

# %% role="hidden" exercise="behind"
with lab.check("behind", hidden=True) as answer:
    for _ in range(4):
        number = answer.random.randint(100, 999)
        data = {
            "gates": {f"Ñ{number}": [f"A{number}", None]},
            "text": '}; </b> \\" end',
        }
        name = answer.random.choice(["__STATE__", "app1"])
        junk = answer.random.choice(
            ["window.a = {b};", "window.x = {'y': 1}; var z = {};"]
        )
        space = answer.random.choice(["", "\n  "])
        pages = {
            "JSON of its own": f'<script type="application/json" id="x">{json.dumps(data)}</script>',
            "a variable": f"<script>{junk} window.{name}{space}={space}{json.dumps(data)}\nrun()</script>",
        }
        for case, html in pages.items():
            answer.equal(
                answer.call("behind", "http://b.example/", f"<main>{html}</main>"),
                {"data": data},
                asked=f"the data of a page with {case}",
            )
        code = "<code>window.x = {}</code>"
        html = f"<main>{code}<p data-src='{number}.json'><p data-src='b.json'></main>"
        answer.equal(
            answer.call("behind", f"http://b.example/day/{number}", html),
            {"ask": f"http://b.example/day/{number}.json"},
            asked=f"the address that {html} names",
        )

# %% [markdown] role="hint" exercise="behind"
# Where does an object end, when strings in it may hold `}` and `;`? Who knows that, a pattern or a parser?

# %% [markdown] role="hint" exercise="behind"
# `json.JSONDecoder().raw_decode(text, start)` reads one value from a place on, and says where it ended.
# A pattern need only find the start; `(?=\{)` looks ahead without taking.

# %% [markdown] role="hint" exercise="behind"
# ```python
# page = Selector(html)
# if inside := page.css('script[type="application/json"]::text').get():
#     return ...
# for script in page.css("script::text").getall():
#     for found in re.finditer(r"window\.\w+\s*=\s*(?=\{)", script):
#         try:
#             ...
#         except json.JSONDecodeError:
#             continue
# for source in page.css("[data-src]::attr(data-src)").getall():
#     ...
# return {"browser": url}
# ```


# %% role="right" exercise="behind"
def behind(url, html):
    import lxml.html

    tree = lxml.html.fromstring(html)
    texts = [(s.get("type"), s.text or "") for s in tree.iter("script")]
    for kind, text in texts:
        if kind == "application/json":
            return {"data": json.loads(text)}
    for _, text in texts:
        for start in [m.end() - 1 for m in re.finditer(r"window\.\w+\s*=\s*\{", text)]:
            try:
                return {"data": json.JSONDecoder().raw_decode(text[start:])[0]}
            except ValueError:
                pass
    sources = [urljoin(url, source) for source in tree.xpath("//@data-src")]
    sources = [s for s in sources if s.split("#")[0].split("?")[0].endswith(".json")]
    return {"ask": sources[0]} if sources else {"browser": url}


# %% role="wrong" exercise="behind" misconception="An object ends at its first closing brace" caught="check" says="a variable"
def behind(url, html):
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        for found in re.finditer(r"window\.\w+\s*=\s*(\{.*?\})", script, re.DOTALL):
            try:
                return {"data": json.loads(found[1])}
            except json.JSONDecodeError:
                continue
    for source in page.css("[data-src]::attr(data-src)").getall():
        address = urljoin(url, source)
        if urlsplit(address).path.endswith(".json"):
            return {"ask": address}
    return {"browser": url}


# %% role="wrong" exercise="behind" misconception="An object ends at the last closing brace" caught="check" says="a variable"
def behind(url, html):
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        for found in re.finditer(r"window\.\w+\s*=\s*(\{.*\})", script, re.DOTALL):
            try:
                return {"data": json.loads(found[1])}
            except json.JSONDecodeError:
                continue
    for source in page.css("[data-src]::attr(data-src)").getall():
        address = urljoin(url, source)
        if urlsplit(address).path.endswith(".json"):
            return {"ask": address}
    return {"browser": url}


# %% role="wrong" exercise="behind" misconception="The endpoint first" caught="check" says="application/json"
def behind(url, html):
    page = Selector(html)
    for source in page.css("[data-src]::attr(data-src)").getall():
        address = urljoin(url, source)
        if urlsplit(address).path.endswith(".json"):
            return {"ask": address}
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    return {"browser": url}


# %% role="wrong" exercise="behind" misconception="Every data-src is data" caught="check" says="a data-src"
def behind(url, html):
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        for found in re.finditer(r"window\.\w+\s*=\s*(?=\{)", script):
            try:
                return {"data": json.JSONDecoder().raw_decode(script, found.end())[0]}
            except json.JSONDecodeError:
                continue
    source = page.css("[data-src]::attr(data-src)").get()
    return {"ask": urljoin(url, source)} if source else {"browser": url}


# %% role="wrong" exercise="behind" misconception="What a page assigns is JSON" caught="check" says="JSONDecodeError"
def behind(url, html):
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        if found := re.search(r"window\.\w+\s*=\s*(?=\{)", script):
            return {"data": json.JSONDecoder().raw_decode(script, found.end())[0]}
    for source in page.css("[data-src]::attr(data-src)").getall():
        address = urljoin(url, source)
        if urlsplit(address).path.endswith(".json"):
            return {"ask": address}
    return {"browser": url}


# %% role="wrong" exercise="behind" misconception="Addresses in attributes are whole" caught="check" says="a data-src with JSON"
def behind(url, html):
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        for found in re.finditer(r"window\.\w+\s*=\s*(?=\{)", script):
            try:
                return {"data": json.JSONDecoder().raw_decode(script, found.end())[0]}
            except json.JSONDecodeError:
                continue
    for source in page.css("[data-src]::attr(data-src)").getall():
        if ".json" in source:
            return {"ask": source}
    return {"browser": url}


# %% role="wrong" exercise="behind" misconception="The last of several will do" caught="hidden" says="the address that"
def behind(url, html):
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        for found in re.finditer(r"window\.\w+\s*=\s*(?=\{)", script):
            try:
                return {"data": json.JSONDecoder().raw_decode(script, found.end())[0]}
            except json.JSONDecodeError:
                continue
    for source in page.css("[data-src]::attr(data-src)").getall()[::-1]:
        address = urljoin(url, source)
        if urlsplit(address).path.endswith(".json"):
            return {"ask": address}
    return {"browser": url}


# %% role="wrong" exercise="behind" misconception="An assignment stands at the start of its line" caught="hidden" says="a variable"
def behind(url, html):
    page = Selector(html)
    if inside := page.css('script[type="application/json"]::text').get():
        return {"data": json.loads(inside)}
    for script in page.css("script::text").getall():
        for found in re.finditer(r"window\.\w+ = (?=\{)", script):
            try:
                return {"data": json.JSONDecoder().raw_decode(script, found.end())[0]}
            except json.JSONDecodeError:
                continue
    for source in page.css("[data-src]::attr(data-src)").getall():
        address = urljoin(url, source)
        if urlsplit(address).path.endswith(".json"):
            return {"ask": address}
    return {"browser": url}


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
        if spider(url):
            crawl(spider(url), HTTPCACHE_DIR=folder, **CACHE)
        statuses = [entry["status"] for entry in request_log(url)[before:]]
        counts = {status: statuses.count(status) for status in sorted({*statuses})}
        print(f"night {number}:", counts)
        time_passes(url, changed=2)

# %% [markdown] role="task" exercise="night" points=4 topics=["4.1-7"]
# ### One night, all together
#
# Write `night(url, folder, last)`. `folder` holds the cache, from night to night; `last` are the records of
# the last good one. Ask for robots.txt as `AGENT`; without an answer, its status is `None`. Crawl with your
# `spider`, the delay of `permission`, and the cache. Records are what `admit` makes of the `rows` of `board`.
#
# Return a dictionary:
#
# - `complaints`: `["robots.txt"]`, without any further request, if `permission` forbids `{url}/`; else those of
#   your function about tonight's records;
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
# | give each page one address | the library knows the standard, only you know `sid` |
# | read robots.txt | longest rule wins; 4xx open, 5xx closed |
# | write a spider that ends | compare content, not addresses |
# | read tables | whole cells; refuse, do not guess |
# | do without a browser | look for JSON first |
# | keep what you may | list what to keep, not what to drop |
# | notice a new design | compare with the last good night |
#
# **New words.** *Canonical address*: the one form of a page's addresses. *Trap*: addresses without end.
# *Provenance*: where a value came from, when, and how.
#
# **Read on.** RFC 9309, *Robots Exclusion Protocol* (2022). Scrapy 2.19 documentation, "Common Practices".
# Directive (EU) 2019/790, articles 3 and 4, with recital 18.

# %%
lab.close()
