"""Makes data/raw/callouts.zip, by hand: spoken call-outs, and what was said.

Not part of the build: another version of eSpeak NG sounds different, so its result is committed.
In an environment of its own: ``pip install espeakng-loader==0.2.4 numpy scipy soundfile``, then
``python data/build/callouts.py``.
"""

import csv
import ctypes
import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path

OUT = Path(__file__).parents[1] / "raw" / "callouts.zip"
RATE = 16_000
#: Voice, words a minute, pitch from 0 to 99.
VOICES = (("en-us", 150, 45), ("en-gb", 165, 60), ("en-gb-scotland", 140, 35))
CITIES = ("boston", "chicago", "denver", "houston", "miami", "orlando", "phoenix", "seattle")
DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
REASONS = ("weather", "a late crew", "a technical check", "traffic")
COUNT = 24


def sentences() -> list[str]:
    """What is said, in small letters and without marks."""
    draw = random.Random(2013)
    made = []
    for number in range(COUNT):
        flight = " ".join(draw.choice(DIGITS) for _ in range(3))
        city, gate = draw.choice(CITIES), f"gate {draw.choice(DIGITS)}"
        made.append(
            (
                f"flight {flight} to {city} is now boarding at {gate}",
                f"flight {flight} to {city} is delayed by {draw.choice(REASONS)}",
                f"the last call for flight {flight} to {city} at {gate}",
                f"flight {flight} from {city} has landed please wait at {gate}",
            )[number % 4]
        )
    return made


def say(text: str, voice: str, speed: int, pitch: int) -> bytes:
    """Samples of 16 bits, 22,050 a second; once in a process, as a second time sounds different."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    heard = bytearray()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def keep(samples: ctypes.Array, count: int, _events: object) -> int:
        if samples and count > 0:
            heard.extend(ctypes.string_at(samples, count * 2))
        return 0

    retrieval, rate_of_words, pitch_of_voice, utf8 = 1, 1, 3, 1
    library.espeak_Initialize(retrieval, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(keep)
    library.espeak_SetVoiceByName(voice.encode())
    library.espeak_SetParameter(rate_of_words, speed, 0)
    library.espeak_SetParameter(pitch_of_voice, pitch, 0)
    words = text.encode()
    library.espeak_Synth(words, len(words) + 1, 0, 1, 0, utf8, None, None)
    library.espeak_Synchronize()
    return bytes(heard)


def main() -> None:
    """Say each sentence in a process of its own, and pack the sounds as FLAC."""
    import numpy as np
    import soundfile
    from scipy.signal import resample_poly

    truth = io.StringIO()
    writer = csv.writer(truth, lineterminator="\n")
    writer.writerow(["file", "voice", "words"])
    files = []
    for number, text in enumerate(sentences()):
        voice, speed, pitch = VOICES[number % len(VOICES)]
        command = [sys.executable, __file__, text, voice, str(speed), str(pitch)]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        sound = resample_poly(np.frombuffer(raw, "<i2").astype(float), 320, 441)
        sink = io.BytesIO()
        loud = np.round(sound / np.abs(sound).max() * 20_000).astype("int16")
        soundfile.write(sink, loud, RATE, format="FLAC", subtype="PCM_16")
        files.append((f"{number:02}.flac", sink.getvalue()))
        writer.writerow([files[-1][0], voice, text])
    with zipfile.ZipFile(OUT, "w") as archive:
        for name, data in [*files, ("truth.csv", truth.getvalue().encode())]:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


if __name__ == "__main__":
    if sys.argv[1:]:
        words, voice, *numbers = sys.argv[1:]
        sys.stdout.buffer.write(say(words, voice, *map(int, numbers)))
    else:
        main()
