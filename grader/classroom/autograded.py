"""The notebook that teachers and students read after grading, for formgrader and feedback.

It is the released notebook with the student's answers, the outputs of the graded run, and below
each check its verdict. It holds no hidden test, and nothing in it runs in a reader's browser.
"""

from __future__ import annotations

import functools
import html
import json
import re
from typing import Any

#: Forms of an output that a page may show; all others can carry code into the reader's browser.
SHOWN = ("text/plain", "text/html", "image/png", "image/jpeg")
TAGS = (
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em h1 h2 h3 h4 h5 h6"
    " hr i img ins kbd li mark meter ol p pre progress q s samp small span strong sub summary sup"
    " table tbody td tfoot th thead tr u ul var"
)
#: A link leads to the web; a picture is in the page, so that none is fetched when it is read.
LINK = re.compile(r"https?://", re.IGNORECASE)
PICTURE = re.compile(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=\s]*$")
ATTRIBUTES = {
    "*": ["class", "title", "align", "dir", "lang"],
    "a": lambda _tag, name, value: name == "href" and bool(LINK.match(value)),
    "img": lambda _tag, name, value: (
        name in ("alt", "width", "height") or (name == "src" and bool(PICTURE.match(value)))
    ),
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
    "progress": ["value", "max"],
    "meter": ["value", "min", "max"],
    "details": ["open"],
}


def autograded(
    template: dict[str, Any],
    cells: dict[str, dict[str, Any]],
    verdicts: dict[str, dict[str, Any]],
    notes: list[str],
) -> bytes:
    """The notebook's text. ``cells`` are those of a :class:`~grader.engine.grading.Result`."""
    notebook = {**template, "cells": [dict(cell) for cell in template["cells"]]}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        name, _, role = cell["id"].rpartition("-")
        if cell["id"] in cells:
            run = cells[cell["id"]]
            cell["source"] = run["source"]
            cell["outputs"] = [clean(output) for output in run["outputs"]]
            cell["execution_count"] = run["count"]
        elif role == "check" and name in verdicts:
            cell["outputs"] = [verdict_output(verdicts[name])]
    if notes:
        lines = [f"- {_escaped(note)}" for note in notes]
        text = "**Notes on this submission**\n\n" + "\n".join(lines)
        notes_cell = {"cell_type": "markdown", "id": "notes", "metadata": {}, "source": text}
        notebook["cells"].insert(0, notes_cell)
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True)
    return (text + "\n").encode("utf-8", "replace")


def verdict_output(verdict: dict[str, Any]) -> dict[str, Any]:
    """What a check cell shows, in the form that nbgrader reads points from."""
    lines = [str(line) for line in verdict["lines"]]
    if verdict["outcome"] == "done":
        text = "\n".join(lines) + "\n"
        return {"output_type": "stream", "name": "stdout", "text": text}
    name = "NotStarted" if verdict["outcome"] == "not started" else "NotYet"
    evalue = lines[0] if lines else verdict["outcome"]
    return {"output_type": "error", "ename": name, "evalue": evalue, "traceback": lines}


def comment(verdict: dict[str, Any]) -> str | None:
    """The verdict as a comment for nbgrader, which renders comments as Markdown and HTML."""
    if verdict["outcome"] == "done":
        return None
    if verdict["outcome"] == "not started":
        return "No response."
    # An indented block is shown as it is, whatever a student's value in it looks like.
    return "\n".join(f"    {part}" for line in verdict["lines"] for part in line.splitlines())


def clean(output: Any) -> dict[str, Any]:
    """One output of a student's code in a form that is safe to show; an unknown one is left out."""
    kind = output.get("output_type") if isinstance(output, dict) else None
    match kind:
        case "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            return {"output_type": "stream", "name": name, "text": str(output.get("text", ""))}
        case "error":
            trace = output.get("traceback")
            return {
                "output_type": "error",
                "ename": str(output.get("ename", "")),
                "evalue": str(output.get("evalue", "")),
                "traceback": [str(line) for line in trace] if isinstance(trace, list) else [],
            }
        case "display_data" | "execute_result":
            data = output.get("data")
            shown = {"output_type": kind, "data": _shown(data), "metadata": {}}
            if kind == "execute_result":
                count = output.get("execution_count")
                shown["execution_count"] = count if type(count) is int else None
            return shown
    return {"output_type": "stream", "name": "stdout", "text": ""}


def _shown(data: Any) -> dict[str, str]:
    found = {}
    for kind in SHOWN:
        value = data.get(kind) if isinstance(data, dict) else None
        if isinstance(value, list):
            value = "".join(map(str, value))
        if not isinstance(value, str):
            continue
        if kind == "text/html":
            value = safe_html(value)
        elif kind.startswith("image/"):
            # Anything else would end the attribute that a page puts it in.
            value = re.sub(r"[^A-Za-z0-9+/=\n]", "", value)
        found[kind] = value
    return found


@functools.lru_cache(256)
def safe_html(text: str) -> str:
    """HTML that a page can show: no script, no style, no link but to the web."""
    import bleach

    # bleach keeps the text of what it takes away, and nobody wants to read a style sheet.
    text = re.sub(r"<(style|script)\b.*?</\1\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    return bleach.clean(
        text,
        tags=set(TAGS.split()),
        attributes=ATTRIBUTES,
        protocols={"http", "https", "data"},
        strip=True,
        strip_comments=True,
    )


def _escaped(note: str) -> str:
    return re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", html.escape(note))
