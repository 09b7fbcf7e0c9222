"""The model of a web site treats crawlers as real ones do, and spiders run beside the kernel."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import requests
import scrapy
from parsel import Selector
from protego import Protego

from labkit.errors import CourseError
from labkit.web import crawl, site


@pytest.fixture(autouse=True)
def server():
    yield site.serve()
    if site._server:
        site._server.stop()


@pytest.fixture(scope="module", autouse=True)
def worker():
    yield
    crawl.stop()


def get(url: str, path: str = "/", **headers: str) -> requests.Response:
    return requests.get(url + path, headers=headers, timeout=10)


def spider(url: str, **body) -> type:
    def parse(self, response):
        yield {"url": response.url}
        yield from response.follow_all(css="a")

    body = {"name": "test", "start_urls": (f"{url}/",), "parse": parse} | body
    return type("Test", (scrapy.Spider,), body)


def test_the_same_seed_gives_the_same_site_and_another_one_another():
    one, same, other = (site.open_site(seed) for seed in (3, 3, 4))
    paths = ["/", "/arrivals/A", "/arrivals/B?part=2", "/live"]

    def texts(url: str) -> list[str]:
        return [get(url, path).text.replace(url.rpartition(":")[2], "port") for path in paths]

    assert texts(one) == texts(same)
    assert get(one, "/arrivals/A").text != get(other, "/arrivals/A").text


def test_each_wanted_page_is_there_and_all_say_that_they_are_a_model():
    url = site.open_site(2)
    names = site.Airport(2).names()
    assert len(names) == len(set(names))
    for name in names:
        answer = get(url, name)
        assert answer.status_code == 200
        assert "A model, not a real site" in answer.text
        assert site.page_name(url + name) == name
    assert {entry["kind"] for entry in site.request_log(url)} == {"arrivals", "aircraft"}


def test_robots_and_sitemaps_name_the_pages_and_the_pace():
    url = site.open_site()
    rules = Protego.parse(get(url, "/robots.txt").text)
    assert not rules.can_fetch(f"{url}/staff/rota", "any")
    assert not rules.can_fetch(f"{url}/arrivals/A?sid=1", "any")
    assert rules.can_fetch(f"{url}/data/gates.json", "any")
    assert rules.crawl_delay("any") == 2
    (start,) = rules.sitemaps
    listed = []
    for place in Selector(get(start, "").text, type="xml").xpath("//*[local-name()='loc']/text()"):
        page = Selector(get(place.get(), "").text, type="xml")
        listed += page.xpath("//*[local-name()='loc']/text()").getall()
    assert sorted(listed) == sorted(url + name for name in site.Airport().names())


@pytest.mark.parametrize("status", [404, 503])
def test_robots_may_have_another_status(status):
    assert get(site.open_site(robots=status), "/robots.txt").status_code == status


def test_answers_differ_and_their_main_part_does_not():
    url = site.open_site()
    one, two = get(url, "/arrivals/A"), get(url, "/arrivals/A")
    assert one.text != two.text
    assert len({Selector(answer.text).css("main").get() for answer in (one, two)}) == 1
    assert one.headers["ETag"] == two.headers["ETag"]


def test_traps_have_no_end():
    url = site.open_site()
    deep = "/arrivals/aircraft" * 9 + "/arrivals/A"
    assert site.page_name(url + deep) == "/arrivals/A"
    empty = get(url, "/arrivals/A?part=99").text
    assert "No flights." in empty
    assert "part=100" in empty
    assert "/events/2014-01" in get(url, "/events/2013-12").text
    assert get(url, "/events/9999-12").status_code == 200
    assert [entry["kind"] for entry in site.request_log(url)] == ["empty", "events", "events"]


def test_a_known_tag_saves_the_body_until_time_passes():
    url = site.open_site(flights=9)
    tags = {p: get(url, p).headers["ETag"] for p in site.Airport(0, 9).names()}
    assert {get(url, p, **{"If-None-Match": tag}).status_code for p, tag in tags.items()} == {304}
    site.time_passes(url, changed=1)
    again = Counter(get(url, p, **{"If-None-Match": t}).status_code for p, t in tags.items())
    assert again[200] == 1
    airport = site.Airport(0, 9)
    before = airport.rows()
    airport.pass_time(1)
    assert sum(a != b for a, b in zip(before, airport.rows(), strict=True)) == 1


def test_each_concourse_has_markup_of_its_own_and_odd_cells_are_known():
    airport = site.Airport(1, 30, odd=6)
    pages = {c: airport.page(c) for c in site.CONCOURSES}
    heads = [
        Selector(page).css("[data-zone] tr:first-child ::text").getall() for page in pages.values()
    ]
    assert len({tuple(head) for head in heads}) == 3
    assert any("rowspan" in page for page in pages.values())
    assert sum(bool(row["odd"]) for row in airport.flights) == 6
    assert len(airport.rows()) == 24
    assert "No flights." in airport.page("A", 99)


def test_a_redesign_renames_or_shifts():
    url = site.open_site()
    site.redesign(url, "renamed")
    assert "Service" in get(url, "/arrivals/A").text
    site.redesign(url, "shifted")
    lines = Selector(get(url, "/arrivals/A").text).css("[data-zone] tr")
    assert "logo" in lines[1].css("td").get()


@pytest.mark.parametrize("way", site.RESERVED)
def test_a_page_may_object_to_being_kept(way):
    url = site.open_site(reserved={"/arrivals/A": way})
    answer = get(url, "/arrivals/A")
    said = f"{answer.headers} {answer.text}".lower()
    assert way.lower() in said
    assert "noai" in said or answer.headers["tdm-reservation"] == "1"
    assert way.lower() not in f"{get(url, '/arrivals/B').headers}".lower()


def test_a_crawl_without_end_finds_one(monkeypatch):
    monkeypatch.setattr(site, "QUOTA", 3)
    url = site.open_site()
    assert [get(url).status_code for _ in range(5)] == [200, 200, 200, 403, 403]


def test_the_log_tells_who_asked_and_for_which_page():
    url = site.open_site()
    get(url, "/aircraft/arrivals/A?utm_source=x", **{"User-Agent": "me/1"})
    (entry,) = site.request_log(url)
    assert entry["path"] == "/aircraft/arrivals/A?utm_source=x"
    assert (entry["page"], entry["agent"], entry["status"]) == ("/arrivals/A", "me/1", 200)


def test_the_site_that_was_asked_least_recently_gives_way(monkeypatch):
    monkeypatch.setattr(site, "SITES", 2)
    first, second = site.open_site(1), site.open_site(2)
    site.request_log(first)
    site.open_site(3)
    assert get(first).status_code == 200
    with pytest.raises(CourseError, match="open it again"):
        site.request_log(second)


def test_what_is_wrong_is_said():
    with pytest.raises(CourseError, match="cannot say 'nothing'"):
        site.open_site(reserved={"/": "nothing"})
    site.serve().stop()
    with pytest.raises(CourseError, match="set-up cell"):
        site.open_site()


def test_a_spider_runs_again_and_again_and_tells_how():
    url = site.open_site(flights=5)
    settings = {"ROBOTSTXT_OBEY": True, "CONCURRENT_REQUESTS": 1, "DEPTH_LIMIT": 1}
    for delay in (2, 7):
        found = crawl.crawl(spider(url), DOWNLOAD_DELAY=delay, USER_AGENT="me/1", **settings)
        assert (found["delay"], found["at_once"], found["finish"]) == (delay, 1, "finished")
        assert {"url": f"{url}/"} in found["items"]
    assert {entry["agent"] for entry in site.request_log(url)} == {"me/1"}
    assert "staff" not in {entry["kind"] for entry in site.request_log(url)}
    assert [report["delay"] for report in crawl.reports()[-2:]] == [2, 7]


def test_settings_of_the_spider_count_and_those_of_the_crawl_win():
    url = site.open_site(flights=5)
    polite = spider(url, custom_settings={"DEPTH_LIMIT": 1, "USER_AGENT": "me/2"})
    assert crawl.crawl(polite)["agent"] == "me/2"
    assert crawl.crawl(polite, USER_AGENT="me/3")["agent"] == "me/3"


def test_a_spider_that_fails_says_so_and_the_next_one_runs():
    url = site.open_site(flights=5)

    def parse(self, response):
        raise KeyError("gate")

    with pytest.raises(CourseError, match="KeyError: 'gate'"):
        crawl.crawl(spider(url, parse=parse))

    def init(self):
        raise LookupError("no gate")

    with pytest.raises(CourseError, match="LookupError: no gate"):
        crawl.crawl(spider(url, __init__=init))
    with pytest.raises(CourseError, match="a class of spider"):
        crawl.crawl(spider(url)())
    assert crawl.crawl(spider(url), DEPTH_LIMIT=1)["items"]


def test_scrapy_reads_no_rule_in_an_error():
    # The lab says so: if Scrapy learns it one day, the lab must change.
    url = site.open_site(robots=503)
    crawl.crawl(spider(url), ROBOTSTXT_OBEY=True, DEPTH_LIMIT=1)
    statuses = {entry["page"]: entry["status"] for entry in site.request_log(url)}
    assert (statuses["/robots.txt"], statuses["/"]) == (503, 200)


def test_a_page_that_cannot_be_had_is_no_error_of_the_spider():
    assert crawl.crawl(spider("http://127.0.0.1:1"))["items"] == []


def test_a_crawl_that_takes_too_long_is_ended(monkeypatch):
    url = site.open_site(flights=5)
    monkeypatch.setattr(crawl, "PATIENCE", 1)

    def parse(self, response):
        time.sleep(60)

    with pytest.raises(CourseError, match="took longer"):
        crawl.crawl(spider(url, parse=parse))
    monkeypatch.undo()
    assert crawl.crawl(spider(url), DEPTH_LIMIT=1)["items"]


def test_a_careless_crawl_ends_too():
    url = site.open_site()
    found = crawl.crawl(spider(url))
    assert found["finish"] == "closespider_pagecount"
    assert found["requests"] < 2 * crawl.PAGES


def test_a_browser_runs_the_scripts_of_a_page_or_there_is_none():
    url = site.open_site()
    drawn = crawl.draw(f"{url}/live")
    first = site.Airport().flights[0]["flight"]
    assert drawn is None or first in drawn
    assert first not in get(url, "/live").text
