"""The descriptor ``data/datapackage.json``, with the table schemas that it refers to."""

import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1]
DESCRIPTOR = DATA / "datapackage.json"

Resource = dict[str, Any]


@cache
def resources() -> dict[str, Resource]:
    """Return every resource by name, in the order of the descriptor; ``schema`` is the object."""
    package = json.loads(DESCRIPTOR.read_text(encoding="utf-8"))
    found = {}
    for resource in package["resources"]:
        if "schema" in resource:
            schema = (DATA / resource["schema"]).read_text(encoding="utf-8")
            resource["schema"] = json.loads(schema)
        found[resource["name"]] = resource
    return found
