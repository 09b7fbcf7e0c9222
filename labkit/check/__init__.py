"""The check handle: asks for values and calls by name, compares, and says what it found.

A check cell reaches an answer only through the handle, so that the same cell runs in the
learner's notebook, in plain nbgrader, and in a process that never holds the answer's objects.
"""

from labkit.check.answers import Answers, LocalAnswers
from labkit.check.handle import Check
from labkit.check.verdicts import NotStarted, NotYet, Verdict

__all__ = ["Answers", "Check", "LocalAnswers", "NotStarted", "NotYet", "Verdict"]
