"""The judge of the checks is judged: each deliberately bad exercise is caught, by name."""

from __future__ import annotations

import ast
import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

from grader.engine.grading import Grader
from grader.source import read_source
from grader.verify import command, watch
from grader.verify.changed import changed_since
from grader.verify.command import (
    MUTATION_EACH,
    judge,
    problems,
    select,
    show,
    sound,
    total,
    turned,
    verify,
)
from grader.verify.exercise import Finding, Judgement
from grader.verify.mutants import diff, mutants, plain_renderings
from grader.verify.newest import add_newest
from grader.verify.noise import noisy
from labkit.errors import CourseError

HEAD = """\
# %% [markdown] minutes=10 datasets=[] systems=[]
# # Checks of all kinds

# %% role="setup"
import labkit.lab
import pandas as pd

NAMES = {names!r}
labkit.lab.labs = lambda: {{
    "99-test/01-bad": {{
        "title": "Bad", "minutes": 10, "datasets": [], "systems": [], "layers": [],
        "exercises": [dict(name=n, title=n, points=1, section="section “Bad”") for n in NAMES],
    }}
}}
lab = labkit.open_lab("99-test/01-bad")
CALLS = [0]
ROWS = [
    {{"carrier": carrier, "delay": delay}}
    for carrier, delay in [("UA", 31), ("B6", 0), ("UA", 12)]
]
"""

TEXT = """
# %% [markdown] role="task" exercise="{name}" points=1 topics=["4.1-8"]
# ### Late minutes by carrier
#
# Write `late(rows)`: a table with `carrier` and `minutes`, the sum of its delays over 10.

# %% role="answer" exercise="{name}"
{answer}

# %% role="check" exercise="{name}"
{check}

# %% role="hidden" exercise="{name}"
{hidden}

# %% [markdown] role="hint" exercise="{name}"
# One?

# %% [markdown] role="hint" exercise="{name}"
# Two?

# %% [markdown] role="hint" exercise="{name}"
# Three?

# %% role="right" exercise="{name}"
{right}
"""

WRONG = """
# %% role="wrong" exercise="{name}" misconception="{misconception}" caught="{caught}" says="{says}"
{source}
"""

ANSWER = '''\
def late(rows):
    """Late minutes by carrier."""
    ### BEGIN SOLUTION
    sums = {}
    for row in rows:
        if row["delay"] > 10:
            sums[row["carrier"]] = sums.get(row["carrier"], 0) + row["delay"]
    return pd.DataFrame({"carrier": [*sums], "minutes": [*sums.values()]})
    ### END SOLUTION'''
CHECK = """\
with lab.check("{name}") as answer:
    got = answer.call("late", ROWS)
    expected = [{{"carrier": "UA", "minutes": 43}}]
    answer.same_rows(got, expected, asked="one row, of UA", key=["carrier"])"""
HIDDEN = """\
with lab.check("{name}", hidden=True) as answer:
    rows = [{{"carrier": c, "delay": answer.random.randrange(5, 60)}} for c in "XYZXYZXYZ"]
    rows += [{{"carrier": "W", "delay": 10}}, {{"carrier": "V", "delay": 11}}]
    sums = {{}}
    for row in rows:
        if row["delay"] > 10:
            sums[row["carrier"]] = sums.get(row["carrier"], 0) + row["delay"]
    expected = [{{"carrier": c, "minutes": m}} for c, m in sums.items()]
    got = answer.call("late", rows)
    answer.same_rows(got, expected, asked="the sums by carrier", key=["carrier"])"""
RIGHT = """\
def late(rows):
    frame = pd.DataFrame(rows).query("delay > 10").groupby("carrier", as_index=False).sum()
    return frame.rename(columns={"delay": "minutes"})[::-1]"""
WRONGS = [
    (
        "All delays count",
        "check",
        "B6",
        "def late(rows):\n"
        "    frame = pd.DataFrame(rows).groupby('carrier', as_index=False).sum()\n"
        "    return frame.rename(columns={'delay': 'minutes'})",
    ),
    (
        "Ten minutes are late",
        "hidden",
        "W",
        ANSWER.replace("> 10", ">= 10"),
    ),
    (
        "The last delay is the sum",
        "check",
        "column minutes holds 12",
        ANSWER.replace('sums.get(row["carrier"], 0) + row["delay"]', 'row["delay"]'),
    ),
]

#: The order of a set where students are graded.
ORDER = subprocess.run(
    [sys.executable, "-c", "print(''.join({*'abcdefgh'}))"],
    env={"PYTHONHASHSEED": "0"},
    capture_output=True,
    check=True,
    text=True,
).stdout.strip()
#: By exercise: what differs from a sound one, and the words with which it must be caught.
CASES = {
    "sound": ({}, ""),
    "accepts-anything": (
        {
            "check": 'with lab.check("{name}") as answer:\n'
            '    got = answer.call("late", ROWS)\n'
            '    answer.true(got is not None, asked="a table", found="none")',
            "hidden": 'with lab.check("{name}", hidden=True) as answer:\n'
            '    got = answer.call("late", ROWS)\n'
            '    answer.true(got is not None, asked="a table", found="none")',
        },
        "wrong answer “All delays count” is 'done'",
    ),
    "demands-order": (
        {
            "hidden": HIDDEN.replace(
                "    answer.same_rows",
                '    answer.equal(got["carrier"].tolist(), [*sums], asked="the carriers")\n'
                "    answer.same_rows",
            )
        },
        "right answer 1 on 'public' is refused: ✗ not yet",
    ),
    "demands-width": (
        {
            "answer": ANSWER.replace(
                "[*sums.values()]})", '[*sums.values()]}).astype({"minutes": "int32"})'
            ),
            "right": RIGHT.replace('"minutes"})[::-1]', '"minutes"}).astype({"minutes": "int32"})'),
            "check": CHECK
            + '\n    answer.equal(str(got["minutes"].dtype), "int32", asked="whole minutes")',
        },
        "the answer under noise is refused",
    ),
    "leaks": (
        {
            "hidden": HIDDEN.replace(
                'asked="the sums by carrier"', "asked=f\"sums like {{expected[0]['minutes']}}\""
            )
        },
        "the hidden tells wrong answer 3 what was expected",
    ),
    "idle-line": (
        {
            "check": CHECK.replace(
                "    answer.same_rows",
                '    answer.true(hasattr(got, "columns"), asked="a table", found="none")\n'
                "    answer.same_rows",
            )
        },
        "no wrong answer or mutant needs check, line",
    ),
    "starter-passes": (
        {
            "answer": "### BEGIN SOLUTION\nkept = 1\n### END SOLUTION\n"
            + ANSWER.replace("### BEGIN SOLUTION", "").replace("### END SOLUTION", "")
        },
        "the untouched starter is 'done'",
    ),
    "flaky": (
        {
            "check": CHECK.replace(
                "    got =",
                "    CALLS[0] += 1\n"
                '    answer.true(CALLS[0] % 7, asked="luck", found="bad luck")\n    got =',
            )
        },
        "repeats of the answer end otherwise",
    ),
    "order-of-a-set": (
        {
            "check": CHECK.replace(
                "    got =",
                '    found = "".join({{*"abcdefgh"}})\n'
                f'    answer.equal(found, "{ORDER}", asked="an order")\n    got =',
            )
        },
        "repeats of the answer end otherwise",
    ),
    "stale-equivalent": (
        {
            "more": '\n# %% [markdown] role="equivalent" exercise="{name}" reason="none left"\n'
            '# - if row["delay"] > 10:\n# + if row["delay"] >= 10:\n#\n# - a\n# + b\n'
        },
        "is refused by now: take it out",
    ),
    "blind": (
        {
            "hidden": HIDDEN.replace(
                '"delay": 10}}, {{"carrier": "V", "delay": 11}}', '"delay": 9}}'
            )
        },
        'a mutant passes all checks: - if row["delay"] > 10: / + if row["delay"] >= 10:',
    ),
    "other-place": (
        {"wrong": [(m, "check", s, source) for m, _, s, source in WRONGS]},
        "wrong answer “Ten minutes are late” is caught in hidden, not check",
    ),
    "other-words": (
        {"wrong": [(m, c, "no such words", source) for m, c, _, source in WRONGS]},
        "is not told 'no such words'",
    ),
    "strange-sql": (
        {
            "answer": "def late(rows):\n    ### BEGIN SOLUTION\n"
            '    query = "SELECT carrier FROM (WHERE"\n'
            + ANSWER.partition("### BEGIN SOLUTION\n")[2]
        },
        "SQL that cannot be read as duckdb",
    ),
}


def write_lab(folder: pathlib.Path) -> pathlib.Path:
    """The source with all cases."""
    text = HEAD.format(names=[*CASES])
    for name, (changes, _) in CASES.items():
        parts = {"answer": ANSWER, "check": CHECK, "hidden": HIDDEN, "right": RIGHT} | changes
        for role in ("check", "hidden"):
            parts[role] = parts[role].format(name=name)
        text += TEXT.format(name=name, **{k: v for k, v in parts.items() if k in TEXT})
        for misconception, caught, says, source in parts.get("wrong", WRONGS):
            text += WRONG.format(
                name=name, misconception=misconception, caught=caught, says=says, source=source
            )
        text += parts.get("more", "").format(name=name)
    path = folder / "99-test" / "01-bad.py"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def findings(tmp_path_factory) -> dict[str, Finding]:
    lab = read_source(write_lab(tmp_path_factory.mktemp("bad")))
    with Grader(lab) as grader, Grader(lab, hash_seed=1) as other:
        return {e.name: Judgement(lab, e, grader, other).run() for e in lab.exercises}


@pytest.mark.parametrize("name", [name for name in CASES if name != "sound"])
def test_a_bad_exercise_is_caught_by_name(findings, name):
    finding, words = findings[name], CASES[name][1]
    assert any(words in line for line in problems(finding)), problems(finding)
    assert not sound(finding)


def test_a_sound_exercise_passes(findings):
    finding = findings["sound"]
    assert problems(finding) == []
    assert sound(finding)
    assert finding.right_accepted == finding.right_tried == 12
    assert finding.wrong_refused == finding.wrong_tried == 3
    assert finding.mutants == finding.killed > 20
    assert finding.seconds > 0
    assert finding.peak_mb > 20


def test_figures_fall_short_where_they_should(findings):
    assert findings["accepts-anything"].wrong_refused < 3
    assert findings["accepts-anything"].mutation_score < MUTATION_EACH
    assert findings["demands-order"].right_accepted < 12
    assert findings["leaks"].right_accepted == 12
    assert not findings["starter-passes"].starter_zero
    assert findings["flaky"].flaky > 0
    assert len(findings["idle-line"].idle_lines) == 1
    # The second listed change is none of the answer's mutants.
    assert any("is no mutant of the answer" in f for f in findings["stale-equivalent"].faults)


def test_totals_are_over_all(findings, capsys):
    some = [findings["sound"], findings["flaky"], findings["idle-line"]]
    totals = total(some)
    assert totals["exercises"] == 3
    assert totals["flaky"] == findings["flaky"].flaky
    assert totals["idle_lines"] >= 1
    assert totals["mutants"] == sum(f.mutants for f in some)
    show(some, totals)
    told = capsys.readouterr().out
    assert "✓ sound" in told
    assert "✗ flaky" in told
    json.dumps(totals)


def test_mutants_of_python_change_the_meaning_once():
    source = "def f(rows):\n    ### BEGIN SOLUTION\n    {}\n    ### END SOLUTION\n"
    for line, mutant in {
        "return [r for r in rows if r]": "return [r for r in rows]",
        "return rows[rows.a > 1]": "return rows",
        "return rows[rows.a > 1].drop_duplicates()": "return rows[rows.a > 1]",
        "return rows.merge(other, how='inner')": "return rows.merge(other, how='left')",
        "return 7": "return 8",
        "return 1": "return (0)",
        "return g(a, b)": "return g(b, a)",
        "return sorted(rows, reverse=True)": "return sorted(rows, )",
        "return a and b": "return (a)",
        "return re.sub(r'a+$', '', x)": "return re.sub(r'a+', '', x)",
        "return min(rows)": "return max(rows)",
    }.items():
        found = [m.source for m in mutants(source.format(line), modules=["re"])]
        assert source.format(mutant) in found, found
        assert len(found) == len(set(found))
        assert source.format(line) not in found


def test_prose_has_no_mutants():
    source = (
        'KEY = 1\n\ndef f(rows: "int" = 3) -> "int":\n    """Five 5."""\n    ### BEGIN SOLUTION\n'
        '    import os\n    "note"\n    raise ValueError("7 of 8")\n    ### END SOLUTION\n'
    )
    assert mutants(source) == []


@pytest.mark.parametrize(
    ("query", "mutant"),
    [
        ("SELECT a FROM t JOIN u USING (k)", "LEFT JOIN"),
        ("SELECT a FROM t LEFT JOIN u ON t.k = u.k", "\nJOIN"),
        ("SELECT DISTINCT a FROM t", "SELECT\n  a"),
        ("SELECT COUNT(DISTINCT a) FROM t", "COUNT(a)"),
        ("SELECT a FROM t WHERE a >= 3", "a > 3"),
        ("SELECT a FROM t WHERE a >= 3", "FROM t"),
        ("SELECT SUM(a) FROM t", "AVG(a)"),
        ("SELECT a FROM t UNION SELECT a FROM u", "UNION ALL"),
        ("SELECT a FROM t ORDER BY a", "a DESC"),
        ("SELECT COALESCE(a, 0) FROM t", "SELECT\n  a"),
    ],
)
def test_mutants_of_sql(query, mutant):
    source = (
        f"def f(db):\n    ### BEGIN SOLUTION\n    return db.sql({query!r})\n    ### END SOLUTION\n"
    )
    found = [text for m in mutants(source) for text in texts(m.source)]
    assert any(mutant in text for text in found), found


def texts(source: str) -> list[str]:
    nodes = ast.walk(ast.parse(source))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def test_sql_keeps_the_fields_of_a_format_string():
    query = "SELECT '{path}' AS p, {{'a': 1}} AS s FROM read_csv('{path!s}') WHERE x > 1"
    source = (
        "def f(path, db):\n    ### BEGIN SOLUTION\n"
        f'    return f"""{query}"""\n    ### END SOLUTION\n'
    )
    (plain,) = plain_renderings(source)
    scope: dict = {}
    exec(plain, scope)
    text = " ".join(scope["f"]("a.csv", None).split())
    assert text == "SELECT 'a.csv' AS p, {'a': 1} AS s FROM READ_CSV('a.csv') WHERE x > 1"
    assert any("x >= 1" in m.source for m in mutants(source))


def test_a_change_is_told_by_its_lines():
    assert diff("a\n  b\nc", "a\n  d\nc") == "- b\n+ d"


def test_noise_leaves_the_values():
    import pandas as pd

    source = (
        "import pandas as pd\ndef f(n):\n    if n:\n        return f(n - 1)\n"
        "    return pd.DataFrame({'a': [1, 2, 3], 'b': [1., 2., 3.]}).astype({'a': 'int8'})\n"
    )
    for ordered in (True, False):
        scope: dict = {}
        with pytest.warns(UserWarning, match="noise"):
            exec(noisy(source, ordered=ordered), scope)
            got = scope["f"](2)
        assert list(got.columns) == ["b", "a"]
        assert str(got["a"].dtype) == "int64"
        assert got.index.name == "noise"
        assert (got["a"].tolist() == [1, 2, 3]) == ordered
        assert got.sort_values("a")["b"].tolist() == [1, 2, 3]
    assert isinstance(got, pd.DataFrame)


def test_lines_of_a_check_are_told_apart():
    source = (
        'with lab.check("x") as answer:\n    for n in (1, 2):\n'
        '        answer.equal(\n            n, 1, asked="one")\n    answer.value("y")\n'
    )
    assert watch.comparisons(source) == {3: 'answer.equal( n, 1, asked="one")'}
    assert "_attempt(3)" in watch.watching(source, "")


def test_one_exercise_can_be_named():
    chosen = select("04-1-ingestion/01-file-formats/wind")
    assert [e.name for _, e in chosen] == ["wind"]
    with pytest.raises(CourseError, match="There is no exercise"):
        select("04-1-ingestion/01-file-formats/nothing")
    with pytest.raises(CourseError, match="There is no module or lab"):
        select("99-nothing")


def test_a_revision_that_is_none_is_one_sentence():
    with pytest.raises(CourseError, match="git cannot compare"):
        changed_since(select("04-1-ingestion"), "no-such-revision")


def test_the_newest_versions_count_too(findings, tmp_path):
    row = {"lab": "99-test/01-bad", "exercise": "sound", "right_tried": 12, "right_accepted": 11}
    interpreter = tmp_path / "python"
    told = json.dumps({"exercises": [row | {"faults": ["right 1 is refused"]}]})
    interpreter.write_text(f"#!/bin/sh\necho '{told}'\n")
    interpreter.chmod(0o755)
    finding = dataclasses.replace(findings["sound"], faults=[])
    add_newest([finding], interpreter)
    assert (finding.right_accepted, finding.right_tried) == (23, 24)
    assert problems(finding) == ["with the newest versions, right 1 is refused"]
    assert not sound(finding)
    interpreter.write_text("#!/bin/sh\necho 'No module named grader' >&2\nexit 2\n")
    with pytest.raises(CourseError, match="No module named grader"):
        add_newest([finding], interpreter)


def test_each_day_begins_elsewhere_and_all_have_their_turn():
    names = [*range(48)]
    days = [turned(names, day)[:8] for day in range(7)]
    assert days[0] != days[1]
    assert {name for day in days for name in day} == set(names)
    assert turned([], 3) == []


def test_with_no_time_left_nothing_begins_and_it_is_said(capsys):
    assert verify("04-1-ingestion/01-file-formats", as_json=False, minutes=0) == 0
    assert "Not judged, for there was no time left: 4 of 4" in capsys.readouterr().out


def test_a_lab_that_cannot_run_is_named_and_the_others_are_judged(monkeypatch):
    chosen = [select(f"04-1-ingestion/{lab}")[0] for lab in ("01-file-formats", "03-apis")]
    broken, whole = (lab.name for lab, _ in chosen)

    class Graders(command._Graders):
        def _pair(self, lab):
            if lab.name == broken:
                raise CourseError("The lab's own cells fail.")
            return super()._pair(lab)

    monkeypatch.setattr(command, "_Graders", Graders)
    found = {finding.lab: finding for finding in judge(chosen)}
    assert problems(found[broken]) == ["could not be judged: The lab's own cells fail."]
    assert not sound(found[broken])
    assert sound(found[whole])


def test_only_what_changed_is_chosen(tmp_path, monkeypatch):
    folder = tmp_path / "course"
    lab = folder / "curriculum" / "99-test"
    lab.mkdir(parents=True)
    text = write_lab(tmp_path).read_text()
    (lab / "01-bad.py").write_text(text)
    monkeypatch.setattr("grader.verify.changed.ROOT", folder)

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)

    def chosen() -> list[str]:
        source = read_source(lab / "01-bad.py")
        return [e.name for _, e in changed_since([(source, e) for e in source.exercises], "HEAD")]

    git("init")
    git("add", ".")
    git("commit", "-m", "labs")
    assert chosen() == []
    (lab / "01-bad.py").write_text(text.replace('asked="luck"', 'asked="much luck"'))
    assert chosen() == ["flaky"]
    (lab / "01-bad.py").write_text(text.replace("CALLS = [0]", "CALLS = [1]"))
    assert chosen() == [*CASES]
    (lab / "01-bad.py").write_text(text)
    (folder / "data").mkdir()
    (folder / "data" / "new.csv").write_text("a\n")
    git("add", ".")
    assert chosen() == [*CASES]
