"""A teacher's entry: plain nbgrader commands and formgrader, run from this folder, just work.

See https://nbgrader.readthedocs.io/en/stable/configuration/config_options.html
"""

import os
import pathlib
import sys

c = get_config()  # noqa: F821  (given by traitlets)
root = pathlib.Path(__file__).resolve().parent
# Some of what nbgrader runs below is ours.
sys.path.append(str(root))

c.CourseDirectory.course_id = "data-engineering"
c.CourseDirectory.root = str(root)
# The reference notebooks are nbgrader's source; scripts hold every answer and never leave.
c.CourseDirectory.source_directory = "curriculum"
c.CourseDirectory.ignore = [
    "*.py",
    "*.pyc",
    "README.md",
    "engines.md",
    "__pycache__",
    ".ipynb_checkpoints",
]

# For a class on one machine, set this to a folder that all users may write to.
exchange = pathlib.Path(os.environ.get("NBGRADER_EXCHANGE", root / "exchange"))
if not exchange.is_dir() and exchange.parent == root:
    # nbgrader wants it writable for all, and formgrader warns as long as there is none.
    exchange.mkdir()
    exchange.chmod(0o777)
c.Exchange.root = str(exchange)

# `./course lab` fills release/ too; unforced, nbgrader would skip it and record no assignment.
c.GenerateAssignment.force = True
# Then `./course grade` need not import nbgrader to know the labs.
c.GenerateAssignment.post_convert_hook = "grader.classroom.labs.after_release"

# A stub does nothing and raises nothing: its check says "not started".
c.ClearSolutions.code_stub = {"python": "# your code here"}

# A slow machine must not cost a submission: the default gives up on output after four seconds.
c.ExecutePreprocessor.timeout = 60
c.ExecutePreprocessor.iopub_timeout = 60
c.ExecutePreprocessor.startup_timeout = 120
# Else each kernel warns on the terminal that its loopback ports are not encrypted.
c.ExecutePreprocessor.extra_arguments = ["--IPKernelApp.log_level=40"]

# A student's code runs in a sandbox: nbgrader's own list, with another Execute. It can read Python,
# the system, and these two folders.
c.Autograde.autograde_preprocessors = [
    "grader.compat.kernel.SandboxedExecute",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.pre_convert_hook = "grader.compat.prepare.before_autograde"
c.SandboxedExecute.view = [str(root / "labkit"), str(root / "data")]

# A student's name is never a formula in the teacher's spreadsheet.
c.ExportApp.plugin_class = "grader.export.SafeCsvExportPlugin"

# Kernels started by nbgrader find labkit in this folder.
os.environ["PYTHONPATH"] = os.pathsep.join(
    dict.fromkeys([str(root), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
)
