"""The model of an airline's API does what real APIs do to their clients, and waits for nobody."""

from __future__ import annotations

import os
import threading
import time

import pytest
import requests

from labkit.errors import CourseError
from labkit.web import api
from labkit.web.clock import Clock


@pytest.fixture(autouse=True)
def server():
    yield api.serve()
    if api._server:
        api._server.stop()


def get(
    url: str, path: str = "/flights", headers: dict | None = None, **query
) -> requests.Response:
    return requests.get(url + path, params=query, headers=headers, timeout=10)


def walk(url: str) -> list[dict]:
    flights, page = [], {"cursor": None, "more": True}
    while page["more"]:
        page = get(url, cursor=page["cursor"]).json()
        flights += page["items"]
    return flights


def log_in(url: str, secret: str = "") -> requests.Response:
    form = {"client_id": api.CLIENT, "client_secret": secret or os.environ[api.SECRET]}
    return requests.post(f"{url}/token", data=form, timeout=10)


def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock really waits for, from now on."""
    waited: list[float] = []
    monkeypatch.setattr(api._server.clock, "_sleep", waited.append)
    return waited


def test_a_cursor_leads_through_all_flights_and_quoting_matters():
    url = api.open_api(seed=3, flights=150)
    assert sorted(f["id"] for f in walk(url)) == sorted(api.Airline(3, 150).flights)
    cursor = get(url).json()["cursor"]
    assert "+" in cursor
    assert requests.get(f"{url}/flights?cursor={cursor}", timeout=10).status_code == 400
    assert get(url, limit=api.PAGE + 1).status_code == 400


def test_pages_are_short_or_empty_before_the_last():
    url = api.open_api(seed=1, flights=900)
    sizes, page = [], {"cursor": None, "more": True}
    while page["more"]:
        page = get(url, cursor=page["cursor"]).json()
        sizes.append(len(page["items"]))
    assert {0, api.PAGE // 2, api.PAGE} <= {*sizes[:-1]}


def test_what_changes_comes_behind_the_cursor_with_a_higher_version():
    url, airline = api.open_api(seed=5, flights=60), api.Airline(5, 60)
    page = {"cursor": None, "more": True}
    while page["more"]:
        page = get(url, cursor=page["cursor"]).json()
    api.time_passes(url, changed=4, added=2)
    airline.pass_time(4, 2)
    later = []
    page["more"] = True
    while page["more"]:
        page = get(url, cursor=page["cursor"]).json()
        later += page["items"]
    assert later == airline.since(60)
    assert sorted(f["version"] for f in later) == [1, 1, 2, 2, 2, 2]


def test_offsets_show_some_flights_twice_when_data_move():
    url = api.open_api(seed=1, flights=100)
    first = get(url, "/latest").json()["items"]
    api.time_passes(url, changed=5, added=3)
    second = get(url, "/latest", offset=50).json()["items"]
    assert {f["id"] for f in first} & {f["id"] for f in second}


def test_an_old_cursor_is_gone():
    url = api.open_api()
    cursor = get(url).json()["cursor"]
    api.expire_cursors(url)
    assert get(url, cursor=cursor).status_code == 410
    assert get(url).status_code == 200
    url = api.open_api(script=["ok", "410"])
    assert get(url, cursor=get(url).json()["cursor"]).status_code == 410


@pytest.mark.parametrize("word", ["429", "429 date"])
def test_a_client_that_waits_as_told_is_served_and_one_that_hurries_is_marked(word, monkeypatch):
    waited = pauses(monkeypatch)
    url = api.open_api(script=[word])
    after = get(url).headers["Retry-After"]
    assert after.isdigit() == (word == "429")
    assert get(url).status_code == 429
    # A date: at most 40 seconds and one for its rounding.
    time.sleep(int(after) if after.isdigit() else 41)
    assert get(url).status_code == 200
    assert [request["early"] for request in api.request_log(url)] == [False, True, False]
    assert api.request_log(url)[2]["waited"] >= 2
    assert waited == []


def test_a_bare_429_names_no_pause():
    url = api.open_api(script=["429 bare"])
    assert "Retry-After" not in get(url).headers
    assert get(url).status_code == 200


def test_a_burst_is_followed_by_a_pause():
    url = api.open_api(burst=2)
    answers = [get(url) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    time.sleep(int(answers[2].headers["Retry-After"]))
    assert [get(url).status_code for _ in range(3)] == [200, 200, 429]


def test_a_token_is_asked_for_and_expires():
    url = api.open_api(login=True, script=["ok", "401", "expire"])
    assert get(url).status_code == 401
    assert get(url, headers={"Authorization": "Bearer "}).status_code == 401
    assert log_in(url, "a guess").status_code == 403

    def authorized() -> dict[str, str]:
        return {"Authorization": f"Bearer {log_in(url).json()['access_token']}"}

    first = authorized()
    assert [get(url, headers=first).status_code for _ in range(3)] == [200, 401, 401]
    second = authorized()
    assert second != first
    assert [get(url, headers=second).status_code for _ in range(2)] == [200, 401]


@pytest.mark.parametrize("seed", [2, 3])
def test_a_known_tag_saves_the_body(seed):
    url = api.open_api(seed=seed)
    first = get(url, "/hours/8")
    tag = first.headers["ETag"]
    assert tag.startswith("W/") == bool(seed % 2)
    again = get(url, "/hours/8", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert get(url, "/hours/8", headers={"If-None-Match": tag.strip('W/"')}).status_code == 200
    api.time_passes(url, changed=200, added=0)
    assert get(url, "/hours/8", headers={"If-None-Match": tag}).json() != first.json()
    sizes = [request["bytes"] for request in api.request_log(url)]
    assert sizes[:2] == [len(first.content), 0]
    assert get(url, "/hours/3").status_code == get(url, "/hours/x/y").status_code == 404


def test_errors_come_in_the_order_of_the_script_and_pass():
    words = ["500", "502", "503", "504", "ok", "403", "404"]
    url = api.open_api(script=words)
    statuses = [get(url).status_code for _ in (*words, "after")]
    assert statuses == [500, 502, 503, 504, 200, 403, 404, 200]


def test_half_a_body_with_its_length_breaks_and_without_it_only_the_parser_sees():
    url = api.open_api(script=["half", "cut"])
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(url)
    cut = get(url)
    assert cut.status_code == 200
    assert "Content-Length" not in cut.headers
    with pytest.raises(requests.exceptions.JSONDecodeError):
        cut.json()
    assert get(url).json()["more"]
    assert [request["whole"] for request in api.request_log(url)] == [False, False, True]


def test_trouble_holds_every_kind_and_passes():
    url = api.open_api(login=True, trouble=True)
    session, seen = requests.Session(), set()
    for _ in range(80):
        try:
            answer = session.get(f"{url}/flights", timeout=10)
            seen.add(answer.status_code)
            if answer.status_code == 401:
                token = log_in(url).json()["access_token"]
                session.headers["Authorization"] = f"Bearer {token}"
            elif answer.status_code == 429:
                time.sleep(60)
            else:
                answer.json()
        except requests.RequestException as error:
            seen.add(type(error).__name__)
    assert seen == {200, 401, 429, 500, 502, 503, "ChunkedEncodingError", "JSONDecodeError"}


def test_an_endless_loop_finds_an_end(monkeypatch):
    monkeypatch.setattr(api, "QUOTA", 3)
    url = api.open_api()
    assert [get(url).status_code for _ in range(5)] == [200, 200, 200, 403, 403]


def test_the_same_seed_gives_the_same_answers():
    one, other = (walk(api.open_api(seed=8, flights=70)) for _ in range(2))
    assert one == other
    assert walk(api.open_api(seed=9, flights=70)) != one


def test_the_clock_waits_only_in_other_threads():
    waited: list[float] = []
    clock = Clock()
    clock._sleep = waited.append
    before = clock.now()
    clock.sleep(3600)
    assert clock.now() - before >= 3600
    other = threading.Thread(target=clock.sleep, args=(1,))
    other.start()
    other.join()
    assert waited == [1]


def test_what_is_wrong_is_said():
    with pytest.raises(CourseError, match="cannot hold 418"):
        api.open_api(script=["418"])
    api.serve().stop()
    with pytest.raises(CourseError, match="set-up cell"):
        api.open_api()


def test_sleep_is_given_back(server):
    assert time.sleep == server.clock.sleep
    server.stop()
    assert time.sleep == server.clock._sleep
