"""Pairs of answers that are too much alike to have come about twice.

Winnowed fingerprints of token sequences (Schleimer, Wilkerson and Aiken, "Winnowing: local
algorithms for document fingerprinting", SIGMOD 2003): names, numbers, layout and comments do not
count, so renaming and reformatting hide nothing; what is shorter than a few lines has none.
"""

from __future__ import annotations

import base64
import builtins
import io
import keyword
import struct
import tokenize
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

#: Tokens in a fingerprinted sequence, and sequences of which the smallest hash is kept.
LENGTH, WINDOW = 14, 5
#: A pair is named when it shares this many fingerprints and this part of the smaller work.
SHARED, PART = 12, 0.75
#: What so many students wrote is the way to write it; at least so many are asked for.
COMMON, COMMON_LEAST = 0.1, 4
_IGNORED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
_KNOWN = {*keyword.kwlist, *dir(builtins)}


@dataclass(frozen=True)
class Pair:
    """Two students whose answers are alike; ``part`` of the smaller work is in the other one."""

    lab: str
    first: str
    second: str
    part: float
    exercises: list[str]


def fingerprints(answers: Mapping[str, str]) -> dict[str, str]:
    """By exercise, the fingerprints of an answer as short text."""
    return {name: _pack(_winnow(_tokens(text))) for name, text in sorted(answers.items())}


def similar(
    lab: str, work: Mapping[str, Mapping[str, str]], given: Iterable[Mapping[str, str]] = ()
) -> list[Pair]:
    """The pairs of a class, most alike first.

    ``work`` holds each student's :func:`fingerprints`, ``given`` those of what the lab itself says:
    stubs, and answers of its own that many will write.
    """
    own = {(name, h) for known in given for name, text in known.items() for h in _unpack(text)}
    sets = {
        student: {(name, h) for name, text in prints.items() for h in _unpack(text)} - own
        for student, prints in sorted(work.items())
    }
    holders: dict[tuple[str, int], list[str]] = defaultdict(list)
    for student, prints in sets.items():
        for item in prints:
            holders[item].append(student)
    limit = max(COMMON_LEAST, COMMON * len(sets))
    rare = {item: found for item, found in holders.items() if len(found) <= limit}
    sizes = Counter(student for found in rare.values() for student in found)
    shared: Counter[tuple[str, str]] = Counter()
    for found in rare.values():
        shared.update(combinations(found, 2))
    pairs = []
    for (first, second), count in shared.items():
        part = count / min(sizes[first], sizes[second])
        if count >= SHARED and part >= PART:
            both = sets[first] & sets[second] & rare.keys()
            pairs.append(
                Pair(lab, first, second, round(part, 3), sorted({name for name, _ in both}))
            )
    return sorted(pairs, key=lambda pair: (-pair.part, pair.first, pair.second))


def _tokens(source: str) -> list[str]:
    found: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in _IGNORED:
                continue
            if token.type == tokenize.NAME:
                # An attribute belongs to a library; any other name is the student's to choose.
                keep = token.string in _KNOWN or (found and found[-1] == ".")
                found.append(token.string if keep else "name")
            elif token.type == tokenize.NUMBER:
                found.append("0")
            elif token.type == tokenize.OP:
                found.append(token.string)
            else:
                found.append("text")
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return found


def _winnow(tokens: list[str]) -> set[int]:
    hashes = [
        zlib.crc32(" ".join(tokens[n : n + LENGTH]).encode())
        for n in range(len(tokens) - LENGTH + 1)
    ]
    return {min(hashes[n : n + WINDOW]) for n in range(max(len(hashes) - WINDOW + 1, 0))}


def _pack(hashes: set[int]) -> str:
    return base64.b85encode(struct.pack(f"<{len(hashes)}I", *sorted(hashes))).decode()


def _unpack(text: str) -> tuple[int, ...]:
    data = base64.b85decode(text)
    return struct.unpack(f"<{len(data) // 4}I", data)
