"""Noise around a right answer that no check may mind."""

from __future__ import annotations

#: Of these, the first that the system has is used.
LOCALES = ("de_DE.UTF-8", "fr_FR.UTF-8", "tr_TR.UTF-8", "en_GB.UTF-8", "C.UTF-8")
ZONE = "Asia/Kathmandu"

_BEFORE = f"""\
def _noise_around():
    import contextlib, locale, os, time
    os.environ["TZ"] = {ZONE!r}
    time.tzset()
    for name in {LOCALES!r}:
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            break

_noise_around()
_noise_before = dict(globals())
"""

_AFTER = """
def _noise():
    import functools, logging, sys, types, warnings
    import pandas as pd
    import pyarrow as pa

    depth = 0

    def other_form(value):
        kind = type(value).__module__.split(".")[0] + "." + type(value).__name__
        if kind == "duckdb.DuckDBPyRelation":
            value, kind = value.to_arrow_table(), "pyarrow.Table"
        if kind == "pandas.DataFrame":
            frame = value if ORDERED else value.sample(frac=1, random_state=7)
            frame = frame[list(frame.columns[::-1])]
            wide = {"int8": "int64", "int16": "int64", "int32": "int64", "float32": "float64"}
            frame = frame.astype(
                {c: wide[str(t)] for c, t in frame.dtypes.items() if str(t) in wide}
            )
            return frame.rename_axis(index="noise")
        if kind == "pyarrow.Table":
            wide = {pa.int8(): pa.int64(), pa.int16(): pa.int64(), pa.int32(): pa.int64(),
                    pa.float32(): pa.float64(), pa.string(): pa.large_string()}
            order = pa.array(range(value.num_rows), pa.int64())
            table = value.take(order if ORDERED else order[::-1])
            table = table.select(value.column_names[::-1])
            fields = [f.with_type(wide.get(f.type, f.type)) for f in table.schema]
            return table.cast(pa.schema(fields))
        return value

    def noisy(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            nonlocal depth
            depth += 1
            try:
                result = function(*args, **kwargs)
            finally:
                depth -= 1
            if depth:
                return result
            warnings.warn("this is noise")
            logging.getLogger("noise").warning("this is noise")
            print("this is noise", file=sys.stderr)
            return other_form(result)

        return call

    for name, value in list(globals().items()):
        if name in _noise_before and value is _noise_before[name]:
            continue
        if isinstance(value, types.FunctionType) and not name.startswith("_noise"):
            globals()[name] = noisy(value)
        elif not name.startswith("_"):
            globals()[name] = other_form(value)

_noise()
"""


def noisy(answer: str, *, ordered: bool) -> str:
    """An answer that also warns, logs, and gives tables in another form.

    Rows keep their order where the task asks for one (``ordered``). Time zone and locale change
    before it runs.
    """
    return _BEFORE + answer + _AFTER.replace("ORDERED", str(ordered))
