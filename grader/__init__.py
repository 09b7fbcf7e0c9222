"""What builds, hands out and grades the labs; no lab imports it."""

import sys
from typing import Any

# jsonschema, which nbformat imports, would compile this grammar of web addresses for seconds, and
# no notebook is checked against it: without it, jsonschema leaves that one format alone.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    # Grading imports much; the command line and the warm processes do without.
    if name == "grade":
        from grader.engine.grading import grade

        return grade
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
