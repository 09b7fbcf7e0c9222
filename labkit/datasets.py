"""Data sets by name: verified when first used, built when missing, typed by their schema.

``dataset("flights").frame()`` is all that most labs need. What there is stands in
``data/datapackage.json``; ``catalogue()`` lists it.
"""

import difflib
import errno
import io
import os
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data.build.catalogue import DATA, Resource, resources
from labkit.errors import CourseError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Status = Literal["ok", "missing", "damaged"]
# A file as it was when it was checked: path, size in bytes, time of its last change in ns.
Seen = tuple[Path, int, int]

_TEXT_FORMATS = ("csv", "jsonl", "xml", "txt")
_checked: set[Seen] = set()
_tables: dict[Seen, "pa.Table"] = {}


@dataclass(frozen=True)
class Dataset:
    """One data set of the catalogue; reading it verifies it, and builds it when it is missing."""

    name: str

    @property
    def resource(self) -> Resource:
        """Entry of the catalogue, with the schema inlined: description, licences, defects, ..."""
        return _resource(self.name)

    @property
    def title(self) -> str:
        """Title, a few words."""
        return self.resource["title"]

    @property
    def rows(self) -> int:
        """Number of rows, messages or lines."""
        return self.resource["rows"]

    @property
    def path(self) -> Path:
        """The verified file. Raises CourseError when it is damaged or cannot be built."""
        return _verified(self.resource)

    def arrow(self) -> "pa.Table":
        """Return the table, typed by the schema. It is read once a process and cannot be changed.

        Raises CourseError when the data set is plain text.
        """
        from data.build.tables import read_table

        if "schema" not in self.resource:
            use = "names()" if self.resource["format"] == "zip" else "text()"
            raise CourseError(f"{self.name} is no table; use dataset({self.name!r}).{use}.")
        seen = _seen(self.path)
        if seen not in _tables:
            _tables[seen] = read_table(self.resource, self.path)
        return _tables[seen]

    def frame(self) -> "pd.DataFrame":
        """Return a new pandas frame, as ``pandas.read_parquet`` would; change it as you like.

        Integers with nulls are float64, time_hour is datetime64[us, UTC].
        """
        return self.arrow().to_pandas()

    def names(self) -> list[str]:
        """Return the names of the files of a zip, sorted. Raises CourseError for anything else."""
        with self._zip() as archive:
            return sorted(archive.namelist())

    def read(self, name: str) -> bytes:
        """Return one file of a zip. Raises CourseError when there is none of that name."""
        with self._zip() as archive:
            try:
                return archive.read(name)
            except KeyError:
                raise CourseError(f"{self.name} has no file {name!r}; see its names().") from None

    def unpack(self, folder: str | os.PathLike[str]) -> Path:
        """Write the files of a zip into a folder, made where it is missing, and return it."""
        with self._zip() as archive:
            archive.extractall(folder)
        return Path(folder)

    def _zip(self) -> zipfile.ZipFile:
        if self.resource["format"] != "zip":
            raise CourseError(f"{self.name} is one file and no collection; use its path.")
        return zipfile.ZipFile(self.path)

    def text(self) -> str:
        """Return the file as text, unpacked when it is a zip.

        Raises CourseError when the format is binary.
        """
        if self.resource["format"] not in _TEXT_FORMATS:
            raise CourseError(
                f"{self.name} is {self.resource['format']}, not text; "
                f"use dataset({self.name!r}).frame()."
            )
        payload = self.path.read_bytes()
        if self.resource.get("compression") == "zip":
            with zipfile.ZipFile(io.BytesIO(payload)) as archive:
                payload = archive.read(self.resource["innerpath"])
        return payload.decode(self.resource["encoding"])


def dataset(name: str) -> Dataset:
    """Return the data set of that name. Raises CourseError when there is none."""
    return Dataset(_resource(name)["name"])


def catalogue() -> list[Dataset]:
    """Return all data sets, in the order of the catalogue."""
    return [Dataset(name) for name in resources()]


def build(name: str) -> Path:
    """Build a data set anew and return its file, which appears whole or not at all.

    Raises CourseError when the data set is not built, when there is no room, or when the result
    is not what the catalogue says.
    """
    from data.build.tables import content, make

    resource = _resource(name)
    target = _path(resource)
    if resource["class"] != "built":
        raise CourseError(f"{name} is part of the repository and not built; {_restore(resource)}.")
    print(f"Building data set {name} ({resource['rows']:,} rows) ...", flush=True)
    part = None
    try:
        target.parent.mkdir(exist_ok=True)
        # A name of its own, so that two builds at once never write to the same file.
        handle, part_name = tempfile.mkstemp(prefix=f".{name}-", suffix=".part", dir=target.parent)
        os.close(handle)
        part = Path(part_name)
        make(resource, part, _raw_table)
        if content(resource, part) != (resource["rows"], resource["contentHash"]):
            raise CourseError(
                f"{name} came out different from the catalogue: run it in the course's locked "
                "environment, where the versions of the libraries are right."
            )
        part.chmod(0o444)
        part.replace(target)
    except OSError as error:
        raise CourseError(_cannot_write(resource, error)) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    _remember(resource, target)
    return target


def verify(name: str) -> Status:
    """Read a data set's file anew and tell whether it is what the catalogue says."""
    resource = _resource(name)
    path = _path(resource)
    if not path.exists():
        return "missing"
    if not _sound(resource, path):
        return "damaged"
    _remember(resource, path)
    return "ok"


def _resource(name: str) -> Resource:
    known = resources()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
        raise CourseError(f"There is no data set {name!r}; {hint}")
    return known[name]


def _path(resource: Resource) -> Path:
    return DATA / resource["path"]


def _seen(path: Path) -> Seen:
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


def _verified(resource: Resource) -> Path:
    path = _path(resource)
    if not path.exists() and resource["class"] == "built":
        return build(resource["name"])
    if not path.exists():
        raise CourseError(f"data/{resource['path']} is missing; {_restore(resource)}.")
    if _seen(path) in _checked:
        return path
    stamp, expected = _stamp(resource), _stamp_text(resource, path)
    if stamp == expected:
        return path
    if stamp and stamp.rpartition(" ")[0] == expected.rpartition(" ")[0]:
        # The file is sound, but the catalogue has moved on since it was built.
        return build(resource["name"])
    if not _sound(resource, path):
        raise CourseError(
            f"data/{resource['path']} is damaged: its hash differs from the one in the catalogue; "
            f"{_restore(resource)}."
        )
    _remember(resource, path)
    return path


def _sound(resource: Resource, path: Path) -> bool:
    if resource["class"] == "raw":
        return f"sha256:{sha256(path.read_bytes()).hexdigest()}" == resource["hash"]
    from data.build.tables import content

    try:
        return content(resource, path) == (resource["rows"], resource["contentHash"])
    except (ImportError, MemoryError):
        raise
    except Exception:
        return False


def _restore(resource: Resource) -> str:
    if resource["class"] == "raw":
        return f"restore it with: git checkout data/{resource['path']}"
    return f"make it again with: ./course data build {resource['name']}"


def _cannot_write(resource: Resource, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"There is no space left on the disk to build data/{resource['path']}; "
            "free some and run it again."
        )
    return f"data/{resource['path']} cannot be built: {error.strerror or error}."


def _stamp_path(resource: Resource) -> Path:
    return DATA / "built" / f".{resource['name']}.verified"


def _stamp_text(resource: Resource, path: Path) -> str:
    _, size, changed = _seen(path)
    return f"{size} {changed} {resource.get('contentHash')}"


def _stamp(resource: Resource) -> str | None:
    # A raw file is small and hashed anew in each process; reading a built one takes longer.
    if resource["class"] == "built":
        with suppress(OSError):
            return _stamp_path(resource).read_text(encoding="utf-8")
    return None


def _remember(resource: Resource, path: Path) -> None:
    _checked.add(_seen(path))
    if resource["class"] == "built":
        # Where the folder is read-only, the next process reads the file again; no more is lost.
        with suppress(OSError):
            _stamp_path(resource).write_text(_stamp_text(resource, path), encoding="utf-8")


def _raw_table(name: str) -> "pa.Table":
    from data.build.tables import read_table

    # Not kept: a builder needs it once, and the raw flights are large.
    resource = _resource(name)
    return read_table(resource, _verified(resource))
