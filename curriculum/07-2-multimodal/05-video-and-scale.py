# %% [markdown] minutes=90 datasets=["apron-video", "cargo-photos"] systems=[] layers=["media", "spark"]
# # Video, and many images: see less, count once, keep up
#
# A camera over the apron counts vehicles. Its first report says 399 in half a minute. Nine were there. Its second report comes
# eighteen seconds late. You build what is missing between a detector and a number.

# %% [markdown]
# ## You will be able to
#
# - say which frames a decoder has to read, and which not (exercise 1)
# - tell what moves from a change of light and from a cut (exercise 2)
# - count vehicles, not detections (exercise 3)
# - keep up with a camera that does not wait (exercise 4)
# - pack many small images into few tasks (exercise 5)

# %% [markdown]
# ## Before you start
#
# | You need | Why |
# |---|---|
# | NumPy: masks, `np.where`, `np.median` | exercise 2 |
# | the labs *Images*, *Dask*, *Spark* | EXIF; partitions |
#
# The film and the photos are drawn by a program. OpenCV, Dask and Spark are real. Spark runs in one process with two threads.

# %% role="setup"
import bisect
import csv
import io
import math
import pathlib
import statistics
import struct
import tempfile
import time

import dask
import dask.bag
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from labkit import dataset, open_lab, picture
from labkit.spark import session

lab = open_lab("07-2-multimodal/05-video-and-scale")

import cv2

cv2.setNumThreads(1)
lab

# %%
SCRATCH = tempfile.TemporaryDirectory(prefix="video-lab-")
HOME = pathlib.Path(SCRATCH.name)
FILM = dataset("apron-video")
(HOME / "apron.avi").write_bytes(FILM.read("apron.avi"))
TRUTH = list(csv.DictReader(io.StringIO(FILM.read("truth.csv").decode())))
video = cv2.VideoCapture(str(HOME / "apron.avi"))
FRAMES = []
while True:
    there, frame = video.read()
    if not there:
        break
    FRAMES.append(frame)
GREY = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in FRAMES]
figure, panels = plt.subplots(1, 4, figsize=(7.5, 1.7), layout="constrained")
for panel, n in zip(panels, (40, 66, 160, 210), strict=True):
    panel.imshow(FRAMES[n][:, :, ::-1])  # OpenCV stores blue, green, red
    panel.set_title(f"frame {n}", fontsize=8)
    panel.axis("off")
picture(
    figure,
    alt="Four frames of a drawn apron with vehicles: in daylight, with weaker light, with a truck that stands, and another camera's view.",
)

# %% [markdown] topics=["7.2-6", "7.2-6.3"]
# ## 399 vehicles
#
# A detector sees one frame at a time. It says where vehicles are, not which.
#
# **Predict:** the film has 8 frames a second. How do 9 vehicles become 399?

# %%
there = [row for row in TRUTH if row["vehicle"]]
print(
    len(FRAMES),
    "frames of",
    FRAMES[0].shape,
    "-",
    video.get(cv2.CAP_PROP_FPS),
    "a second",
)
print(len(there), "boxes,", len({row["vehicle"] for row in there}), "vehicles")
print(
    "the truck that stands has",
    sum(row["vehicle"] == "truck-1" for row in there),
    "boxes",
)

# %% [markdown]
# Each vehicle is counted in each frame that shows it, a truck that waits most of all.

# %% [markdown] topics=["7.2-6.3"]
# ## Decoding has an order
#
# Motion JPEG is a row of whole pictures. Most other *codecs* store a *key frame* now and then, and between them only what changes. That is smaller. But you cannot
# decode frame 100 alone: the decoder starts at the key frame before it and reads on (B-frames aside). An MP4 file lists its key frames in a table named `stss`.
#
# **Predict:** the light goes out at frame 64. At frame 180 another camera is shown. Where does the encoder put key frames?

# %%
writer = cv2.VideoWriter(
    str(HOME / "apron.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 8, (160, 120)
)
for frame in FRAMES:
    writer.write(frame)
writer.release()
data = (HOME / "apron.mp4").read_bytes()
at = data.find(b"stss") + 8
(many,) = struct.unpack_from(">I", data, at)
KEYS = [
    n - 1 for n in struct.unpack_from(f">{many}I", data, at + 4)
]  # the table counts from 1
print(
    "AVI is larger than MP4",
    round((HOME / "apron.avi").stat().st_size / len(data)),
    "times",
)
print("key frames", KEYS)
again = cv2.VideoCapture(str(HOME / "apron.mp4"))
again.set(cv2.CAP_PROP_POS_FRAMES, 100)
error = np.abs(again.read()[1].astype(int) - FRAMES[100]).mean()
print("frame 100, mean error of a value: less than", math.ceil(error))

# %% [markdown]
# One every 12 frames, and one more at the change of light, where nearly all pixels differ. The cut to another camera gets none. Key
# frames are no list of scenes.

# %% [markdown] role="task" exercise="runs" points=3 topics=["7.2-6.3"]
# ### What must be decoded?
#
# Write `runs(keys, wanted)`. `keys` are the numbers of the key frames, in order; the first is 0. `wanted` are the numbers of the frames that you need, in any order, some perhaps twice.
#
# Return a list of `[first, last]`: the runs of frames that the decoder reads, in order, as few frames as possible. A run begins at a key frame. No frame is read twice. Where one run would begin directly behind another, they are one run.
#
# Example: `runs([0, 12, 24, 36], [30, 26, 5])` gives `[[0, 5], [24, 30]]`. Frames 24 to 30 serve two wishes.
#
# Why: a sample of frames costs far more than its share.


# %% role="answer" exercise="runs"
def runs(keys: list, wanted: list) -> list:
    """The runs of frames that a decoder reads."""
    ### BEGIN SOLUTION
    found = []
    for frame in sorted(wanted):
        key = keys[bisect.bisect_right(keys, frame) - 1]
        if found and key <= found[-1][1] + 1:
            found[-1][1] = frame
        else:
            found.append([key, frame])
    return found
    ### END SOLUTION


# %% role="check" exercise="runs"
with lab.check("runs") as answer:
    for keys, wanted, expected in [
        ([0, 12, 24, 36], [30, 26, 5], [[0, 5], [24, 30]]),
        ([0, 12, 24, 36], [12], [[12, 12]]),
        ([0, 12, 24, 36], [11, 11], [[0, 11]]),
        ([0, 12, 24, 36], [11, 13], [[0, 13]]),
        ([0, 12, 24, 36], [10, 13], [[0, 10], [12, 13]]),
        ([0, 12, 24, 36], [90, 2, 24], [[0, 2], [24, 24], [36, 90]]),
        ([0], [40, 7], [[0, 40]]),
        ([0, 1, 2, 3, 4, 5, 6], [6, 1, 2, 4], [[1, 2], [4, 4], [6, 6]]),
        ([0, 12], [], []),
    ]:
        answer.equal(
            answer.call("runs", keys, wanted),
            expected,
            asked=f"what is decoded with key frames {keys} for the frames {wanted}",
        )

# %% role="hidden" exercise="runs"
with lab.check("runs", hidden=True) as answer:
    draw = answer.random
    for many in (1, 4, 12):
        keys = sorted({0, *draw.sample(range(1, 120), 9)})
        wanted = [draw.randrange(150) for _ in range(many)]
        read = {n for w in wanted for n in range(max(k for k in keys if k <= w), w + 1)}
        edges = [n for n in sorted(read) if n - 1 not in read]
        ends = [n for n in sorted(read) if n + 1 not in read]
        answer.equal(
            answer.call("runs", keys, wanted),
            [list(pair) for pair in zip(edges, ends, strict=True)],
            asked=f"what is decoded with key frames {keys} for the frames {wanted}",
        )

# %% [markdown] role="hint" exercise="runs"
# From which key frame must a single frame be decoded? When does a frame need nothing new from before the run that you have?

# %% [markdown] role="hint" exercise="runs"
# Walk through `sorted(wanted)`. `bisect.bisect_right(keys, frame)` says how many keys are at or before a frame. Compare the key of the next frame with the end of the last run.

# %% [markdown] role="hint" exercise="runs"
# ```python
# found = []
# for frame in sorted(wanted):
#     key = ...
#     if found and key <= ...:
#         found[-1][1] = ...
#     else:
#         found.append(...)
# return found
# ```


# %% role="right" exercise="runs"
def runs(keys, wanted):
    read = set()
    for frame in wanted:
        start = max(key for key in keys if key <= frame)
        read.update(range(start, frame + 1))
    found = []
    for frame in sorted(read):
        if frame - 1 in read:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return found


# %% role="wrong" exercise="runs" misconception="A frame can be decoded alone" caught="check" says="for the frames [30, 26, 5]"
def runs(keys, wanted):
    found = []
    for frame in sorted(set(wanted)):
        if found and frame == found[-1][1] + 1:
            found[-1][1] = frame
        else:
            found.append([frame, frame])
    return found


# %% role="wrong" exercise="runs" misconception="Each frame is a new seek" caught="check" says="for the frames [30, 26, 5]"
def runs(keys, wanted):
    return [[max(k for k in keys if k <= frame), frame] for frame in sorted(wanted)]


# %% role="wrong" exercise="runs" misconception="A group of pictures is decoded as a whole" caught="check" says="for the frames [30, 26, 5]"
def runs(keys, wanted):
    found = []
    for frame in sorted(wanted):
        at = bisect.bisect_right(keys, frame)
        last = keys[at] - 1 if at < len(keys) else frame
        if found and keys[at - 1] <= found[-1][1] + 1:
            found[-1][1] = last
        else:
            found.append([keys[at - 1], last])
    return found


# %% role="wrong" exercise="runs" misconception="Start before the key frame, to be safe" caught="check" says="for the frames [12]"
def runs(keys, wanted):
    found = []
    for frame in sorted(wanted):
        key = keys[max(bisect.bisect_left(keys, frame) - 1, 0)]
        if found and key <= found[-1][1] + 1:
            found[-1][1] = frame
        else:
            found.append([key, frame])
    return found


# %% role="wrong" exercise="runs" misconception="Read from the first wish to the last" caught="check" says="for the frames [30, 26, 5]"
def runs(keys, wanted):
    if not wanted:
        return []
    return [[max(k for k in keys if k <= min(wanted)), max(wanted)]]


# %% [markdown]
# What a sample costs in this film. **Predict:** you look at one frame of every 30. Which share is decoded?

# %%
for step in (2, 8, 30, 60):
    wanted = list(range(step - 1, 240, step))
    read = runs(KEYS, wanted)
    cost = sum(last - first + 1 for first, last in read) if read else "not started"
    print(f"one of {step:2}: {len(wanted):3} frames wanted, {cost} decoded of 240")

# %% [markdown]
# A sample of every eighth frame saves one sixth of the decoding. If you may choose, choose key frames: those 21 cost 21. In a live stream there is no seeking: what you skip is still decoded.

# %% [markdown] topics=["7.2-6.3", "7.2-6.1"]
# ## What moves?
#
# The camera is fixed, so most pixels show the *background*. What differs from it moves; a *mask* says so for each pixel. But the background changes too, so it is learned: with each frame it goes a small step towards
# what is seen. OpenCV's `BackgroundSubtractorMOG2` learns several colours for each pixel.
#
# **Predict:** the light goes out at 64, a truck stops at 104, the cut is at 180. Which of these does the curve show?

# %%
learner = cv2.createBackgroundSubtractorMOG2(
    history=100, varThreshold=30, detectShadows=False
)
MASKS = [learner.apply(frame) > 0 for frame in FRAMES]
covered = [0.0] * 240
for row in there:
    left, top, right, bottom = (int(row[c]) for c in ("left", "top", "right", "bottom"))
    covered[int(row["frame"])] += (right - left) * (bottom - top) / 192
figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
axes.plot([100 * mask.mean() for mask in MASKS], label="MOG2 says: moves")
axes.plot(covered, label="covered by vehicles")
axes.set(xlabel="frame", ylabel="% of the pixels", ylim=(0, 12))
axes.legend(fontsize=8)
picture(
    figure,
    alt="The share of pixels that move. MOG2 leaves the chart at the top in the first frames, while it learns, at frame 64 and at frame 180 and stays there for ten frames or more; "
    "after frame 110 it falls below what vehicles cover, because the truck that stands fades.",
)

# %% [markdown]
# All three. At 64 nearly the whole picture "moves", at 180 a third (the chart ends at 12 %), for more than a second. And the truck fades into the background: the one that blocks a stand.
#
# | Change | What to do |
# |---|---|
# | light: all pixels by one factor | scale, then compare |
# | cut: many pixels, at once | begin anew |
# | a thing that stops: few pixels | learn slowly where something moves |

# %% [markdown] role="task" exercise="moving" points=3 topics=["7.2-6.3", "7.2-6.1"]
# ### What moves, and what does not
#
# Write `moving(background, frames, fast, slow, limit)`. `background` and each of the `frames` are lists of rows of grey values (above 0). Return a list of masks, one for each frame: arrays or lists of rows of `True` (moves) and `False`. For
# each frame, in order:
#
# 1. Scale the background, and keep it scaled: multiply it by the median of the frame divided by the median of the background.
# 2. A pixel moves if frame and background differ by more than `limit`.
# 3. If more than a quarter of all pixels move, it is a cut: the frame becomes the background, and nothing moves.
# 4. The background learns: add to it the difference (frame minus background), times `slow` where something moves, times `fast` elsewhere.
#
# Example: with a background of 100 everywhere, and a frame of 50 everywhere except one pixel of 90, only that pixel moves with `limit` 20.
#
# Why: a detector that fires at each cloud is switched off.


# %% role="answer" exercise="moving"
def moving(
    background: list, frames: list, fast: float, slow: float, limit: float
) -> list:
    """A mask of what moves for each frame."""
    ### BEGIN SOLUTION
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        back *= np.median(frame) / np.median(back)
        mask = np.abs(frame - back) > limit
        if mask.mean() > 0.25:
            back, mask = frame, np.zeros_like(mask)
        back += np.where(mask, slow, fast) * (frame - back)
        masks.append(mask)
    return masks
    ### END SOLUTION


# %% role="check" exercise="moving"
with lab.check("moving") as answer:
    flat = [[100] * 4 for _ in range(4)]
    dim = [[50] * 4 for _ in range(4)]
    spots = {}
    for base, value, places in [
        (100, 120, 1), (100, 121, 1), (100, 79, 2), (100, 160, 4), (100, 160, 5),
        (50, 90, 1), (50, 60, 1), (100, 115, 1), (100, 130, 1), (50, 62, 1), (200, 240, 1),
    ]:  # fmt: skip
        rows = [[base] * 4 for _ in range(4)]
        for n in range(places):
            rows[n // 4][n % 4] = value
        spots[base, value, places] = rows
    stripes = [[100, 30, 100, 30]] * 4
    for what, frames, rates, expected in [
        ("a frame of 50", [dim], (0.5, 0.1), [0]),
        ("a frame with one pixel of 120, then one with a pixel of 121", [spots[100, 120, 1], spots[100, 121, 1]], (0, 0), [0, 1]),
        ("a frame with two pixels of 79", [spots[100, 79, 2]], (0, 0), [2]),
        ("a frame of 50 with one pixel of 90, then one of 50 with a pixel of 60", [spots[50, 90, 1], spots[50, 60, 1]], (0, 0), [1, 0]),
        ("a frame with four pixels of 160", [spots[100, 160, 4]], (0, 0), [4]),
        ("two frames with five pixels of 160, then one of 100", [spots[100, 160, 5], spots[100, 160, 5], flat], (0, 0), [0, 0, 0]),
        ("two frames of stripes (columns of 100 and 30), then one of 100", [stripes, stripes, flat], (0, 0), [0, 0, 0]),
        ("two frames with a pixel of 115, then one with a pixel of 130", [spots[100, 115, 1], spots[100, 115, 1], spots[100, 130, 1]], (0.5, 0), [0, 0, 0]),
        ("a frame with a pixel of 115, then one with a pixel of 130", [spots[100, 115, 1], spots[100, 130, 1]], (0, 0.5), [0, 1]),
        ("a frame of 50 with a pixel of 62, then one of 200 with a pixel of 240", [spots[50, 62, 1], spots[200, 240, 1]], (0.5, 0), [0, 0]),
        ("four frames with four pixels of 160", [spots[100, 160, 4]] * 4, (0.9, 0), [4, 4, 4, 4]),
        ("four frames with four pixels of 160", [spots[100, 160, 4]] * 4, (0, 0.5), [4, 4, 0, 0]),
    ]:  # fmt: skip
        got = answer.call("moving", flat, frames, *rates, 20)
        shape = np.shape(got) == (len(frames), 4, 4)
        answer.equal(
            [int(np.sum(mask)) for mask in got] if shape else str(got)[:80],
            expected,
            asked=f"the number of pixels that move in each frame: the background is 100 in 4 rows of 4, then comes {what}; fast, slow {rates}, limit 20",
        )
    got = answer.call("moving", flat, [spots[100, 79, 2]], 0, 0, 20)
    answer.true(
        np.asarray(got, bool).tolist()
        == [[[True, True, False, False], *[[False] * 4] * 3]],
        asked="the right mask of a frame of 100 whose first two pixels are 79",
        found=str(np.asarray(got).astype(int).tolist())[:100],
    )

# %% role="hidden" exercise="moving"
with lab.check("moving", hidden=True) as answer:
    draw = answer.random
    for size, fast, slow in [(5, 0.3, 0.05), (6, 0.1, 0.0)]:
        still = [[draw.randrange(60, 140) for _ in range(size)] for _ in range(size)]
        other = [[draw.randrange(60, 140) for _ in range(size)] for _ in range(size)]
        frames = []
        for n in range(12):
            light = 1.0 if n < 4 else 0.6
            rows = [
                [v * light + draw.randrange(5) for v in row]
                for row in (still if n < 8 else other)
            ]
            rows[n % size][1] = 230
            rows[2][3] = 220 if n > 5 else rows[2][3]
            frames.append(rows)
        limit = 25.01234
        back, expected = [v for row in still for v in row], []
        for rows in frames:
            values = [v for row in rows for v in row]
            gain = statistics.median(values) / statistics.median(back)
            back = [gain * v for v in back]
            mask = [abs(v - b) > limit for v, b in zip(values, back, strict=True)]
            if sum(mask) * 4 > len(mask):
                back, mask = values, [False] * len(values)
            back = [
                b + (slow if m else fast) * (v - b)
                for v, b, m in zip(values, back, mask, strict=True)
            ]
            expected.append(mask)
        got = answer.call("moving", still, frames, fast, slow, limit)
        answer.true(
            np.shape(got) == (12, size, size)
            and np.asarray(got, bool).reshape(12, -1).tolist() == expected,
            asked=f"the masks of 12 frames of {size} by {size} pixels, with a change of light, a cut and a thing that stops",
            found=str([int(np.sum(mask)) for mask in got])[:100] + " pixels move",
        )

# %% [markdown] role="hint" exercise="moving"
# Which of the four steps needs the background before the frame, and which changes it? What must the next frame see?

# %% [markdown] role="hint" exercise="moving"
# `np.median` of a whole array needs no axis. `mask.mean()` is the share of `True`. `np.where(mask, slow, fast)` gives a rate for each pixel.

# %% [markdown] role="hint" exercise="moving"
# ```python
# back, masks = np.array(background, float), []
# for rows in frames:
#     frame = np.array(rows, float)
#     back *= ...
#     mask = ...
#     if mask.mean() > ...:
#         back, mask = ...
#     back += np.where(...) * ...
#     masks.append(mask)
# return masks
# ```


# %% role="right" exercise="moving"
def moving(background, frames, fast, slow, limit):
    back = [v for row in background for v in row]
    masks = []
    for frame in frames:
        values = [v for row in frame for v in row]
        gain = statistics.median(values) / statistics.median(back)
        back = [v * gain for v in back]
        mask = [abs(v - b) > limit for v, b in zip(values, back, strict=True)]
        if sum(mask) > len(mask) / 4:
            back, mask = list(values), [False] * len(mask)
        for n, value in enumerate(values):
            back[n] += (slow if mask[n] else fast) * (value - back[n])
        width = len(frame[0])
        masks.append([mask[n : n + width] for n in range(0, len(mask), width)])
    return masks


# %% role="wrong" exercise="moving" misconception="What is darker has moved" caught="check" says="a frame of 50"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        mask = np.abs(frame - back) > limit
        if mask.mean() > 0.25 and mask.mean() < 1:
            back, mask = frame, np.zeros_like(mask)
        back += np.where(mask, slow, fast) * (frame - back)
        masks.append(mask)
    return masks


# %% role="wrong" exercise="moving" misconception="The scaled background is for the comparison alone" caught="check" says="with a pixel of 240"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        scaled = back * (np.median(frame) / np.median(back))
        mask = np.abs(frame - scaled) > limit
        if mask.mean() > 0.25:
            back = scaled = frame
            mask = np.zeros_like(mask)
        back = back + np.where(mask, slow, fast) * (frame - scaled)
        masks.append(mask)
    return masks


# %% role="wrong" exercise="moving" misconception="One rate is enough" caught="check" says="four frames with four pixels of 160"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        back *= np.median(frame) / np.median(back)
        mask = np.abs(frame - back) > limit
        if mask.mean() > 0.25:
            back, mask = frame, np.zeros_like(mask)
        back += fast * (frame - back)
        masks.append(mask)
    return masks


# %% role="wrong" exercise="moving" misconception="The background is the frame before" caught="check" says="then one with a pixel of 121"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        back *= np.median(frame) / np.median(back)
        mask = np.abs(frame - back) > limit
        if mask.mean() > 0.25:
            mask = np.zeros_like(mask)
        back = frame
        masks.append(mask)
    return masks


# %% role="wrong" exercise="moving" misconception="A cut mends itself" caught="check" says="five pixels of 160"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        back *= np.median(frame) / np.median(back)
        mask = np.abs(frame - back) > limit
        back += np.where(mask, slow, fast) * (frame - back)
        masks.append(mask)
    return masks


# %% role="wrong" exercise="moving" misconception="Only what is brighter moves" caught="check" says="two pixels of 79"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        back *= np.median(frame) / np.median(back)
        mask = frame - back > limit
        if mask.mean() > 0.25:
            back, mask = frame, np.zeros_like(mask)
        back += np.where(mask, slow, fast) * (frame - back)
        masks.append(mask)
    return masks


# %% role="wrong" exercise="moving" misconception="A pixel is named by x, then y" caught="check" says="the right mask"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float).T, []
    for rows in frames:
        frame = np.array(rows, float).T
        back *= np.median(frame) / np.median(back)
        mask = np.abs(frame - back) > limit
        if mask.mean() > 0.25:
            back, mask = frame, np.zeros_like(mask)
        back += np.where(mask, slow, fast) * (frame - back)
        masks.append(mask)
    return masks


# %% role="wrong" exercise="moving" misconception="The mean is as good as the median" caught="check" says="then one with a pixel of 121"
def moving(background, frames, fast, slow, limit):
    back, masks = np.array(background, float), []
    for rows in frames:
        frame = np.array(rows, float)
        back *= np.mean(frame) / np.mean(back)
        mask = np.abs(frame - back) > limit
        if mask.mean() > 0.25:
            back, mask = frame, np.zeros_like(mask)
        back += np.where(mask, slow, fast) * (frame - back)
        masks.append(mask)
    return masks


# %% [markdown]
# Your masks on the film. The first background is the median of the first eight seconds, so the car that was there from the start is not part of it.

# %%
start = np.median(GREY[:64], axis=0)
mine = moving(start, GREY, 0.05, 0.005, 25)
for name, n in [
    ("before", 63),
    ("light", 64),
    ("truck", 179),
    ("cut", 180),
    ("bus", 210),
]:
    found = f"{100 * mine[n].mean():.0f} %" if mine else "not started"
    print(f"{name:6} frame {n:3}: MOG2 {100 * MASKS[n].mean():3.0f} %, yours: {found}")

# %% [markdown]
# Yours is not perfect. It begins anew at a cut, so a vehicle that stands there is background; when it leaves, it leaves a *ghost*. And `slow` is a choice: a truck that shall stay visible for an hour,
# or a ghost that shall be gone in a minute.

# %% [markdown] topics=["7.2-6.3", "7.2-6"]
# ## Count vehicles, not detections
#
# A mask becomes boxes: each connected patch is one. A *tracker* links boxes of successive frames to *tracks*; each track is one vehicle. The simplest link is overlap: the area
# that two boxes share, divided by the area that they cover together (*intersection over union*, IoU).
#
# **Predict:** a tug is 22 pixels long and drives 4 pixels a frame. What remains of the IoU if you look only at every fourth frame?


# %%
def overlap(one, two):
    """The intersection over union of two boxes [left, top, right, bottom]."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return shared / (sum(areas) - shared)


for step in (1, 2, 4, 6):
    score = overlap([20, 51, 42, 64], [20 + 4 * step, 51, 42 + 4 * step, 64])
    print("every", step, "frames:", round(score, 2))

# %% [markdown]
# The frame rate that you need follows from speed and size.

# %% [markdown] role="task" exercise="track" points=4 topics=["7.2-6.3", "7.2-6"]
# ### Which box is whose?
#
# Write `track(frames, least, patience)`. `frames` is a list with the boxes of each frame, a box is `[left, top, right, bottom]`. Return for each frame a list of the tracks' numbers, in the order of the boxes.
#
# In each frame, compare the last box of each open track with each box, by `overlap`:
#
# - The pair with the greatest overlap is linked first, then the next. A track gets at most one box in a frame, and a box at most one track. An overlap below `least` never links.
# - A box that is left over begins a new track. Tracks are numbered 1, 2, 3, …, by frame, then by the order of boxes.
# - A track without a box in more than `patience` frames in a row is closed for good.
#
# Where two overlaps are equal, the track with the smaller number comes first, then the first box.
#
# Example: `track([[[0, 0, 10, 10]], [], [[2, 0, 12, 10]]], 0.3, 1)` gives `[[1], [], [1]]`; with `patience` 0 it gives `[[1], [], [2]]`.
#
# Why: the report wanted tracks.


# %% role="answer" exercise="track"
def track(frames: list, least: float, patience: int) -> list:
    """The number of the track of each box."""
    ### BEGIN SOLUTION
    last, found = {}, []
    for now, boxes in enumerate(frames):
        pairs = [
            (-overlap(box, new), number, at)
            for number, (seen, box) in last.items()
            if now - seen <= patience + 1
            for at, new in enumerate(boxes)
        ]
        ids = {}
        for score, number, at in sorted(pairs):
            if -score >= least and at not in ids and number not in ids.values():
                ids[at] = number
        for at, box in enumerate(boxes):
            last[ids.setdefault(at, len(last) + 1)] = (now, box)
        found.append([ids[at] for at in range(len(boxes))])
    return found
    ### END SOLUTION


# %% role="check" exercise="track"
with lab.check("track") as answer:
    a, near, far = [0, 0, 10, 10], [2, 0, 12, 10], [50, 0, 60, 10]
    half, after = [5, 0, 15, 10], [4, 0, 14, 10]
    for frames, least, patience, expected in [
        ([[a], [], [near]], 0.3, 1, [[1], [], [1]]),
        ([[a], [], [near]], 0.3, 0, [[1], [], [2]]),
        ([[a], [near], [after]], 0.3, 0, [[1], [1], [1]]),
        ([[a], [], [], [near]], 0.3, 1, [[1], [], [], [2]]),
        ([[a], [], [near], [], [a]], 0.3, 1, [[1], [], [1], [], [1]]),
        ([[a, far], [far, near]], 0.3, 0, [[1, 2], [2, 1]]),
        ([[a], [half, near]], 0.3, 0, [[1], [2, 1]]),
        ([[a, half], [near]], 0.2, 0, [[1, 2], [1]]),
        ([[a, half], [after, near]], 0.2, 0, [[1, 2], [2, 1]]),
        ([[a, half], [near, [9, 0, 19, 10]]], 0.2, 0, [[1, 2], [1, 2]]),
        ([[a], [[0, 0, 10, 5]]], 0.5, 0, [[1], [1]]),
        ([[a], [[0, 0, 10, 5]]], 0.51, 0, [[1], [2]]),
        ([[a, a], [a, a]], 0.3, 0, [[1, 2], [1, 2]]),
        ([[a], [far], [far, a]], 0.3, 0, [[1], [2], [2, 3]]),
        ([[], [], []], 0.3, 2, [[], [], []]),
    ]:
        answer.equal(
            answer.call("track", frames, least, patience),
            expected,
            asked=f"the tracks of {frames} with least {least} and patience {patience}",
        )

# %% role="hidden" exercise="track"
with lab.check("track", hidden=True) as answer:
    draw = answer.random
    for patience in (0, 2):
        lanes = draw.sample(range(0, 400, 40), 5)
        visible = [[draw.random() < 0.6 for _ in range(24)] for _ in lanes]
        frames, expected, number, seen, many = [], [], {}, {}, 0
        for now in range(24):
            boxes, ids = [], []
            for lane in draw.sample(range(5), 5):
                if visible[lane][now]:
                    if now - seen.get(lane, -99) > patience + 1:
                        many += 1
                        number[lane] = many
                    seen[lane] = now
                    ids.append(number[lane])
                    left = now * (lane % 3)
                    boxes.append([left, lanes[lane], left + 30, lanes[lane] + 12])
            frames.append(boxes)
            expected.append(ids)
        answer.equal(
            answer.call("track", frames, 0.3, patience),
            expected,
            asked=f"the tracks of five vehicles in lanes of their own, in 24 frames, with least 0.3 and patience {patience}",
        )

# %% [markdown] role="hint" exercise="track"
# What do you have to remember of a track? Why can a link not be decided box by box?

# %% [markdown] role="hint" exercise="track"
# Keep a dictionary from number to `(frame, box)`. Make a list of tuples `(-overlap, number, position)` and sort it: the greatest overlap is first, ties are in the right order. A track that was seen in the frame before has
# missed no frame.

# %% [markdown] role="hint" exercise="track"
# ```python
# last, found = {}, []
# for now, boxes in enumerate(frames):
#     pairs = [(-overlap(...), number, at) for ... if ... for ...]
#     ids = {}
#     for score, number, at in sorted(pairs):
#         if ...:
#             ids[at] = number
#     for at, box in enumerate(boxes):
#         ...
#     found.append([ids[at] for at in range(len(boxes))])
# return found
# ```


# %% role="right" exercise="track"
def track(frames, least, patience):
    tracks, found = [], []
    for boxes in frames:
        ids, free = [None] * len(boxes), [t for t in tracks if t["missed"] <= patience]
        while free and None in ids:
            best = max(
                ((t, at) for t in free for at, n in enumerate(ids) if n is None),
                key=lambda pair: overlap(pair[0]["box"], boxes[pair[1]]),
            )
            if overlap(best[0]["box"], boxes[best[1]]) < least:
                break
            ids[best[1]] = best[0]["number"]
            free.remove(best[0])
        for at, number in enumerate(ids):
            if number is None:
                tracks.append({"number": len(tracks) + 1})
                ids[at] = len(tracks)
        for t in tracks:
            if t["number"] in ids:
                t |= {"box": boxes[ids.index(t["number"])], "missed": 0}
            else:
                t["missed"] += 1
        found.append(ids)
    return found


# %% [markdown] role="equivalent" exercise="track" reason="overlap is the same from both sides"
# - (-overlap(box, new), number, at)
# + (-overlap(new, box), number, at)


# %% role="wrong" exercise="track" misconception="The order of boxes is their identity" caught="check" says="the tracks of"
def track(frames, least, patience):
    return [[at + 1 for at in range(len(boxes))] for boxes in frames]


# %% role="wrong" exercise="track" misconception="Each box takes the best track in turn" caught="check" says="least 0.3 and patience 0"
def track(frames, least, patience):
    last, found = {}, []
    for now, boxes in enumerate(frames):
        ids = []
        for box in boxes:
            able = [
                n
                for n, (seen, _) in last.items()
                if now - seen <= patience + 1 and n not in ids and seen < now
            ]
            best = max(able, key=lambda n: overlap(last[n][1], box), default=None)
            if best is None or overlap(last[best][1], box) < least:
                best = len(last) + 1
            ids.append(best)
            last[best] = (now, box)
        found.append(ids)
    return found


# %% role="wrong" exercise="track" misconception="A track is closed when it is missed once" caught="check" says="patience 1"
def track(frames, least, patience):
    last, found = {}, []
    for now, boxes in enumerate(frames):
        pairs = [
            (-overlap(b, new), n, at)
            for n, (seen, b) in last.items()
            if now - seen <= 1
            for at, new in enumerate(boxes)
        ]
        ids = {}
        for score, number, at in sorted(pairs):
            if -score >= least and at not in ids and number not in ids.values():
                ids[at] = number
        for at, box in enumerate(boxes):
            last[ids.setdefault(at, len(last) + 1)] = (now, box)
        found.append([ids[at] for at in range(len(boxes))])
    return found


# %% role="wrong" exercise="track" misconception="A track waits for ever" caught="check" says="patience 0"
def track(frames, least, patience):
    last, found = {}, []
    for boxes in frames:
        pairs = [
            (-overlap(b, new), n, at)
            for n, b in last.items()
            for at, new in enumerate(boxes)
        ]
        ids = {}
        for score, number, at in sorted(pairs):
            if -score >= least and at not in ids and number not in ids.values():
                ids[at] = number
        for at, box in enumerate(boxes):
            last[ids.setdefault(at, len(last) + 1)] = box
        found.append([ids[at] for at in range(len(boxes))])
    return found


# %% role="wrong" exercise="track" misconception="Two boxes may be the same vehicle" caught="check" says="the tracks of"
def track(frames, least, patience):
    last, found = {}, []
    for now, boxes in enumerate(frames):
        pairs = [
            (-overlap(b, new), n, at)
            for n, (seen, b) in last.items()
            if now - seen <= patience + 1
            for at, new in enumerate(boxes)
        ]
        ids = {}
        for score, number, at in sorted(pairs):
            if -score >= least and at not in ids:
                ids[at] = number
        for at, box in enumerate(boxes):
            last[ids.setdefault(at, len(last) + 1)] = (now, box)
        found.append([ids[at] for at in range(len(boxes))])
    return found


# %% [markdown]
# Now the whole chain: your masks, boxes from OpenCV, your tracks. Then with MOG2, with fewer frames, and with a detector that misses each fifth frame. **Predict:** which of these does `patience` repair?


# %%
def boxes(masks):
    """The boxes of the connected patches of at least 60 pixels; small gaps are closed."""
    found = []
    for mask in masks:
        whole = cv2.morphologyEx(
            np.asarray(mask, "uint8"), cv2.MORPH_CLOSE, np.ones((7, 7))
        )
        _, _, patches, _ = cv2.connectedComponentsWithStats(whole)
        found.append(
            [
                [int(v) for v in (x, y, x + w, y + h)]
                for x, y, w, h, area in patches[1:]
                if area >= 60
            ]
        )
    return found


good = boxes(mine) if mine else []
poor = [row if n % 5 else [] for n, row in enumerate(good)]
for name, some in [
    ("yours", good),
    ("MOG2", boxes(MASKS)),
    ("every 2nd", good[::2]),
    ("every 4th", good[::4]),
    ("one missed", poor),
]:
    for patience in (0, 3):
        tracks = track(some, 0.3, patience) if some else None
        many = len({n for row in tracks for n in row}) if tracks else "not started"
        if tracks and many > 15:
            many = f"about {round(many, -1)}"
        print(f"{name:10} patience {patience}: {many} vehicles")

# %% [markdown]
# Patience repairs most of what a detector that blinks breaks. It repairs neither false boxes nor boxes too far apart; for those, better trackers predict where a vehicle will be. Nine is right here, with
# lanes that hardly touch. Vehicles that hide each other get swapped.

# %% [markdown] topics=["7.2-6.3", "7.2-3.3"]
# ## Break it: the camera does not wait
#
# A file waits. A camera sends a frame every 125 ms. Your detector needs 200 ms. You put a queue between them.
#
# **Predict:** how late is the last frame of half a minute? What holds the queue after an hour, with frames of 1920 by 1080 pixels?

# %%
number = np.arange(240)
late = 200 * (number + 1) - 125 * number
print("latency of frames 0, 80, 160, 239:", late[[0, 80, 160, 239]].tolist(), "ms")
waiting = 3600 * 1000 // 125 - 3600 * 1000 // 200
print(
    "after an hour",
    waiting,
    "frames wait,",
    round(waiting * 1920 * 1080 * 3 / 2**30),
    "GiB",
)

# %% [markdown]
# Latency grows by 75 ms with each frame, for ever. A queue evens out *bursts*. If more comes than is served on average, it only hides the failure until memory ends. So it has a limit, and a policy:
#
# | Policy | Fits |
# |---|---|
# | *back-pressure*: the sender waits | a file, a table |
# | drop the *newest* | a sender that tries again |
# | drop the *oldest* | a live picture: what is late is worthless |

# %% [markdown] role="task" exercise="serve" points=3 topics=["7.2-6.3", "7.2-3.3"]
# ### Keep up
#
# Write `serve(times, need, size, drop)`. Frame `n` arrives at `times[n]`, in milliseconds, in order. One worker needs `need` milliseconds for a frame. Return `[frame, latency]` for each frame that is served, in the order of service. Latency
# is the time from its arrival to the end of its service.
#
# - A worker that is free begins with the frame that waits longest, at once.
# - A frame that arrives while the worker is busy waits. At most `size` frames wait. If there are more, one is dropped: with `drop` `"oldest"` the one that waits longest, with `"newest"` the one that arrives.
# - If a frame arrives just when the worker is done, the worker takes the next waiting frame first.
#
# Example: `serve([0, 10, 20, 30], 100, 1, "oldest")` gives `[[0, 100], [3, 170]]`; with `"newest"` it gives `[[0, 100], [1, 190]]`.
#
# Why: who does not choose what is lost loses what matters.


# %% role="answer" exercise="serve"
def serve(times: list, need: int, size: int, drop: str) -> list:
    """The frames that are served, with their latency."""
    ### BEGIN SOLUTION
    waiting, done, free = [], [], 0
    for frame, now in enumerate([*times, math.inf]):
        while waiting and free <= now:
            first = waiting.pop(0)
            free = max(free, times[first]) + need
            done.append([first, free - times[first]])
        waiting.append(frame)
        if free > now and len(waiting) > size:
            waiting.pop(0 if drop == "oldest" else -1)
    return done
    ### END SOLUTION


# %% role="check" exercise="serve"
with lab.check("serve") as answer:
    for times, need, size, oldest, newest in [
        ([0, 10, 20, 30], 100, 1, [[0, 100], [3, 170]], [[0, 100], [1, 190]]),
        ([0, 10, 20, 30], 100, 2, [[0, 100], [2, 180], [3, 270]], [[0, 100], [1, 190], [2, 280]]),
        ([0, 10, 20], 100, 2, [[0, 100], [1, 190], [2, 280]], [[0, 100], [1, 190], [2, 280]]),
        ([0, 50, 300, 500], 100, 1, [[0, 100], [1, 150], [2, 100], [3, 100]], [[0, 100], [1, 150], [2, 100], [3, 100]]),
        ([0, 0, 99, 100, 101], 100, 0, [[0, 100], [3, 100]], [[0, 100], [3, 100]]),
        ([0, 50, 100, 150], 100, 1, [[0, 100], [1, 150], [3, 150]], [[0, 100], [1, 150], [2, 200]]),
        ([5, 6, 7, 205, 206], 100, 3, [[0, 100], [1, 199], [2, 298], [3, 200], [4, 299]], [[0, 100], [1, 199], [2, 298], [3, 200], [4, 299]]),
        ([], 100, 1, [], []),
    ]:  # fmt: skip
        for drop, expected in (("oldest", oldest), ("newest", newest)):
            answer.equal(
                answer.call("serve", times, need, size, drop),
                expected,
                asked=f'what is served by serve({times}, {need}, {size}, "{drop}")',
            )

# %% role="hidden" exercise="serve"
with lab.check("serve", hidden=True) as answer:
    draw = answer.random
    for drop in ("oldest", "newest", "oldest"):
        need, size = draw.randrange(8, 20), draw.randrange(4)
        times = sorted(draw.randrange(200) for _ in range(25))
        busy, queue, expected = None, [], []  # a clock that ticks each millisecond
        for now in range(800):
            if busy and busy[1] == now:
                expected.append([busy[0], now - times[busy[0]]])
                busy = None
            if not busy and queue:
                busy = (queue.pop(0), now + need)
            for frame in [n for n, at in enumerate(times) if at == now]:
                if not busy:
                    busy = (frame, now + need)
                else:
                    queue.append(frame)
                    if len(queue) > size:
                        del queue[0 if drop == "oldest" else len(queue) - 1]
        answer.equal(
            answer.call("serve", times, need, size, drop),
            expected,
            asked=f'what is served by serve({times}, {need}, {size}, "{drop}")',
        )

# %% [markdown] role="hint" exercise="serve"
# What happens between two arrivals? When is the worker free, and when was a frame there?

# %% [markdown] role="hint" exercise="serve"
# Before each arrival, let the worker take what it can take until then. It begins when it is free *and* the frame is there. After the last arrival, it takes all that waits: an arrival at `math.inf` that is never served does
# this without a second loop.

# %% [markdown] role="hint" exercise="serve"
# ```python
# waiting, done, free = [], [], 0
# for frame, now in enumerate([*times, math.inf]):
#     while waiting and ...:
#         first = waiting.pop(0)
#         free = ... + need
#         done.append([first, ...])
#     waiting.append(frame)
#     if ... and len(waiting) > size:
#         waiting.pop(...)
# return done
# ```


# %% role="right" exercise="serve"
def serve(times, need, size, drop):
    done, queue, ends = [], [], None  # ends: when the frame in service is done

    def start(frame, begin):
        done.append([frame, begin + need - times[frame]])
        return begin + need

    for frame, now in enumerate(times):
        while ends is not None and ends <= now:
            ends = start(queue.pop(0), ends) if queue else None
        if ends is None:
            ends = start(frame, now)
        elif len(queue) < size:
            queue.append(frame)
        elif drop == "oldest" and size:
            queue = [*queue[1:], frame]
    for frame in queue:
        ends = start(frame, ends)
    return done


# %% [markdown] role="equivalent" exercise="serve" reason="Before the first arrival the worker is free; the greater of two is the same in any order"
# - waiting, done, free = [], [], 0
# + waiting, done, free = [], [], (-1)
#
# - free = max(free, times[first]) + need
# + free = max(times[first], free) + need


# %% role="wrong" exercise="serve" misconception="A queue loses nothing" caught="check" says="serve([0, 10, 20, 30], 100, 1"
def serve(times, need, size, drop):
    done, free = [], 0
    for frame, now in enumerate(times):
        free = max(free, now) + need
        done.append([frame, free - now])
    return done


# %% role="wrong" exercise="serve" misconception="Latency is the time of service" caught="check" says="serve([0, 10, 20, 30], 100, 1"
def serve(times, need, size, drop):
    waiting, done, free = [], [], 0
    for frame, now in enumerate([*times, math.inf]):
        while waiting and free <= now:
            first = waiting.pop(0)
            free = max(free, times[first]) + need
            done.append([first, need])
        waiting.append(frame)
        if free > now and len(waiting) > size:
            waiting.pop(0 if drop == "oldest" else -1)
    return done


# %% role="wrong" exercise="serve" misconception="The frame in service takes a place" caught="check" says="serve([0, 10, 20, 30], 100, 1"
def serve(times, need, size, drop):
    waiting, done, free = [], [], 0
    for frame, now in enumerate([*times, math.inf]):
        while waiting and free <= now:
            first = waiting.pop(0)
            free = max(free, times[first]) + need
            done.append([first, free - times[first]])
        waiting.append(frame)
        if free > now and len(waiting) > max(size - 1, 0):
            waiting.pop(0 if drop == "oldest" else -1)
    return done


# %% role="wrong" exercise="serve" misconception="The worker never rests" caught="check" says="serve([0, 50, 300, 500], 100, 1"
def serve(times, need, size, drop):
    waiting, done, free = [], [], 0
    for frame, now in enumerate([*times, math.inf]):
        while waiting and free <= now:
            first = waiting.pop(0)
            free += need
            done.append([first, free - times[first]])
        waiting.append(frame)
        if free > now and len(waiting) > size:
            waiting.pop(0 if drop == "oldest" else -1)
    return done


# %% role="wrong" exercise="serve" misconception="A full queue is emptied" caught="check" says="serve([0, 10, 20, 30], 100, 2"
def serve(times, need, size, drop):
    waiting, done, free = [], [], 0
    for frame, now in enumerate([*times, math.inf]):
        while waiting and free <= now:
            first = waiting.pop(0)
            free = max(free, times[first]) + need
            done.append([first, free - times[first]])
        waiting.append(frame)
        if free > now and len(waiting) > size:
            waiting = waiting[-1:] if drop == "oldest" and size else waiting[:size]
    return done


# %% [markdown]
# Two senders: the camera, and one that sends 16 frames at once every four seconds. **Predict:** a larger queue helps one of them. Which?

# %%
steady = [125 * n for n in range(240)]
bursts = [4000 * (n // 16) for n in range(128)]
for name, times in (("camera", steady), ("bursts", bursts)):
    for drop, size in [("newest", 16), ("oldest", 16), ("oldest", 1)]:
        served = serve(times, 200, size, drop)
        text = "not started"
        if served:
            middle, worst = (
                statistics.median(v for _, v in served),
                max(v for _, v in served),
            )
            text = f"{len(served):3} of {len(times)} served, latency {middle:.0f} ms, at most {worst} ms"
        print(f"{name}, queue of {size:2}, drop {drop}: {text}")

# %% [markdown]
# For the camera, the queue of 16 serves hardly more frames than the queue of one, and they are seconds old. For bursts, it loses nothing. Ask for the average load first. Then choose the size by the latency that you can bear, and
# count what you drop.

# %% [markdown] topics=["7.2-6.4", "7.2-3.3"]
# ## Many small files
#
# Frames become photos, and photos become millions. Each file is opened, each task is planned and sent. For a photo of 4 kB, both cost more than the work. So engines put many files in one *partition*, which is one task.
#
# Here is a difference hash, as in the lab *Images*, over 144 photos with Dask. **Predict:** 144 tasks, or 4?

# %%
PHOTOS = dataset("cargo-photos")
RAMP = [file for file in PHOTOS.names() if file.startswith("ramp/")]
for file in PHOTOS.names():
    (HOME / file).parent.mkdir(exist_ok=True)
    (HOME / file).write_bytes(PHOTOS.read(file))


def fingerprint(data):
    """The difference hash of a photo, in hexadecimal digits; none if it cannot be read."""
    try:
        small = Image.open(io.BytesIO(data)).convert("L").resize((9, 8))
    except (OSError, Image.DecompressionBombError):
        return None
    return np.packbits(np.diff(np.asarray(small).astype(int)) > 0).tobytes().hex()


def by_dask(partitions):
    paths = dask.bag.from_sequence(
        [HOME / file for file in RAMP], npartitions=partitions
    )
    return paths.map(pathlib.Path.read_bytes).map(fingerprint)


print(
    {n: len(by_dask(n).__dask_graph__()) for n in (144, 4)},
    "nodes: listing, reading and hashing each partition",
)
with dask.config.set(scheduler="threads", num_workers=2):
    DASK = dict(zip(RAMP, by_dask(4).compute(), strict=True))
print(len(DASK), "photos,", len(set(DASK.values())), "hashes")

# %% tags=["nbval-ignore-output"]
for n in (144, 36, 4):
    with dask.config.set(scheduler="threads", num_workers=2):
        begin = time.perf_counter()
        by_dask(n).compute()
        print(
            f"{n:3} partitions: {144 / (time.perf_counter() - begin):.0f} photos a second"
        )

# %% [markdown]
# Dask fuses a partition's three nodes into one task.
#
# On one machine a partition costs Dask about a millisecond; on a cluster, and in Spark, it costs more. Too few are as bad: two partitions keep two cores busy, whatever you rent.
#
# Spark packs by bytes. To each file it adds a cost of opening, 4 MiB unless you say otherwise.

# %% [markdown] role="task" exercise="partitions" points=3 topics=["7.2-6.4", "7.2-3.3"]
# ### Pack as Spark does
#
# Write `partitions(files, target, cost)`. `files` is a list of `[name, bytes]`. Return a list of partitions; each is a list of names.
#
# Take the files by size, the largest first; of equal ones, in the order given. Fill one partition after the other. A file goes into the partition that is open if what the partition holds and the bytes of the file are together at most `target`;
# otherwise a new one begins. What a partition holds: the bytes of its files, and `cost` for each. A file is never split.
#
# Example: `partitions([["a", 30], ["b", 60], ["c", 20]], 100, 10)` gives `[["b", "a"], ["c"]]`: after `b` and `a`, the partition holds 110.
#
# Why: the number of tasks is known before the job runs.


# %% role="answer" exercise="partitions"
def partitions(files: list, target: int, cost: int) -> list:
    """The names of the files of each partition."""
    ### BEGIN SOLUTION
    packed = []
    for name, size in sorted(files, key=lambda file: -file[1]):
        if not packed or filled + size > target:
            packed.append([])
            filled = 0
        packed[-1].append(name)
        filled += size + cost
    return packed
    ### END SOLUTION


# %% role="check" exercise="partitions"
with lab.check("partitions") as answer:
    for files, target, cost, expected in [
        ([["a", 30], ["b", 60], ["c", 20]], 100, 10, [["b", "a"], ["c"]]),
        ([["a", 30], ["b", 60], ["c", 10]], 100, 0, [["b", "a", "c"]]),
        ([["a", 30], ["b", 60], ["c", 11]], 100, 0, [["b", "a"], ["c"]]),
        ([["a", 500], ["b", 2], ["c", 700]], 100, 10, [["c"], ["a"], ["b"]]),
        ([["z", 5], ["a", 5], ["m", 5], ["b", 5]], 20, 5, [["z", "a"], ["m", "b"]]),
        ([["a", 1], ["b", 1], ["c", 1], ["d", 1]], 100, 49, [["a", "b"], ["c", "d"]]),
        (
            [["a", 60], ["b", 50], ["c", 40], ["d", 30]],
            100,
            0,
            [["a"], ["b", "c"], ["d"]],
        ),
        ([], 100, 10, []),
    ]:
        answer.equal(
            answer.call("partitions", files, target, cost),
            expected,
            asked=f"partitions({files}, {target}, {cost})",
        )

# %% role="hidden" exercise="partitions"
with lab.check("partitions", hidden=True) as answer:
    draw = answer.random
    for many, cost in ((30, 0), (30, 25), (9, 400)):
        files = [[f"{n:02}.jpg", draw.randrange(1, 120)] for n in range(many)]
        left = [f for size in range(120, 0, -1) for f in files if f[1] == size]
        expected = []
        while left:
            ends = [
                end
                for end in range(1, len(left) + 1)
                if end == 1 or sum(s for _, s in left[:end]) + cost * (end - 1) <= 300
            ]
            expected.append([name for name, _ in left[: ends[-1]]])
            left = left[ends[-1] :]
        answer.equal(
            answer.call("partitions", files, 300, cost),
            expected,
            asked=f"partitions of {many} files, from {files[:3]} on, with target 300 and cost {cost}",
        )

# %% [markdown] role="hint" exercise="partitions"
# What does the cost of the file that comes count for: its own place, or the next one's?

# %% [markdown] role="hint" exercise="partitions"
# `sorted` keeps the order of equal ones, also with a negative key; `reverse=True` keeps it too. Add the cost after a file is placed.

# %% [markdown] role="hint" exercise="partitions"
# ```python
# packed, filled = [], 0
# for name, size in sorted(files, key=...):
#     if not packed or ...:
#         packed.append([])
#         filled = ...
#     packed[-1].append(name)
#     filled += ...
# return packed
# ```


# %% role="right" exercise="partitions"
def partitions(files, target, cost):
    packed, open_one, filled = [], [], 0
    for file in sorted(files, key=lambda f: f[1], reverse=True):
        if open_one and filled + file[1] > target:
            packed.append(open_one)
            open_one, filled = [], 0
        open_one = [*open_one, file[0]]
        filled += file[1] + cost
    return [*packed, open_one] if open_one else packed


# %% role="wrong" exercise="partitions" misconception="Small files cost nothing" caught="check" says="partitions([['z', 5]"
def partitions(files, target, cost):
    packed, filled = [], 0
    for name, size in sorted(files, key=lambda file: -file[1]):
        if not packed or filled + size > target:
            packed.append([])
            filled = 0
        packed[-1].append(name)
        filled += size
    return packed


# %% role="wrong" exercise="partitions" misconception="A task for each file" caught="check" says="partitions([['a', 30], ['b', 60], ['c', 20]]"
def partitions(files, target, cost):
    return [[name] for name, _ in sorted(files, key=lambda file: -file[1])]


# %% role="wrong" exercise="partitions" misconception="Files are read in the order of the folder" caught="check" says="partitions([['a', 30], ['b', 60], ['c', 20]]"
def partitions(files, target, cost):
    packed, filled = [], 0
    for name, size in files:
        if not packed or filled + size > target:
            packed.append([])
            filled = 0
        packed[-1].append(name)
        filled += size + cost
    return packed


# %% role="wrong" exercise="partitions" misconception="A file must fit with its own cost" caught="check" says="partitions([['a', 30], ['b', 60], ['c', 20]]"
def partitions(files, target, cost):
    packed, filled = [], 0
    for name, size in sorted(files, key=lambda file: -file[1]):
        if not packed or filled + size + cost > target:
            packed.append([])
            filled = 0
        packed[-1].append(name)
        filled += size + cost
    return packed


# %% role="wrong" exercise="partitions" misconception="A file goes wherever it fits" caught="check" says="['b', 50], ['c', 40], ['d', 30]]"
def partitions(files, target, cost):
    packed, filled = [], []
    for name, size in sorted(files, key=lambda file: -file[1]):
        fits = (n for n, held in enumerate(filled) if held + size <= target)
        at = next(fits, len(filled))
        if at == len(filled):
            packed.append([])
            filled.append(0)
        packed[at].append(name)
        filled[at] += size + cost
    return packed


# %% [markdown] topics=["7.2-6.4"]
# ## The same job on Spark
#
# `binaryFile` reads each file as a row: its path, its length, its bytes. Spark sets the target itself: at most 128 MiB, less if that would leave a core idle. **Predict:** 144 photos of 4 kB, with the cost of 4 MiB each. How many tasks?

# %%
spark = session("video")
spark.sparkContext.setLogLevel("OFF")
photos = spark.read.format("binaryFile").load(str(HOME / "ramp"))
sizes = [[file, (HOME / file).stat().st_size] for file in RAMP]
packed = partitions(sizes, 128 * 2**20, 4 * 2**20)
print(
    "bytes",
    sum(size for _, size in sizes) // 1000,
    "kB, Spark's tasks",
    photos.rdd.getNumPartitions(),
)
print("yours", [len(part) for part in packed] if packed else "not started")

# %% [markdown]
# Five tasks: 32 files are 128 MiB by this account, though all photos together are 0.6. Set `spark.sql.files.openCostInBytes` to what an opening costs: little on a local disk, much in an object store. The other cure is to store photos together, as in Parquet.
#
# **Predict:** the same Python function, in Spark's workers. Same hashes?

# %%
from_bytes = spark.udf.register("fingerprint", lambda data: fingerprint(bytes(data)))
rows = photos.selectExpr("path", "fingerprint(content) AS hash").collect()
SPARK = {"ramp/" + row["path"].rsplit("/", 1)[-1]: row["hash"] for row in rows}
print(len(SPARK), "photos; Dask and Spark agree:", SPARK == DASK)
odd = spark.read.format("binaryFile").load(str(HOME / "odd"))
rows = odd.selectExpr("path", "fingerprint(content) AS hash").collect()
print(
    "no hash:",
    sorted(row["path"].rsplit("/", 1)[-1] for row in rows if row["hash"] is None),
)

# %% [markdown]
# The function returns `None` for what it cannot read. Had it raised, one bad photo of a million would have stopped the job.
#
# Spark also has a source named `image`, which decodes in Java. **Predict:** a label that lies on its side (EXIF says: turn), half a photo, an error page, an empty file. What does it say of each?

# %%
images = spark.read.format("image")
for file in (
    "labels/04.jpg",
    "odd/cut.jpg",
    "odd/page.jpg",
    "odd/empty.jpg",
    "odd/grey.jpg",
    "odd/alpha.png",
):
    rows = (
        images.option("pathGlobFilter", pathlib.Path(file).name)
        .load(str((HOME / file).parent))
        .collect()
    )
    said = [
        (r.image.width, r.image.height, "mode", r.image.mode, list(r.image.data[-3:]))
        for r in rows
    ]
    print(file, *said or ["no row"])
print(
    "first pixel of the label, Pillow:",
    Image.open(HOME / "labels/04.jpg").getpixel((0, 0)),
)
rows = images.option("pathGlobFilter", "04.jpg").load(str(HOME / "labels")).collect()
print("first pixel of the label, Spark: ", tuple(rows[0].image.data[:3]))

# %% [markdown]
# | You see | It means |
# |---|---|
# | 320 by 500 | EXIF is not obeyed, the label still lies |
# | `cut.jpg` has its full size, and ends in 128, 128, 128 | half a photo passes, filled with grey, without a word |
# | -1 by -1 | it cannot be decoded; `dropInvalid` drops it without a word |
# | no row | an empty file does not even arrive, from `binaryFile` neither |
# | modes 16, 0, 24 | three, one and four channels: not one shape |
# | 113 before 116 | blue comes first; a model that learned from RGB sees wrong colours |
#
# So for photos that matter, take `binaryFile` and your own function from the lab *Images*, which refuses and says why. What it costs:

# %% tags=["nbval-ignore-output"]
for cost in (4 * 2**20, 0):
    spark.conf.set("spark.sql.files.openCostInBytes", str(cost))
    photos = spark.read.format("binaryFile").load(str(HOME / "ramp"))
    begin = time.perf_counter()
    photos.selectExpr("fingerprint(content) AS hash").collect()
    speed = 144 / (time.perf_counter() - begin)
    print(f"Spark, {photos.rdd.getNumPartitions()} tasks: {speed:.0f} photos a second")
begin = time.perf_counter()
for file in RAMP:
    fingerprint((HOME / file).read_bytes())
print(f"a loop: {144 / (time.perf_counter() - begin):.0f} photos a second")

# %% [markdown]
# For 144 photos the loop wins. Measure it first: it says how many cores your millions need.

# %% [markdown]
# ## What you can do now
#
# | You can | Because |
# |---|---|
# | say what a sample of a film costs | decoding starts at key frames |
# | find what moves | light is a factor, a cut begins anew |
# | count vehicles | boxes are linked by overlap |
# | keep up with a camera | you chose what is lost |
# | plan a job over many photos | files are packed by bytes and a cost |
#
# To read on: OpenCV's tutorials (*Background Subtraction*); Bewley and others, *Simple Online and Realtime Tracking*; Spark's guide (*Image data source*).

# %%
lab.close()
