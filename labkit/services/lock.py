"""For maintainers: resolve what a service runs on, once, and write its lock.

``python -m labkit.services.lock NAME COORDINATES ... [--drop GROUP[:ARTIFACT] ...]`` resolves jars
with all that they need and writes ``locks/NAME.jars``. ``--platform linux-x86_64=COORDINATES``
locks one file for one platform, or for all with ``--platform =COORDINATES``, without what it needs.
Python environments are locked as ``locks/README.md`` says.
"""

from __future__ import annotations

import argparse
import hashlib
import pathlib
import tempfile
from concurrent.futures import ThreadPoolExecutor

from jgo.maven import MavenContext, PythonResolver

from labkit.services.artifacts import AT_ONCE, LOCKS, Jar

HEADER = (
    "# Coordinates, SHA-256, bytes, platform where not for all; written by labkit.services.lock.\n"
)


def resolve(maven: MavenContext, coordinates: list[str], drop: list[str]) -> list[str]:
    """Coordinates with all that they need at run time, less ``drop``, in classpath order."""
    asked = [maven.create_dependency(each) for each in coordinates]
    inputs, below = maven.resolver.resolve(asked)
    found = []
    for dependency in [*inputs, *below]:
        if dependency.scope in ("test", "provided", "system") or dependency.optional:
            continue
        part = dependency.artifact
        if {part.groupId, f"{part.groupId}:{part.artifactId}"} & {*drop}:
            continue
        kind = "jar" if part.packaging in ("jar", "bundle", "") else part.packaging
        if kind == "pom":
            continue
        tail = [kind, part.classifier] if part.classifier else [kind] if kind != "jar" else []
        version = part.version.strip("[]")  # Maven: this one and no other
        found.append(":".join([part.groupId, part.artifactId, version, *tail]))
    return list(dict.fromkeys(found))


def line(maven: MavenContext, coordinates: str, platform: str = "") -> str:
    """Fetch one file and return its line of the lock."""
    group, artifact, version, kind, classifier = Jar(coordinates, "", 0).parts
    path = maven.project(group, artifact).at_version(version).artifact(classifier, kind).resolve()
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return " ".join(filter(None, [coordinates, digest, str(len(data)), platform]))


def main() -> None:
    """Write one lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("coordinates", nargs="*")
    parser.add_argument("--drop", action="append", default=[], metavar="GROUP[:ARTIFACT]")
    parser.add_argument("--platform", action="append", default=[], metavar="PLATFORM=COORDINATES")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        maven = MavenContext(repo_cache=pathlib.Path(folder), resolver=PythonResolver(), timeout=60)
        wanted = [
            (each, "")
            for each in (
                resolve(maven, options.coordinates, options.drop) if options.coordinates else []
            )
        ]
        for each in options.platform:
            platform, _, coordinates = each.partition("=")
            wanted.append((coordinates, platform))
        lines = list(pool.map(lambda pair: line(maven, *pair), wanted))
    path = LOCKS / f"{options.name}.jars"
    path.write_text(HEADER + "\n".join(lines) + "\n")
    print(f"{path.name}: {len(lines)} files, {sum(int(x.split()[2]) for x in lines) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
