"""DuckDB with its extension ``spatial``: geometries, predicates, R-trees.

An extension fits one version of DuckDB only. The newest that a package carries is older than the
DuckDB of the notebook, so both live in an environment of their own.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from labkit.services.running import Command, PythonEnv, Service

if TYPE_CHECKING:
    import pandas as pd

#: What answers one query: SQL, tables and the result are files of its folder.
PROGRAM = """
import pathlib, sys
import duckdb, duckdb_extension_spatial

folder = pathlib.Path(sys.argv[1])
built = pathlib.Path(duckdb_extension_spatial.__file__).parent / "extensions"
config = {"memory_limit": sys.argv[2], "threads": 2, "autoinstall_known_extensions": False}
try:
    with duckdb.connect("course.duckdb", config=config) as connection:
        connection.load_extension(str(next(built.glob("*/spatial.duckdb_extension"))))
        for table in folder.glob("*.parquet"):
            connection.read_parquet(str(table)).create_view(table.stem, replace=True)
        result = connection.sql((folder / "query.sql").read_text("utf-8"))
        if result is not None:
            result.write_parquet(str(folder / "result"))
except duckdb.Error as error:
    sys.exit(f"Error: {error}".partition("\\n\\n")[0])
"""


class DuckDBSpatial(Service):
    """One file; each query is a process of its own, which ends when it has answered."""

    name = "duckdb_spatial"
    title = "DuckDB spatial"
    version = "1.5.5"
    label = "engine"
    memory_mb = 500
    needs = (PythonEnv("duckdb-spatial", 50),)

    def commands(self) -> dict[str, Command]:
        """None that lasts."""
        return {}

    def client(self) -> Any:
        """A :class:`Database` on the service's file."""
        return Database(self)

    def ready(self) -> bool:
        """The extension is loaded, and knows a point."""
        point = self.client().sql("SELECT ST_AsText(ST_Point(1, 2)) AS t")
        return point.t.tolist() == ["POINT (1 2)"]

    def check(self) -> None:
        """A join by a predicate, an R-tree that is used, and metres on the ellipsoid."""
        import pandas as pd

        database = self.client()
        wkt = ["POLYGON ((0 0, 4 0, 4 4, 0 0))", "POLYGON ((0 0, 4 4, 0 4, 0 0))"]
        query = """CREATE OR REPLACE TABLE half AS SELECT ST_GeomFromText(wkt) AS shape FROM given;
            CREATE INDEX boxes ON half USING RTREE (shape);
            SELECT count(*)::int AS n, sum(ST_Within(ST_Point(3, 1), shape)::int)::int AS inside
            FROM half WHERE ST_Intersects(shape, ST_Point(3, 1)) OR ST_Area(shape) = 8"""
        found = database.sql(query, given=pd.DataFrame({"wkt": wkt}))
        assert found.iloc[0].tolist() == [2, 1], found
        plan = database.sql(
            "EXPLAIN SELECT * FROM half WHERE ST_Within(shape, ST_MakeEnvelope(0, 0, 4, 4))"
        )
        assert "RTREE_INDEX_SCAN" in plan.iloc[0, 1], plan
        degree = database.sql("SELECT ST_Distance_Spheroid(ST_Point(0, 0), ST_Point(0, 1)) AS m")
        assert round(degree.m[0]) == 111_319, degree


class Database:
    """The file of a :class:`DuckDBSpatial`, as its queries see it."""

    def __init__(self, service: DuckDBSpatial) -> None:
        self._service = service

    def sql(self, query: str, **tables: pd.DataFrame) -> pd.DataFrame | None:
        """Run statements; return the rows of the last one, or None where it has none.

        ``tables`` are what the statements read by these names; for geometries give WKB or WKT.

        Raises:
            CourseError: the database refuses a statement; the message has its words.
        """
        import pandas as pd

        service = self._service
        folder = service.folder / "query"
        shutil.rmtree(folder, ignore_errors=True)
        service.write("query/query.sql", query)
        for name, frame in tables.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        python = service.path(PythonEnv) / "bin" / "python"
        command = Command([python, "-c", PROGRAM, folder, f"{service.memory_mb // 2}MB"])
        service.call(command, what="did not run the query")
        result = folder / "result"
        return pd.read_parquet(result) if result.exists() else None
