# %% [markdown] minutes=60 datasets=["flights-day-parquet", "airports", "planes"] systems=[]
# # Crawling
#
# Partner airports show gates and delays on web pages, and have no API. A crawler went there one night and did not
# come home. You write one that asks first, comes home, and leaves the browser closed.

# %% [markdown]
# ## You will be able to
#
# - give each page one address (exercise 1)
# - read robots.txt as the standard says (exercise 2)
# - write a spider of Scrapy that no trap holds (exercise 3)
# - find the data behind a page that needs a browser (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python classes, HTML | a spider is a class, and reads it |
# | the lab *APIs* | status codes |
#
# The web sites are *models*: small servers in this notebook, with real HTTP, real flights of one day,
# and invented gates and people. Scrapy 2.19, Protego and parsel are the real ones.
#
# Scrapy starts only once in a process, so `crawl(spider, **settings)` gives each spider its own. Pauses are
# 1,000 times as short there.

# %% role="setup"
import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import matplotlib.pyplot as plt
import requests
import scrapy
from parsel import Selector
from protego import Protego
from scrapy.linkextractors import LinkExtractor
from w3lib.url import canonicalize_url

from labkit import open_lab, picture
from labkit.web.crawl import crawl, draw
from labkit.web.site import (
    Airport,
    open_site,
    page_name,
    request_log,
    serve,
)

lab = open_lab("04-1-ingestion/05-crawling")
print(serve())
lab

# %% [markdown] topics=["4.1-7"]
# ## Break it: a crawl that never comes home
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
        mark = " ".join(main.split())
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
yours = spider(url)
if yours:
    visit(url)
wanted, kinds = Airport().names(), ("the 23 pages", "seen before", "other pages")


def sorts(log):
    """How many requests brought a new wanted page, one seen before, something else."""
    pages = [entry["page"] for entry in log]
    new = len({*pages} & {*wanted})
    again = sum(page in wanted for page in pages) - new
    return [new, again, len(pages) - new - again]


figure, axes = plt.subplots(figsize=(7, 2.2))
rows = {"yours": sorts(request_log(url))} if yours else {}
rows["careless"] = sorts(careless)
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


# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | give each page one address | the library knows the standard, only you know `sid` |
# | read robots.txt | longest rule wins; 4xx open, 5xx closed |
# | write a spider that ends | compare content, not addresses |
# | do without a browser | look for JSON first |
#
# **New words.** *Crawler*: follows links. *Canonical address*: the one form of a page's addresses. *Trap*: addresses without
# end. *Sitemap*: a site's own list of its addresses.
#
# **Read on.** RFC 9309, *Robots Exclusion Protocol* (2022). Scrapy 2.19 documentation, "Common Practices".

# %%
lab.close()
