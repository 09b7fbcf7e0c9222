"""Student notebooks, by nbgrader's own ``generate_assignment``."""

from __future__ import annotations

import logging
import pathlib
import shutil

from traitlets.config import Config, PyFileConfigLoader

from grader.source import CURRICULUM, ROOT
from labkit.errors import CourseError

#: Git-ignored; what nbgrader's release_assignment hands out.
RELEASE = ROOT / "release"


def course_config(**folders: str) -> Config:
    """The teacher's configuration, with CourseDirectory traits replaced by ``folders``."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    config.CourseDirectory.update(folders)
    return config


def release(modules: list[str] | None = None, target: pathlib.Path = RELEASE) -> list[pathlib.Path]:
    """Build the student notebooks of some modules (by default all) into ``target``.

    Neither a gradebook nor a kernel is touched. Returns the notebooks' paths, sorted.
    """
    # nbgrader takes seconds to import, and most commands do without it.
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory

    names = modules or sorted({path.parent.name for path in CURRICULUM.glob("[0-9]*/*.ipynb")})
    if not names:
        raise CourseError("No reference notebook is built yet; run ./course build first.")
    config = course_config(release_directory=str(target))
    config.SaveCells.enabled = False
    config.GenerateAssignment.no_database = True
    config.GenerateAssignment.pop("post_convert_hook")  # a learner grades nobody
    for name in names:
        shutil.rmtree(target / name, ignore_errors=True)
        config.CourseDirectory.assignment_id = name
        converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        converter.log.setLevel(logging.ERROR)
        converter.start()
    return sorted(path for name in names for path in (target / name).rglob("*.ipynb"))
