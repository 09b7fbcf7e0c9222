"""Mistakes in a source are named with file and line; a sound source survives JupyterLab."""

from __future__ import annotations

import re

import jupytext
import pytest
from conftest import chosen_labs

from grader.gate import check_files, check_lab
from grader.reference import execute, make_reference, to_text
from grader.source import ROOT, SourceError, read_source, sources
from labkit.errors import CourseError

LABS = chosen_labs()

SOUND = '''\
# %% [markdown] minutes=10 datasets=[] systems=[]
# # A small lab

# %% [markdown]
# ## You will be able to
#
# - count

# %% role="setup"
from labkit import open_lab

lab = open_lab("99-test/01-small")

# %% [markdown] topics=["4.1-8"]
# ## Counting

# %% [markdown] role="task" exercise="count" points=2 topics=["4.1-8"]
# ### Count to three
#
# Write it.

# %% role="answer" exercise="count"
def count():
    """Three."""
    ### BEGIN SOLUTION
    return 3
    ### END SOLUTION

# %% role="check" exercise="count"
with lab.check("count") as answer:
    answer.equal(answer.call("count"), 3, asked="three")

# %% role="hidden" exercise="count"
with lab.check("count", hidden=True) as answer:
    answer.equal(answer.call("count"), 3, asked="three again")

# %% [markdown] role="hint" exercise="count"
# One?

# %% [markdown] role="hint" exercise="count"
# Look at your hand.

# %% [markdown] role="hint" exercise="count"
# `return ...`

# %% role="right" exercise="count"
def count():
    return 1 + 2

# %% role="wrong" exercise="count" misconception="a" caught="check" says="found: 1"
def count():
    return 1

# %% role="wrong" exercise="count" misconception="b" caught="check" says="found: 2"
def count():
    return 2

# %% role="wrong" exercise="count" misconception="c" caught="check" says="found: 4"
def count():
    return 4
'''


@pytest.fixture
def source(tmp_path):
    def write(text: str):
        path = tmp_path / "99-test" / "01-small.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_sound_source(source):
    lab = read_source(source(SOUND))
    assert (lab.name, lab.title, lab.points) == ("99-test/01-small", "A small lab", 2)
    assert lab.sections == {"Counting": ["4.1-8"]}
    assert lab.exercises[0].section == "section “Counting” of this lab"


def replaced(old: str, new: str, count: int = 1) -> str:
    assert old in SOUND
    return SOUND.replace(old, new, count)


#: A broken source, the text at whose line the mistake stands, and words of the message.
BROKEN = {
    "no cell": ("print(1)\n", "", "no cell"),
    "text first": ("x = 1\n" + SOUND, "", "before the first cell"),
    "title": (replaced("# # A small lab", "# A small lab"), "", "title"),
    "minutes": (replaced("minutes=10", 'minutes="ten"'), "", "needs minutes="),
    "syntax": (replaced("return 3", "return 3 +"), "    return 3 +", "not Python"),
    "role": (
        replaced('role="hint"', 'role="tip"'),
        '# %% [markdown] role="tip"',
        "cannot have role 'tip'",
    ),
    "two set-ups": (
        replaced('role="answer" exercise="count"', 'role="setup"'),
        "",
        "exactly one cell",
    ),
    "no exercise": (
        replaced('role="check" exercise="count"', 'role="check"'),
        '# %% role="check"',
        "needs exercise",
    ),
    "no hint": (
        replaced('[markdown] role="hint" exercise="count"', "[markdown]"),
        '# %% [markdown] role="task"',
        "2 hint cell(s)",
    ),
    "no right": (
        replaced('role="right" exercise="count"', ""),
        '# %% [markdown] role="task"',
        "0 right cell(s)",
    ),
    "no solution": (replaced("### BEGIN SOLUTION", "###"), '# %% role="answer"', "BEGIN SOLUTION"),
    "points": (replaced("points=2 ", ""), '# %% [markdown] role="task"', "points="),
    "unknown exercise": (
        SOUND + '\n# %% role="right" exercise="add"\nx = 1\n',
        '# %% role="right" exercise="add"',
        "no task cell",
    ),
    "wrong without words": (replaced(' says="found: 1"', ""), '# %% role="wrong"', "says="),
    "wrong without place": (
        replaced('caught="check"', 'caught="never"'),
        '# %% role="wrong"',
        "caught=",
    ),
    "direct touch": (
        replaced('answer.equal(answer.call("count"), 3', "answer.equal(count(), 3"),
        '# %% role="check"',
        "not by name: count",
    ),
    "displayed last": (
        replaced('asked="three")', 'asked="three")\n5'),
        '# %% role="check"',
        "ends with its",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_source_is_named_by_file_and_line(source, case):
    text, at, words = BROKEN[case]
    line = text[: text.index(at)].count("\n") + 1
    path = source(text)
    with pytest.raises(SourceError) as caught:
        read_source(path)
    assert re.match(
        rf"{re.escape(str(path))}:{line}: .*{re.escape(words)}", str(caught.value), re.S
    ), caught.value


#: The same for what the gate refuses.
REFUSED = {
    "stub raises": (
        replaced("    ### BEGIN SOLUTION", "    raise ValueError()\n    ### BEGIN SOLUTION"),
        "    raise ValueError",
        "the stub of count raises",
    ),
    "stub asserts": (
        replaced("    ### BEGIN SOLUTION", "    assert False\n    ### BEGIN SOLUTION"),
        "    assert False",
        "the stub of count raises",
    ),
    "stub is not Python": (
        replaced('    """Three."""\n', ""),
        "    ### BEGIN",
        "the stub of count is not Python",
    ),
    "empty hint": (replaced("# One?\n", ""), '# %% [markdown] role="hint"', "an empty hint cell"),
    "skipped level": (
        replaced("# - count", "# - count\n#\n# #### Deep"),
        "# #### Deep",
        "level 4 after one of level 2",
    ),
    "second title": (replaced("# ## Counting", "# # Counting"), "# # Counting", "level 1 after"),
    "image": (
        replaced("# Write it.", "# Write it. ![ ](README.md)"),
        "# Write it.",
        "an image without alternative text",
    ),
    "image in HTML": (
        replaced("# Write it.", '# <img src="a.png" alt="">'),
        "# <img",
        "an image without alternative text",
    ),
    "dead link": (
        replaced("# Write it.", "# See [here](02-none.ipynb)."),
        "# See",
        "02-none.ipynb, which is not there",
    ),
    "link out": (
        replaced("# Write it.", "# See [here](../../../../etc/passwd)."),
        "# See",
        "outside of the course",
    ),
    "dead anchor": (
        replaced("# Write it.", "# See [here](#Countings)."),
        "# See",
        "no heading has that name",
    ),
    "silent link": (replaced("# Write it.", "# See [](#Counting)."), "# See", "without words"),
    "helper behind its answer": (
        replaced('# %% role="check"', '# %%\ntwo = 2\n\n# %% role="check"'),
        "# %%\ntwo",
        "a helper between the answer of count and its check",
    ),
    "data set without a name": (
        replaced('99-test/01-small")\n', '99-test/01-small")\ndataset("flights")\n'),
        '# %% role="setup"',
        "the data set flights is used",
    ),
    "layer that is not there yet": (
        replaced("from labkit import", "from pyspark import sql\nfrom labkit import").replace(
            "systems=[]", 'systems=[] layers=["spark"]', 1
        ),
        "from pyspark",
        "pyspark is of a layer",
    ),
    "too long": (
        replaced("# Write it.", "# " + "word " * 2200),
        "",
        "a lab has at most 2200",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_gate_refuses_by_file_and_line(source, case):
    text, at, words = REFUSED[case]
    line = text[: text.index(at)].count("\n") + 1
    path = source(text)
    with pytest.raises(SourceError) as caught:
        check_lab(read_source(path))
    assert re.match(
        rf"{re.escape(str(path))}:{line}: .*{re.escape(words)}", str(caught.value), re.S
    ), caught.value


def test_the_gate_lets_a_sound_source_pass(source):
    text = replaced("# Write it.", "# See [here](#Counting), [there](01-small.py), `[x](y)`.")
    text = text.replace("systems=[]", 'systems=[] layers=["spark"]', 1)
    text = text.replace('01-small")\n', '01-small")\nfrom pyspark.sql import Window\n', 1)
    check_lab(read_source(source(text)))


def test_a_stray_file_is_refused(tmp_path):
    module = tmp_path / "99-test"
    module.mkdir()
    for name in ("01-small.py", "01-small.ipynb", "README.md"):
        (module / name).write_text("")
    check_files(tmp_path)
    for stray in (module / "notes.txt", module / "02-gone.ipynb", tmp_path / "loose.py"):
        stray.write_text("")
        with pytest.raises(SourceError, match="a stray file") as caught:
            check_files(tmp_path)
        assert stray.name in str(caught.value)
        stray.unlink()


@pytest.mark.parametrize(
    ("limit", "words"), [("LAB_SECONDS", "a lab has 0 s"), ("LAB_BYTES", "a lab has 0.0")]
)
def test_a_lab_that_takes_too_much_is_refused(source, monkeypatch, limit, words):
    slow = PLAIN.replace("return 3", "import time; time.sleep(0.3); return 3")
    monkeypatch.setattr(f"grader.reference.{limit}", {"LAB_SECONDS": 0, "LAB_BYTES": 1}[limit])
    with pytest.raises(SourceError, match=words):
        run(source, slow)


def test_the_bar_of_a_download_is_no_output(source):
    bar = "from rich.progress import track\n\n_ = [*track(range(3), transient=True)]\nprint(1)\n"
    notebook = run(source, PLAIN.replace('# %% role="setup"\n', f'# %% role="setup"\n{bar}'))
    (cell,) = (cell for cell in notebook.cells if "track" in cell.source)
    assert [output.text for output in cell.outputs] == ["1\n"]
    assert "widgets" not in notebook.metadata


def run(source, text: str):
    lab = read_source(source(text))
    return execute(lab, make_reference(lab))


PLAIN = SOUND.replace(
    'from labkit import open_lab\n\nlab = open_lab("99-test/01-small")',
    "from labkit.check import Check, LocalAnswers\nfrom labkit.check.verdicts import Exercise\n\n\n"
    "class lab:\n    def check(name, hidden=False):\n"
    "        e = Exercise(name, name, 2, 's')\n"
    "        return Check(e, LocalAnswers(globals()), hidden=hidden, record=lambda o: None)",
)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("return 4", "not yet"),
        ("return 1 / 0", "ZeroDivisionError"),
        ("import sys; print(1, file=sys.stderr); return 3", "must not say: 1"),
    ],
)
def test_a_reference_that_fails_or_warns_is_refused(source, answer, words):
    with pytest.raises(SourceError, match=words):
        run(source, PLAIN.replace("return 3", answer))


def test_outputs_are_free_of_folders_and_addresses(source):
    cell = "\n# %%\nimport os\nprint(os.getcwd(), object())\n"
    notebook = run(source, PLAIN + cell)
    assert notebook.cells[-1].outputs[0].text == "~/work <object object at 0x…>\n"


def test_ids_come_from_names_and_content(source):
    lab = read_source(source(SOUND))
    first, second = make_reference(lab), make_reference(read_source(source(SOUND)))
    assert to_text(first) == to_text(second)
    ids = [cell["id"] for cell in first.cells]
    assert {"count-task", "count-answer", "count-check", "count-hints"} < set(ids)
    moved = make_reference(read_source(source(SOUND + "\n# %% [markdown]\n# End.\n")))
    assert [cell["id"] for cell in moved.cells][: len(ids)] == ids


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_jupyterlab_saves_a_source_without_a_change(lab, tmp_path):
    config = jupytext.config.load_jupytext_configuration_file(
        str(lab.path.parents[2] / "jupytext.toml")
    )
    text = lab.path.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent", config=config)
    assert jupytext.writes(notebook, fmt="py:percent", config=config) == text


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_a_teacher_opens_and_saves_a_source_as_a_notebook(lab, clone):
    """Through the contents manager that JupyterLab uses when jupytext is installed."""
    from jupytext import TextFileContentsManager

    manager = TextFileContentsManager(root_dir=str(clone))
    path = str(lab.path.relative_to(ROOT))
    before = (clone / path).read_bytes()
    model = manager.get(path, type="notebook")
    assert len(model["content"]["cells"]) == len(lab.cells)
    manager.save(model, path)
    assert (clone / path).read_bytes() == before
    edited = next(c for c in model["content"]["cells"] if c["cell_type"] == "markdown")
    edited["source"] += "\n\nOne more line."
    manager.save(model, path)
    assert b"# One more line.\n" in (clone / path).read_bytes()
    assert read_source(clone / path).points == lab.points
    (clone / path).write_bytes(before)


def test_a_number_names_a_module_or_a_lab():
    def named(wanted):
        return [f"{path.parent.name}/{path.stem}" for path in sources(wanted)]

    assert named("04-3") == named("04-3-processing") != []
    assert named("04") == named("04-1") + named("04-3")
    assert named("04-3/07") == named("04-3-processing/07-spark") == ["04-3-processing/07-spark"]
    with pytest.raises(CourseError, match="there are 04-1-ingestion, 04-3-processing"):
        sources("04-2")
    with pytest.raises(CourseError, match="'04-1/99'; there are 01-file-formats, 02-"):
        sources("04-1/99")
