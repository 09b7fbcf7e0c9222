"""Runs spiders of Scrapy in processes of their own, and pages in a browser.

Twisted's reactor, on which Scrapy runs, starts once in a process, and a notebook's kernel lives
long. :func:`crawl` keeps one process beside the kernel, which has imported Scrapy and forks for
each crawl. Time goes by :data:`FAST` times as fast there: a delay of two seconds is soon over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from typing import Any

import cloudpickle

from labkit.errors import CourseError

#: How many of a site's seconds go by in one of ours.
FAST = 1000
#: Pages after which a crawl ends, unless its settings say otherwise.
PAGES = 150
#: Seconds that one crawl may take.
PATIENCE = 20
#: Flags with which a browser draws one page, and does nothing else.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The page's own clock runs ahead until its scripts wait for nothing more.
    "--virtual-time-budget=5000",
)
_LENGTH = struct.Struct(">I")
_worker: subprocess.Popen | None = None
_reports: list[dict[str, Any]] = []


def crawl(spider: type, **settings: Any) -> dict[str, Any]:
    """Run a spider (a class) with these settings of Scrapy, on top of its own.

    Returns a dictionary: ``items``; ``requests``, their number; ``delay`` and ``at_once``, the
    seconds between two requests to one host and how many may run there together; ``agent``; and
    ``finish``, why it ended.

    Raises:
        CourseError: the spider raised, or the crawl took too long.
    """
    global _worker
    if not isinstance(spider, type):
        raise CourseError(f"crawl() runs a class of spider, and this is {type(spider).__name__}.")
    if _worker is None or _worker.poll() is not None:
        _worker = subprocess.Popen(
            [sys.executable, "-m", "labkit.web.crawl"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=pathlib.Path(__file__).parents[2],
            start_new_session=True,
        )
    try:
        _write(_worker.stdin.fileno(), cloudpickle.dumps((spider, settings)))
        found = cloudpickle.loads(_read(_worker.stdout.fileno(), time.monotonic() + PATIENCE))
    except BaseException as error:
        # Whatever came between, the next answer would be the one to this question.
        stop()
        if isinstance(error, TimeoutError | EOFError | OSError):
            why = f"took longer than {PATIENCE} s" if isinstance(error, TimeoutError) else "broke"
            raise CourseError(f"The crawl {why}.") from None
        raise
    if found["error"]:
        raise CourseError(f"The spider failed: {found['error']}")
    del found["error"]
    _reports.append({name: value for name, value in found.items() if name != "items"})
    return found


def reports() -> list[dict[str, Any]]:
    """What :func:`crawl` returned in this process so far, without the items."""
    return list(_reports)


def stop() -> None:
    """End the process beside the kernel, and all that it began."""
    global _worker
    if _worker is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(_worker.pid, signal.SIGKILL)
        _worker.wait()
        _worker.stdin.close()
        _worker.stdout.close()
        _worker = None


def draw(url: str) -> str | None:
    """The page at ``url`` as Chromium sees it after its scripts ran; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as folder:
        argv = [program, *QUIET, f"--user-data-dir={folder}", "--dump-dom", url]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        except (subprocess.TimeoutExpired, OSError):
            return None
    return done.stdout if done.returncode == 0 and done.stdout else None


def _write(handle: int, data: bytes) -> None:
    data = _LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(handle, data) :]


def _read(handle: int, until: float) -> bytes:
    """One frame. Raises ``TimeoutError`` when it is not whole by then, ``EOFError`` at an end."""

    def take(size: int) -> bytes:
        data = b""
        while len(data) < size:
            left = until - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], min(left, 3600))[0]:
                raise TimeoutError
            more = os.read(handle, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    return take(_LENGTH.unpack(take(_LENGTH.size))[0])


class _Errors(logging.Handler):
    """Keeps the first error that is the spider's own: a page that cannot be had is none."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.name.startswith(("scrapy.core.engine", "scrapy.crawler")):
            self.keep(record.exc_info[1])

    def keep(self, error: BaseException | None) -> None:
        self.first = self.first or f"{type(error).__name__}: {error}"


def _run(job: bytes) -> dict[str, Any]:
    from scrapy import signals
    from scrapy.crawler import CrawlerProcess

    spider, settings = cloudpickle.loads(job)
    errors, items, slots = _Errors(logging.ERROR), [], []
    logging.getLogger().addHandler(errors)
    process = CrawlerProcess(_QUIET_SCRAPY)
    crawler = process.create_crawler(spider)
    # Given for this crawl, they win over what the spider says of itself.
    crawler.settings.setdict(settings, priority="cmdline")
    asked = float(crawler.settings.get("DOWNLOAD_DELAY"))
    crawler.settings.set("DOWNLOAD_DELAY", asked / FAST, priority=100)

    def failed(failure: Any) -> None:
        errors.keep(failure.value)

    def scraped(item: Any) -> None:
        items.append(item)

    def reached(request: Any) -> None:
        slots.extend(crawler.engine.downloader.slots.values())

    crawler.signals.connect(failed, signals.spider_error)
    crawler.signals.connect(scraped, signals.item_scraped)
    crawler.signals.connect(reached, signals.request_reached_downloader)
    process.crawl(crawler).addErrback(failed)
    process.start()
    if errors.first:
        return {"error": errors.first}
    together = crawler.settings.getint("CONCURRENT_REQUESTS")
    return {
        "items": items,
        "requests": crawler.stats.get_value("downloader/request_count", 0),
        "delay": round(min((slot.delay * FAST for slot in slots), default=asked), 3),
        "at_once": max((min(slot.concurrency, together) for slot in slots), default=0),
        "agent": crawler.settings.get("USER_AGENT"),
        "finish": crawler.stats.get_value("finish_reason"),
        "error": "",
    }


_QUIET_SCRAPY = {
    "LOG_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "REACTOR_THREADPOOL_MAXSIZE": 2,
    "RETRY_TIMES": 1,
    "DOWNLOAD_TIMEOUT": 5,
    "CLOSESPIDER_PAGECOUNT": PAGES,
    # It would read the source of the spider, which is in a notebook.
    "WARN_ON_GENERATOR_RETURN_VALUE": False,
    "DOWNLOAD_HANDLERS": {"ftp": None, "s3": None},
}


def _warm() -> None:
    """Import what a crawl imports while it begins."""
    from scrapy.settings import Settings
    from scrapy.utils.misc import load_object

    settings = Settings()
    names = [settings[kind] for kind in ("SCHEDULER", "DUPEFILTER_CLASS", "DOWNLOADER")]
    names += [settings["ROBOTSTXT_PARSER"], settings["HTTPCACHE_STORAGE"]]
    names += [settings["DOWNLOAD_HANDLERS_BASE"][scheme] for scheme in ("http", "https")]
    for kind in ("DOWNLOADER_MIDDLEWARES_BASE", "SPIDER_MIDDLEWARES_BASE", "EXTENSIONS_BASE"):
        names += settings[kind]
    for name in names:
        with contextlib.suppress(Exception):
            load_object(name)


def _main() -> None:
    """Fork for each question that comes in, until there is no more."""
    channel, answers = os.dup(0), os.dup(1)
    for standard in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), standard)
    _warm()
    while True:
        try:
            job = _read(channel, float("inf"))
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            os.close(channel)
            try:
                found = _run(job)
            except BaseException as error:
                found = {"error": f"{type(error).__name__}: {error}"}
            _write(answers, cloudpickle.dumps(found))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            _write(answers, cloudpickle.dumps({"error": "its process broke off"}))


if __name__ == "__main__":
    _main()
