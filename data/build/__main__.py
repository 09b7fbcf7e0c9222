"""``python -m data.build --accept NAME``: record rows and content hash of a built set."""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from data.build.catalogue import DATA, DESCRIPTOR, resources
from data.build.tables import content, make, read_table


def _raw(name: str) -> pa.Table:
    resource = resources()[name]
    return read_table(resource, DATA / resource["path"])


def accept(name: str) -> tuple[int, str]:
    """Build a set aside, write its rows and content hash into the descriptor, return both."""
    resource = resources()[name]
    with TemporaryDirectory() as folder:
        out = Path(folder) / Path(resource["path"]).name
        make(resource, out, _raw)
        rows, content_hash = content(resource, out)
    package = json.loads(DESCRIPTOR.read_text(encoding="utf-8"))
    entry = next(item for item in package["resources"] if item["name"] == name)
    entry |= {"rows": rows, "contentHash": content_hash}
    text = json.dumps(package, indent=2, ensure_ascii=False)
    DESCRIPTOR.write_text(f"{text}\n", encoding="utf-8")
    return rows, content_hash


def main() -> None:
    """Accept the sets named on the command line."""
    built = [name for name, resource in resources().items() if resource["class"] == "built"]
    parser = argparse.ArgumentParser(prog="python -m data.build", description=__doc__)
    parser.add_argument("--accept", nargs="+", metavar="NAME", choices=built, required=True)
    for name in parser.parse_args().accept:
        print(name, *accept(name))


if __name__ == "__main__":
    main()
