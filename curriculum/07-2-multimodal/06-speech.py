# %% [markdown] minutes=60 datasets=["callouts"] systems=[] layers=["media"]
# # Speech: parts, words, errors, speakers
#
# Gate agents' call-outs are transcribed, and the text decides who is called again. The pilot report says "nine of ten words wrong", then, after one night, "one of ten". Neither the acoustic model nor the
# microphone was changed. You find out what was, and whether the second number is to be believed.

# %% [markdown]
# ## You will be able to
#
# - cut a recording into the parts where somebody speaks (exercise 1)
# - measure a transcript by its word error rate (exercise 2)
# - tell a recogniser which words can follow which (exercise 3)
# - score who spoke when (exercise 4)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | Python: dictionaries, nested loops | all answers |
# | the lab *Text* or similar | words, and an honest split |
#
# The recogniser is real: PocketSphinx 5.1, with its model of American English. The speech is synthetic: the sentences are invented and spoken by eSpeak NG. Human speech is harder, and synthetic speech
# too clean, as you will see.

# %% role="setup"
import csv
import io
import itertools
import re
from collections import Counter, defaultdict

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio
from sklearn.cluster import KMeans

from labkit import dataset, open_lab, picture

lab = open_lab("07-2-multimodal/06-speech")

import pocketsphinx
import soundfile

lab

# %%
CALLS = dataset("callouts")
TRUTH = list(csv.DictReader(io.StringIO(CALLS.read("truth.csv").decode())))
RATE = 16_000


def samples_of(file):
    sound, rate = soundfile.read(io.BytesIO(CALLS.read(file)), dtype="int16")
    assert (rate, sound.ndim) == (RATE, 1)
    return sound


print(len(TRUTH), "call-outs;", TRUTH[2]["voice"], "says:", TRUTH[2]["words"])
Audio(samples_of("02.flac").astype(float), rate=RATE)

# %% [markdown] topics=["7.2-2.3", "7.2-7"]
# ## Sound is a kind of data
#
# | Format | Holds | Good for |
# |---|---|---|
# | WAV | the samples, and a header of 44 bytes | exchange; 32 kB a second here |
# | FLAC | the same samples, half the room | archives |
# | MP3, Opus | what ears miss is left out | listening; a tenth of the room |
#
# The header says the *rate* (samples a second), the channels, the bits. A recogniser is trained for one rate, mostly 16,000. It believes what the header says.
#
# To take fewer samples, it is not enough to leave some out. **Predict:** a tone of 3,000 hertz, every fourth of 16,000 samples a second is kept. Which tone do you hear?

# %%
tone = np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE)


def loudest(sound, rate):
    return int(np.argmax(np.abs(np.fft.rfft(sound))) * rate / len(sound))


print(
    "before:",
    loudest(tone, RATE),
    "hertz; every fourth:",
    loudest(tone[::4], RATE // 4),
)

# %% [markdown]
# It is folded down: 4,000 samples a second hold tones up to 2,000 hertz, and 3,000 comes back as 1,000, *aliasing*. Filter first; `scipy.signal.resample_poly` and all good libraries do.
#
# The first step of a pipeline is *voice activity*: where is speech at all? Silence costs as much computing as speech, and recognisers invent words in it. The level of
# frames of 10 ms decides.

# %%


def levels_of(sound):
    """The level of each frame of 10 ms, in decibels below full scale, at least -90."""
    frames = sound[: len(sound) // 160 * 160].reshape(-1, 160).astype(float)
    rms = np.sqrt((frames**2).mean(axis=1))
    return [
        round(float(v), 1) for v in 20 * np.log10(np.maximum(rms / 32768, 10**-4.5))
    ]


LEVELS = levels_of(samples_of("03.flac"))
figure, axis = plt.subplots(figsize=(7.5, 2.4), layout="constrained")
axis.plot(np.arange(len(LEVELS)) / 100, LEVELS, linewidth=1)
axis.axhline(-30, color="C1", linestyle="--", label="loud: speech begins")
axis.axhline(-50, color="C2", linestyle=":", label="quiet: speech ends")
axis.set(xlabel="second", ylabel="dB")
axis.legend(loc="lower right", fontsize=8)
picture(
    figure,
    alt="Level of a call-out over time, with lines at -30 and -50 decibels. Between words the level falls far below both lines, within words often below the upper one.",
)

# %% [markdown] role="task" exercise="parts" points=3 topics=["7.2-2.3", "7.2-7"]
# ### Where somebody speaks
#
# Write `parts(levels, loud, quiet, gap, shortest)`. `levels` is a list of decibels, one for each frame. Return a list of `[first, end]`: the first frame of a part, and the first frame after it.
#
# 1. A part begins with a frame of at least `loud`. It ends before the first frame below `quiet`, or with the list.
# 2. Then, parts with at most `gap` frames between them become one.
# 3. Then, parts of fewer than `shortest` frames are dropped.
#
# Example: `parts([-60, -20, -40, -60, -25, -60], -30, -50, 1, 2)` gives `[[1, 5]]`: two parts, one frame apart.
#
# Why: one threshold alone cuts words at each soft sound. (A soft beginning is still lost: real systems keep some frames before each part.)


# %% role="answer" exercise="parts"
def parts(
    levels: list, loud: float, quiet: float, gap: int, shortest: int
) -> list[list]:
    """Parts with speech, as first frame and end."""
    ### BEGIN SOLUTION
    found, speaking = [], False
    for frame, level in enumerate(levels):
        if level >= (quiet if speaking else loud):
            if not found or frame - found[-1][1] > gap:
                found.append([frame, frame])
            speaking = True
            found[-1][1] = frame + 1
        else:
            speaking = False
    return [part for part in found if part[1] - part[0] >= shortest]
    ### END SOLUTION


# %% role="check" exercise="parts"
with lab.check("parts") as answer:
    for levels, gap, shortest, expected in [
        ([-60, -20, -40, -60, -25, -60], 1, 2, [[1, 5]]),
        ([-60, -20, -40, -60, -25, -60], 0, 1, [[1, 3], [4, 5]]),
        ([-40, -30, -50, -51, -40, -20], 1, 1, [[1, 3], [5, 6]]),
        ([-20, -60, -20, -60, -60, -20], 1, 3, [[0, 3]]),
        ([-20, -60, -60, -20, -60, -60, -20, -20], 2, 8, [[0, 8]]),
        ([-40, -45, -40], 2, 1, []),
        ([-20, -60, -60, -20, -20], 1, 2, [[3, 5]]),
        ([], 2, 1, []),
    ]:
        answer.equal(
            answer.call("parts", levels, -30, -50, gap, shortest),
            expected,
            asked=f"parts({levels}, -30, -50, {gap}, {shortest})",
        )

# %% role="hidden" exercise="parts"
with lab.check("parts", hidden=True) as answer:
    for gap, shortest in [(0, 1), (2, 3), (3, 6)]:
        levels = [
            answer.random.choice([-60, -55, -45, -40, -35, -20]) for _ in range(150)
        ]
        on, marks = False, []
        for level in levels:
            on = level >= -50 if on else level >= -30
            marks.append(on)
        runs, at = [], 0
        for value, group in itertools.groupby(marks):
            length = len(list(group))
            if value and runs and at - runs[-1][1] <= gap:
                runs[-1][1] = at + length
            elif value:
                runs.append([at, at + length])
            at += length
        answer.equal(
            answer.call("parts", levels, -30, -50, gap, shortest),
            [run for run in runs if run[1] - run[0] >= shortest],
            asked=f"the parts of a long list with gap {gap} and shortest {shortest}",
        )

# %% [markdown] role="hint" exercise="parts"
# Which threshold does a frame have to meet when somebody speaks already, and which when nobody does?

# %% [markdown] role="hint" exercise="parts"
# Keep a flag `speaking`. A new part is only a new one if the last one ended more than `gap` frames ago. Drop short ones at the very end.

# %% [markdown] role="hint" exercise="parts"
# ```python
# found, speaking = [], False
# for frame, level in enumerate(levels):
#     if level >= (... if speaking else ...):
#         if not found or ...:
#             found.append([frame, frame])
#         speaking = True
#         found[-1][1] = ...
#     else:
#         speaking = False
# return [part for part in found if ...]
# ```


# %% role="right" exercise="parts"
def parts(levels, loud, quiet, gap, shortest):
    raw, begin = [], None
    for frame, level in enumerate([*levels, float("-inf")]):
        if begin is None and level >= loud:
            begin = frame
        elif begin is not None and level < quiet:
            raw.append((begin, frame))
            begin = None
    joined = []
    for first, end in raw:
        if joined and first <= joined[-1][1] + gap:
            joined[-1][1] = end
        else:
            joined.append([first, end])
    return [[first, end] for first, end in joined if end >= first + shortest]


# %% role="wrong" exercise="parts" misconception="One threshold is enough" caught="check" says="-30, -50, 1, 2)"
def parts(levels, loud, quiet, gap, shortest):
    found = []
    for frame, level in enumerate(levels):
        if level >= loud:
            if found and frame - found[-1][1] <= gap:
                found[-1][1] = frame + 1
            else:
                found.append([frame, frame + 1])
    return [part for part in found if part[1] - part[0] >= shortest]


# %% role="wrong" exercise="parts" misconception="Short parts go first" caught="check" says="-30, -50, 1, 2)"
def parts(levels, loud, quiet, gap, shortest):
    raw, begin = [], None
    for frame, level in enumerate([*levels, float("-inf")]):
        if begin is None and level >= loud:
            begin = frame
        elif begin is not None and level < quiet:
            raw.append((begin, frame))
            begin = None
    joined = []
    for first, end in raw:
        if end - first < shortest:
            continue
        if joined and first - joined[-1][1] <= gap:
            joined[-1][1] = end
        else:
            joined.append([first, end])
    return joined


# %% role="wrong" exercise="parts" misconception="A part that goes on to the end is none" caught="check" says="-30, -50, 1, 1)"
def parts(levels, loud, quiet, gap, shortest):
    found, begin = [], None
    for frame, level in enumerate(levels):
        if begin is None and level >= loud:
            begin = frame
        elif begin is not None and level < quiet:
            if found and begin - found[-1][1] <= gap:
                found[-1][1] = frame
            else:
                found.append([begin, frame])
            begin = None
    return [part for part in found if part[1] - part[0] >= shortest]


# %% role="wrong" exercise="parts" misconception="What is not quiet is speech" caught="check" says="-30, -50, 1, 1)"
def parts(levels, loud, quiet, gap, shortest):
    found = []
    for frame, level in enumerate(levels):
        if level >= quiet:
            if found and frame - found[-1][1] <= gap:
                found[-1][1] = frame + 1
            else:
                found.append([frame, frame + 1])
    return [part for part in found if part[1] - part[0] >= shortest]


# %%
print("parts of call-out 3:", parts(LEVELS, -30, -45, 15, 20) or "not started")

# %% [markdown] topics=["7.2-7.1"]
# ## How wrong is a transcript?
#
# A recogniser has three parts: an *acoustic model* (which sounds are these?), a *dictionary* (which sounds make a word?), and a *language model* (which words follow which?). Large networks such as
# Whisper have learnt all three at once; what you do with them, and how you measure, is the same.
#
# **Predict:** the language model that comes with PocketSphinx knows general English. How much of a call-out does it get?

# %%
GENERAL = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")


def heard(decoder, sound):
    """What the decoder makes of samples of 16 bits."""
    decoder.start_utt()
    decoder.process_raw(sound.tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp().hypstr if decoder.hyp() else ""


print("said: ", TRUTH[1]["words"])
print("heard:", heard(GENERAL, samples_of("01.flac")))

# %% [markdown]
# The *word error rate* says how wrong. Make the heard sentence from the true one with as few changes as possible, each of them a word replaced, a word left out, or a word put in. The rate is the number of changes,
# divided by the number of true words.

# %% [markdown] role="task" exercise="word-errors" points=4 topics=["7.2-7.1"]
# ### Word error rate
#
# Write `word_error_rate(pairs)`. `pairs` is a list of `[true, heard]`: two texts. Return the changes of all pairs together, divided by the true words of all pairs together; 0 if there are no true words. More changes than words are possible: the rate may be over 1.
#
# - Words are what blanks separate. Small and capital letters are the same; the marks `.`, `,`, `?` and `!` do not count.
# - The changes of a pair are the fewest replacements, omissions and insertions of words that make `heard` from `true`.
#
# Example: `[["gate five", "gate nine please"], ["Flight one.", "flight one"]]` has 2 changes in 4 words: 0.5.
#
# Why: a mean of rates lets one short "yes" weigh as much as a whole announcement.


# %% role="answer" exercise="word-errors"
def word_error_rate(pairs: list[list]) -> float:
    """Changes of all pairs, divided by all true words."""
    ### BEGIN SOLUTION
    errors = words = 0
    for pair in pairs:
        true, said = (re.sub(r"[.,?!]", "", text.lower()).split() for text in pair)
        costs = range(len(said) + 1)
        for done, word in enumerate(true):
            above, costs = costs, [done + 1]
            for place, other in enumerate(said):
                replaced = above[place] + (word != other)
                costs.append(min(replaced, above[place + 1] + 1, costs[place] + 1))
        errors += costs[-1]
        words += len(true)
    return errors / words if words else 0
    ### END SOLUTION


# %% role="check" exercise="word-errors"
with lab.check("word-errors") as answer:
    for pairs, changes, total in [
        ([["gate five", "gate nine please"], ["Flight one.", "flight one"]], 2, 4),
        ([["a b c d", "b c d"]], 1, 4),
        ([["b c d", "a b c d e"]], 2, 3),
        ([["yes", "no"], ["a b c d e f g h i", "a b c d e f g h i"]], 1, 10),
        ([["a b c", "c a b"]], 2, 3),
        ([["gate", "the gate is now, open!"], ["Wait?", ""]], 5, 2),
        ([["a b a b", "b a b b"]], 2, 4),
        ([["", "hello"]], 0, 1),
        ([["", "hello"], ["a", "a"]], 1, 1),
        ([], 0, 1),
    ]:
        got = answer.call("word_error_rate", pairs)
        answer.true(
            isinstance(got, (int, float)) and abs(got - changes / total) < 1e-9,
            asked=f"the word error rate of {pairs} (true, heard)",
            found=str(got)[:80],
        )

# %% role="hidden" exercise="word-errors"
with lab.check("word-errors", hidden=True) as answer:
    for _ in range(3):
        pairs, changes, total = [], 0, 0
        for _ in range(5):
            true = [
                answer.random.choice("abc") for _ in range(answer.random.randint(1, 7))
            ]
            said = [
                answer.random.choice("abc") for _ in range(answer.random.randint(0, 7))
            ]
            table = np.zeros((len(true) + 1, len(said) + 1), int)
            for i, j in np.ndindex(table.shape):
                if i * j == 0:
                    table[i, j] = i + j
                else:
                    same = true[i - 1] == said[j - 1]
                    steps = [table[i - 1, j] + 1, table[i, j - 1] + 1]
                    table[i, j] = min(*steps, table[i - 1, j - 1] + 1 - same)
            changes, total = changes + int(table[-1, -1]), total + len(true)
            pairs.append([" ".join(true).upper() + ".", " ".join(said)])
        got = answer.call("word_error_rate", pairs)
        answer.true(
            isinstance(got, (int, float)) and abs(got - changes / total) < 1e-9,
            asked="the word error rate of five pairs of up to 7 words",
            found=str(got)[:80],
        )

# %% [markdown] role="hint" exercise="word-errors"
# If you know the fewest changes for all shorter beginnings of the two sentences, what are they for the next word?

# %% [markdown] role="hint" exercise="word-errors"
# This is the edit distance (Levenshtein) on words. Keep one row: the costs to make the first 0, 1, 2, … heard words from the true words so far. Each next value is the least of three.

# %% [markdown] role="hint" exercise="word-errors"
# ```python
# costs = range(len(said) + 1)
# for done, word in enumerate(true):
#     above, costs = costs, [done + 1]
#     for place, other in enumerate(said):
#         replaced = above[place] + (...)
#         costs.append(min(replaced, ..., ...))
# errors += costs[-1]
# words += ...
# ```


# %% role="right" exercise="word-errors"
def word_error_rate(pairs):
    marks = str.maketrans("", "", ".,?!")

    def changes(true, said):
        if not true or not said:
            return len(true) + len(said)
        key_ = tuple(true), tuple(said)
        if key_ not in known:
            if true[-1] == said[-1]:
                known[key_] = changes(true[:-1], said[:-1])
            else:
                known[key_] = 1 + min(
                    changes(true[:-1], said[:-1]),
                    changes(true[:-1], said),
                    changes(true, said[:-1]),
                )
        return known[key_]

    known, errors, words = {}, 0, 0
    for true, said in pairs:
        true = true.lower().translate(marks).split()
        errors += changes(true, said.lower().translate(marks).split())
        words += len(true)
    return errors / max(words, 1) if words else 0


# %% [markdown] role="equivalent" exercise="word-errors" reason="capitals on both sides are as equal as small letters"
# - true, said = (re.sub(r"[.,?!]", "", text.lower()).split() for text in pair)
# + true, said = (re.sub(r"[.,?!]", "", text.upper()).split() for text in pair)


# %% [markdown] role="equivalent" exercise="word-errors" reason="the least of three does not depend on their order"
# - costs.append(min(replaced, above[place + 1] + 1, costs[place] + 1))
# + costs.append(min(above[place + 1] + 1, replaced, costs[place] + 1))


# %% role="wrong" exercise="word-errors" misconception="The mean of the sentences is the rate" caught="check" says="[['yes', 'no']"
def word_error_rate(pairs):
    rates = []
    for true, said in pairs:
        true, said = (
            "".join(c for c in text.lower() if c not in ".,?!").split()
            for text in (true, said)
        )
        costs = list(range(len(said) + 1))
        for done, word in enumerate(true):
            above, costs = costs, [done + 1]
            for n, other in enumerate(said):
                costs.append(
                    min(above[n] + (word != other), above[n + 1] + 1, costs[n] + 1)
                )
        rates.append(costs[-1] / len(true) if true else 0)
    return sum(rates) / len(rates) if rates else 0


# %% role="wrong" exercise="word-errors" misconception="Compare word by word" caught="check" says="[['a b c d', 'b c d']]"
def word_error_rate(pairs):
    errors = words = 0
    for true, said in pairs:
        true, said = (
            "".join(c for c in text.lower() if c not in ".,?!").split()
            for text in (true, said)
        )
        errors += sum(a != b for a, b in itertools.zip_longest(true, said))
        words += len(true)
    return errors / words if words else 0


# %% role="wrong" exercise="word-errors" misconception="Order does not matter" caught="check" says="[['a b c', 'c a b']]"
def word_error_rate(pairs):
    errors = words = 0
    for true, said in pairs:
        true, said = (
            Counter("".join(c for c in text.lower() if c not in ".,?!").split())
            for text in (true, said)
        )
        errors += max((true - said).total(), (said - true).total())
        words += true.total()
    return errors / words if words else 0


# %% role="wrong" exercise="word-errors" misconception="Words that were put in do no harm" caught="check" says="['gate five', 'gate nine please']"
def word_error_rate(pairs):
    errors = words = 0
    for true, said in pairs:
        true, said = (
            "".join(c for c in text.lower() if c not in ".,?!").split()
            for text in (true, said)
        )
        costs = [0] * (len(said) + 1)
        for done, word in enumerate(true):
            above, costs = costs, [done + 1]
            for n, other in enumerate(said):
                costs.append(
                    min(above[n] + (word != other), above[n + 1] + 1, costs[n])
                )
        errors += costs[-1]
        words += len(true)
    return errors / words if words else 0


# %% role="wrong" exercise="word-errors" misconception="A capital letter is another word" caught="check" says="['Flight one.', 'flight one']"
def word_error_rate(pairs):
    errors = words = 0
    for true, said in pairs:
        true, said = true.split(), said.split()
        costs = list(range(len(said) + 1))
        for done, word in enumerate(true):
            above, costs = costs, [done + 1]
            for n, other in enumerate(said):
                costs.append(
                    min(above[n] + (word != other), above[n + 1] + 1, costs[n] + 1)
                )
        errors += costs[-1]
        words += len(true)
    return errors / words if words else 0


# %% [markdown] topics=["7.2-7.1"]
# ## Say what can be said
#
# At a gate nobody says "salmon". A *grammar* tells the recogniser which words may follow which, and how often. The simplest one counts pairs of neighbours in sentences that were said:
# a *bigram* model, with a start `<s>` and an end `</s>`.

# %% [markdown] role="task" exercise="transitions" points=3 topics=["7.2-7.1"]
# ### Which word follows?
#
# Write `transitions(sentences)`. `sentences` is a list of texts, their words separated by blanks. Return a dictionary: for each word, and for `"<s>"`, a dictionary of the words that follow it, each with its share among
# the followers. What follows the last word of a sentence is `"</s>"`. Empty sentences do not count; if no other is there, the dictionary is empty.
#
# Example: `["gate one", "gate two", "gate one please"]` gives for `"gate"` `{"one": 2/3, "two": 1/3}`, for `"one"` `{"</s>": 0.5, "please": 0.5}`, and for `"<s>"` `{"gate": 1.0}`.
#
# Why: this table is worth more than a better microphone.


# %% role="answer" exercise="transitions"
def transitions(sentences: list[str]) -> dict:
    """For each word, the words that follow it and their shares."""
    ### BEGIN SOLUTION
    counts = {}
    for sentence in sentences:
        words = sentence.split()
        if words:
            path = ["<s>", *words, "</s>"]
            for word, following in itertools.pairwise(path):
                counts.setdefault(word, Counter()).update([following])
    return {
        word: {name: count / found.total() for name, count in found.items()}
        for word, found in counts.items()
    }
    ### END SOLUTION


# %% role="check" exercise="transitions"
with lab.check("transitions") as answer:
    for sentences, expected in [
        (
            ["gate one", "gate two", "gate one please"],
            {
                "<s>": {"gate": 1},
                "gate": {"one": 2 / 3, "two": 1 / 3},
                "one": {"</s>": 0.5, "please": 0.5},
                "two": {"</s>": 1},
                "please": {"</s>": 1},
            },
        ),
        (
            ["a a b", "b  a", "", " "],
            {
                "<s>": {"a": 0.5, "b": 0.5},
                "a": {"a": 1 / 3, "b": 1 / 3, "</s>": 1 / 3},
                "b": {"</s>": 0.5, "a": 0.5},
            },
        ),
        (["x"], {"<s>": {"x": 1}, "x": {"</s>": 1}}),
        ([""], {}),
    ]:
        got = answer.call("transitions", sentences)
        flat = {
            (word, name): share
            for word, shares in (got if isinstance(got, dict) else {}).items()
            for name, share in (shares if isinstance(shares, dict) else {}).items()
        }
        wanted = {
            (word, name): share
            for word, shares in expected.items()
            for name, share in shares.items()
        }
        answer.true(
            isinstance(got, dict)
            and len(got) == len(expected)
            and flat.keys() == wanted.keys()
            and all(abs(flat[pair] - wanted[pair]) < 1e-9 for pair in wanted),
            asked=f"the transitions of {sentences}",
            found=str(got)[:160],
        )

# %% role="hidden" exercise="transitions"
with lab.check("transitions", hidden=True) as answer:
    for size in (3, 5, 9):
        words = [f"w{n}" for n in range(size)]
        sentences = [
            " ".join(answer.random.choices(words, k=answer.random.randint(1, 6)))
            for _ in range(15)
        ]
        pairs = Counter(
            pair
            for text in sentences
            for pair in itertools.pairwise(f"<s> {text} </s>".split())
        )
        totals = Counter()
        for (first, _), count in pairs.items():
            totals[first] += count
        got = answer.call("transitions", sentences)
        answer.true(
            isinstance(got, dict)
            and got.keys() == totals.keys()
            and sum(map(len, got.values())) == len(pairs)
            and all(
                abs(got[first].get(second, 0) - count / totals[first]) < 1e-9
                for (first, second), count in pairs.items()
            ),
            asked=f"the transitions of 15 sentences of {size} different words",
            found=str(got)[:120],
        )

# %% [markdown] role="hint" exercise="transitions"
# A share of what? Each word has followers of its own.

# %% [markdown] role="hint" exercise="transitions"
# `itertools.pairwise(["<s>", *words, "</s>"])` gives the neighbours. A `Counter` for each word counts its followers; `.total()` is their number.

# %% [markdown] role="hint" exercise="transitions"
# ```python
# counts = {}
# for sentence in sentences:
#     words = sentence.split()
#     if words:
#         for word, following in itertools.pairwise(...):
#             counts.setdefault(word, Counter()).update([...])
# return {word: {... for name, count in found.items()} for word, found in counts.items()}
# ```


# %% role="right" exercise="transitions"
def transitions(sentences):
    followers = defaultdict(list)
    for sentence in sentences:
        before = "<s>"
        for word in sentence.split():
            followers[before].append(word)
            before = word
        if before != "<s>":
            followers[before].append("</s>")
    return {
        word: {name: names.count(name) / len(names) for name in set(names)}
        for word, names in followers.items()
    }


# %% role="wrong" exercise="transitions" misconception="A share is one of all pairs" caught="check" says="['gate one', 'gate two'"
def transitions(sentences):
    pairs = Counter()
    for sentence in sentences:
        if sentence.split():
            pairs.update(itertools.pairwise(["<s>", *sentence.split(), "</s>"]))
    found = defaultdict(dict)
    for (word, following), count in pairs.items():
        found[word][following] = count / pairs.total()
    return dict(found)


# %% role="wrong" exercise="transitions" misconception="Sentences follow each other" caught="check" says="['gate one', 'gate two'"
def transitions(sentences):
    counts = {}
    path = ["<s>", *" ".join(sentences).split(), "</s>"]
    for word, following in itertools.pairwise(path):
        counts.setdefault(word, Counter())[following] += 1
    return {w: {n: c / f.total() for n, c in f.items()} for w, f in counts.items()}


# %% role="wrong" exercise="transitions" misconception="The end is not a word" caught="check" says="['gate one', 'gate two'"
def transitions(sentences):
    counts = {}
    for sentence in sentences:
        for word, following in itertools.pairwise(["<s>", *sentence.split()]):
            counts.setdefault(word, Counter())[following] += 1
    return {w: {n: c / f.total() for n, c in f.items()} for w, f in counts.items()}


# %% role="wrong" exercise="transitions" misconception="An empty sentence says something" caught="check" says="'', ' ']"
def transitions(sentences):
    counts = {}
    for sentence in sentences:
        for word, following in itertools.pairwise(["<s>", *sentence.split(), "</s>"]):
            counts.setdefault(word, Counter())[following] += 1
    return {w: {n: c / f.total() for n, c in f.items()} for w, f in counts.items()}


# %% role="wrong" exercise="transitions" misconception="Each follower is as likely" caught="check" says="['gate one', 'gate two'"
def transitions(sentences):
    followers = defaultdict(set)
    for sentence in sentences:
        if sentence.split():
            for word, after in itertools.pairwise(["<s>", *sentence.split(), "</s>"]):
                followers[word].add(after)
    return {w: {n: 1 / len(names) for n in names} for w, names in followers.items()}


# %% [markdown]
# PocketSphinx takes such a table as a *finite-state grammar*: a state for each word, an arc for each pair. You learn it from the first twelve call-outs and test on the other twelve.
#
# Two traps wait. The synthesiser's silence is perfectly silent, which no microphone's is: the recogniser's model has never heard zeros. So some rows add a *noise floor*, 60 dB below full scale, too soft to notice.
# And what happened to be said in twelve call-outs is not all that can be said: some rows take sentences from the timetable, with all digits, cities and gates.


# %%
def with_grammar(table):
    """A decoder that knows nothing but these words in these orders."""
    names = [*table, "</s>"]
    state = {name: n for n, name in enumerate(names)}
    arcs = []
    for word, shares in table.items():
        for name, share in shares.items():
            arc = (state[word], state[name], share)
            arcs.append(arc if name == "</s>" else (*arc, name))
    decoder = pocketsphinx.Decoder(samprate=RATE, lm=None, loglevel="FATAL")
    decoder.add_fsg("gate", decoder.create_fsg("gate", 0, state["</s>"], arcs))
    decoder.activate_search("gate")
    return decoder


def with_noise(sound, decibels=-60):
    noise = (
        np.random.default_rng(7).normal(size=len(sound)) * 32768 * 10 ** (decibels / 20)
    )
    return np.clip(sound + noise, -32768, 32767).astype("int16")


SAID = [row["words"] for row in TRUTH[:12]]
DIGITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CITIES = [
    "boston",
    "chicago",
    "denver",
    "houston",
    "miami",
    "orlando",
    "phoenix",
    "seattle",
]
TIMETABLE = [
    text.format(flight=f"flight {a} {b} {c}", city=city, gate=f"gate {a}")
    for (a, b, c), city in zip(
        itertools.product(DIGITS, repeat=3), itertools.cycle(CITIES)
    )
    for text in (
        "{flight} to {city} is now boarding at {gate}",
        "{flight} to {city} is delayed by weather",
        "{flight} to {city} is delayed by a late crew",
        "{flight} to {city} is delayed by a technical check",
        "{flight} to {city} is delayed by traffic",
        "the last call for {flight} to {city} at {gate}",
        "{flight} from {city} has landed please wait at {gate}",
    )
]
for label, sentences, change in [
    ("twelve that were said, no noise", SAID, lambda sound: sound),
    ("twelve that were said, noise   ", SAID, with_noise),
    ("the timetable, no noise        ", TIMETABLE, lambda sound: sound),
    ("the timetable, noise           ", TIMETABLE, with_noise),
]:
    table = transitions(sentences)
    if table is None:
        print(label, "not started")
        continue
    decoder = with_grammar(table)
    pairs = [
        [row["words"], heard(decoder, change(samples_of(row["file"])))]
        for row in TRUTH[12:]
    ]
    print(label, "word error rate", round(word_error_rate(pairs) or 0, 2))

# %% [markdown]
# Each of the two alone helps a little, both together very much, with the same acoustic model. But read the small print of such a success: this recogniser cannot say anything else. Let it hear what is not in the grammar, and it answers with a flight:

# %%
if table:  # decoder is that of the timetable
    backwards = with_noise(samples_of("20.flac")[::-1])
    print("a call-out, played backwards:", heard(decoder, backwards)[:18], "…")

# %% [markdown]
# So a pipeline keeps more than words: the recogniser's *confidence*, the sound itself for a while (with consent), and a sample that people transcribe each week. And it measures by group: a rate of 5 % may be 2 % for one accent, and 20 % for another.

# %% [markdown] topics=["7.2-7.1", "7.2-7"]
# ## Who spoke?
#
# *Diarisation* says who spoke when, without knowing names: speaker 0, speaker 1. Here two agents talk in turn. Each part gets its median pitch, and k-means makes two groups of them.


# %%
def pitch(sound):
    """The median pitch of frames of 40 ms, in hertz: where a frame is most like itself, later."""
    found = []
    for frame in sound[: len(sound) // 640 * 640].reshape(-1, 640).astype(float):
        likeness = np.correlate(frame, frame, "full")[639:]
        lag = 50 + int(np.argmax(likeness[50:230]))
        if likeness[lag] > 0.5 * likeness[0] > 0:
            found.append(RATE / lag)
    return float(np.median(found)) if found else 0.0


TURNS = ["00.flac", "01.flac", "03.flac", "04.flac", "06.flac", "07.flac"]
PAUSE = np.zeros(RATE // 2, "int16")
talk, truth = [], []
for n, file in enumerate(TURNS):
    sound = samples_of(file)
    talk += [sound[: len(sound) // 160 * 160], PAUSE]
    truth += ["AB"[n % 2]] * (len(sound) // 160) + [None] * 50
talk = np.concatenate(talk)
spans = parts(levels_of(talk), -30, -50, 20, 20) or []
guess = [None] * len(truth)
if spans:
    marks = [[pitch(talk[first * 160 : end * 160])] for first, end in spans]
    groups = KMeans(2, n_init=10, random_state=7).fit_predict(marks)
    for (first, end), group in zip(spans, groups, strict=True):
        guess[first:end] = [int(group)] * (end - first)
print(len(spans), "parts;", Counter(zip(truth, guess, strict=True)).most_common(5))

# %% [markdown]
# Its names mean nothing: that group 0 is agent A is for you to find out. The *diarisation error* counts, under the best naming, all frames that are wrong: missed speech, speech where none was, and the wrong speaker.

# %% [markdown] role="task" exercise="who" points=3 topics=["7.2-7.1", "7.2-7"]
# ### The diarisation error
#
# Write `diarisation_error(truth, found)`. Both are lists with one element for each frame: a name in `truth`, another kind of name in `found`, or `None` where nobody speaks.
#
# A *naming* gives each name of `found` at most one name of `truth`, and no two the same. A frame is right if both are `None`, or if the found name is named as the true one. Return the fewest wrong frames of any naming, divided by the number of frames in which somebody
# speaks in `truth`. There are at most four names on each side, and at least one frame with speech.
#
# Example: truth `["A", "A", "B", None]`, found `[1, 1, 1, 0]`: with 1 for A, the third frame is wrong, and the last (nobody spoke): 2/3.
#
# Why: with free naming, each frame its own speaker would be perfect.


# %% role="answer" exercise="who"
def diarisation_error(truth: list, found: list) -> float:
    """Wrong frames under the best naming, by frames with speech."""
    ### BEGIN SOLUTION
    speakers = {*truth} - {None}
    groups = [*({*found} - {None})]
    best = len(truth)
    for chosen in itertools.permutations([*speakers, *groups], len(groups)):
        naming = {groups[n]: chosen[n] for n in range(len(groups))} | {None: None}
        wrong = sum(truth[n] != naming[found[n]] for n in range(len(truth)))
        best = min(best, wrong)
    return best / (len(truth) - truth.count(None))
    ### END SOLUTION


# %% role="check" exercise="who"
with lab.check("who") as answer:
    for truth_, found_, wrong_, speech in [
        (["A", "A", "B", None], [1, 1, 1, 0], 2, 3),
        (["A", "A", "B", "B", None], [1, 1, 0, 0, None], 0, 4),
        (["A", "A", "A", "B", "B"], [0, 0, 1, 1, 1], 1, 5),
        (["A", "A", "A", "A"], [0, 1, 2, 2], 2, 4),
        ([None, None, "A"], [0, 0, None], 3, 1),
        (["A", "B", "C", "C", None, "B"], [2, 1, 0, 0, None, None], 1, 5),
        (["B", "B", "A", "A", "A", "B"], [0, 0, 0, 1, 0, 1], 3, 6),
        (["A", "A", "A", "B", "B", "A", "A"], [0, 0, 0, 0, 0, 1, 1], 3, 7),
        (["A", "B", "A", "B"], [None] * 4, 4, 4),
    ]:
        got = answer.call("diarisation_error", truth_, found_)
        answer.true(
            isinstance(got, (int, float)) and abs(got - wrong_ / speech) < 1e-9,
            asked=f"the diarisation error of truth {truth_}, found {found_}",
            found=str(got)[:80],
        )

# %% role="hidden" exercise="who"
with lab.check("who", hidden=True) as answer:
    for people, groups in [(2, 3), (3, 3), (3, 2)]:
        truth_ = [
            answer.random.choice(["ABC"[n] for n in range(people)] + [None])
            for _ in range(40)
        ]
        found_ = [
            answer.random.choice([*range(groups), None])
            if answer.random.random() < 0.4 or true is None
            else "CAB".index(true) % groups
            for true in truth_
        ]
        hits = np.zeros(
            (groups, people + groups), int
        )  # a column more for each: nobody
        for true, group in zip(truth_, found_, strict=True):
            if true and group is not None:
                hits[group, "ABC".index(true)] += 1
        most = max(
            sum(int(hits[group, column]) for group, column in enumerate(columns))
            for columns in itertools.permutations(range(people + groups), groups)
        )
        silent = sum(
            t is None and g is None for t, g in zip(truth_, found_, strict=True)
        )
        speech = sum(true is not None for true in truth_)
        got = answer.call("diarisation_error", truth_, found_)
        answer.true(
            isinstance(got, (int, float))
            and abs(got - (40 - most - silent) / speech) < 1e-9,
            asked=f"the diarisation error of 40 frames, {people} people, {groups} groups",
            found=str(got)[:80],
        )

# %% [markdown] role="hint" exercise="who"
# How many namings are there for two groups and two people? Try them all. What if there are more groups than people?

# %% [markdown] role="hint" exercise="who"
# `itertools.permutations(names, len(groups))` gives each choice of different names, in each order. Add names that nobody has, so that a group may stay without a person.

# %% [markdown] role="hint" exercise="who"
# ```python
# speakers = {*truth} - {None}
# groups = [*(...)]
# best = len(truth)
# for chosen in itertools.permutations([*speakers, *groups], len(groups)):
#     naming = {groups[n]: ... for n in range(len(groups))} | {None: None}
#     wrong = sum(... for n in range(len(truth)))
#     best = min(best, wrong)
# return best / ...
# ```


# %% role="right" exercise="who"
def diarisation_error(truth, found):
    def most(groups, free):
        if not groups:
            return 0
        first, *rest = groups
        options = [most(rest, free)]
        for name in free:
            both = sum(
                t == name and g == first for t, g in zip(truth, found, strict=True)
            )
            options.append(both + most(rest, free - {name}))
        return max(options)

    names = [name for name in truth if name is not None]
    right = most(list({g for g in found if g is not None}), frozenset(names))
    right += sum(t is None and g is None for t, g in zip(truth, found, strict=True))
    return (len(truth) - right) / len(names)


# %% [markdown] role="equivalent" exercise="who" reason="the longer permutations begin with the shorter ones"
# - for chosen in itertools.permutations([*speakers, *groups], len(groups)):
# + for chosen in itertools.permutations([*speakers, *groups], None):


# %% [markdown] role="equivalent" exercise="who" reason="the longer permutations begin with the shorter ones"
# - for chosen in itertools.permutations([*speakers, *groups], len(groups)):
# + for chosen in itertools.permutations([*speakers, *groups], ):


# %% [markdown] role="equivalent" exercise="who" reason="the smaller of two does not depend on their order"
# - best = min(best, wrong)
# + best = min(wrong, best)


# %% role="wrong" exercise="who" misconception="Two groups may be one person" caught="check" says="truth ['A', 'A', 'A', 'A']"
def diarisation_error(truth, found):
    wrong = 0
    for group in set(found):
        names = Counter(t for t, g in zip(truth, found, strict=True) if g == group)
        right = (
            names[None]
            if group is None
            else max((n for name, n in names.items() if name is not None), default=0)
        )
        wrong += names.total() - right
    return wrong / sum(name is not None for name in truth)


# %% role="wrong" exercise="who" misconception="Name the pair that meets most often first" caught="check" says="[0, 0, 0, 0, 0, 1, 1]"
def diarisation_error(truth, found):
    met = Counter(
        (t, f) for t, f in zip(truth, found, strict=True) if t and f is not None
    )
    naming = {None: None}
    for (true, group), _ in met.most_common():
        if group not in naming and true not in naming.values():
            naming[group] = true
    wrong = sum(t != naming.get(f, f) for t, f in zip(truth, found, strict=True))
    return wrong / sum(t is not None for t in truth)


# %% role="wrong" exercise="who" misconception="Silence does not count" caught="check" says="truth ['A', 'A', 'B', None]"
def diarisation_error(truth, found):
    speakers = sorted({name for name in truth if name is not None})
    groups = sorted({name for name in found if name is not None})
    best = len(truth)
    for chosen in itertools.permutations([*speakers, *groups], len(groups)):
        naming = dict(zip(groups, chosen, strict=True)) | {None: None}
        wrong = sum(
            t is not None and t != naming[g] for t, g in zip(truth, found, strict=True)
        )
        best = min(best, wrong)
    return best / sum(name is not None for name in truth)


# %% role="wrong" exercise="who" misconception="Divide by all frames" caught="check" says="truth ['A', 'A', 'B', None]"
def diarisation_error(truth, found):
    speakers = sorted({name for name in truth if name is not None})
    groups = sorted({name for name in found if name is not None})
    best = len(truth)
    for chosen in itertools.permutations([*speakers, *groups], len(groups)):
        naming = dict(zip(groups, chosen, strict=True)) | {None: None}
        wrong = sum(t != naming[g] for t, g in zip(truth, found, strict=True))
        best = min(best, wrong)
    return best / len(truth)


# %% role="wrong" exercise="who" misconception="The first group is the first to speak" caught="check" says="diarisation error of truth"
def diarisation_error(truth, found):
    speakers = list(dict.fromkeys(name for name in truth if name is not None))
    groups = sorted({name for name in found if name is not None})
    naming = dict(itertools.zip_longest(groups, speakers[: len(groups)])) | {None: None}
    wrong = sum(t != naming[g] for t, g in zip(truth, found, strict=True))
    return wrong / sum(name is not None for name in truth)


# %%
error = diarisation_error(truth, guess)
print("not started" if error is None else f"diarisation error {error:.2f}")

# %% [markdown]
# Most of what is left are pauses between words, which the truth here counts as speech. Two clean voices, their number known and never at once, are the easiest case there is. Real systems compare *embeddings* of voices, vectors of a trained network, and find the number out. In real meetings people talk over each other, and good systems still err in more than one frame of ten.

# %% [markdown]
# ## What you can do now
#
# | You can | Remember |
# |---|---|
# | find speech | two thresholds; join, then drop |
# | measure words | all changes by all words |
# | tell what can be said | a grammar helps most, and hides what is not in it |
# | score speakers | the best naming, one to one |
#
# **Read on.** Jurafsky and Martin, *Speech and Language Processing* (3rd edition, draft of 2025); the documentation of PocketSphinx; Koenecke and others, *Racial disparities in automated speech recognition* (2020).

# %%
lab.close()
