"""The graphs that every engine is given, as source: a module of functions, what is wanted of it, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MB = 10**6


@dataclass(frozen=True)
class Graph:
    """A module's source and the nodes wanted of it; `expected` is the value of the first."""

    source: str
    wanted: tuple[str, ...]
    expected: object
    nodes: int
    inputs: Mapping[str, object] = field(default_factory=dict)


def diamond(width: int, seconds: float) -> Graph:
    """One node, `width` nodes that take it, one that takes these; each sleeps."""
    sleeps = f"    time.sleep({seconds})\n"
    middle = [f"m{place}" for place in range(width)]
    parameters = ", ".join(f"{name}: int" for name in middle)
    functions = [
        "import time\n",
        f"def top(start: int) -> int:\n{sleeps}    return start\n",
        *(f"def {name}(top: int) -> int:\n{sleeps}    return top\n" for name in middle),
        f"def bottom({parameters}) -> int:\n{sleeps}    return {' + '.join(middle)}\n",
    ]
    return Graph("\n".join(functions), ("bottom",), width, width + 2, {"start": 1})


def layered(layers: int, width: int) -> Graph:
    """Functions that add, each fed by two of the layer before."""
    lines = [f"def n0_{place}(start: int) -> int:\n    return start\n" for place in range(width)]
    for layer in range(1, layers):
        for place in range(width):
            left, right = f"n{layer - 1}_{place}", f"n{layer - 1}_{(place + 1) % width}"
            # No large numbers: their digits would be what travels.
            adds = f"({left} + {right}) % 1000"
            lines.append(f"def n{layer}_{place}({left}: int, {right}: int) -> int:\n    return {adds}\n")
    last = tuple(f"n{layers - 1}_{place}" for place in range(width))
    return Graph("\n".join(lines), last, pow(2, layers - 1, 1000), layers * width, {"start": 1})


def wide(width: int) -> Graph:
    """Functions that have nothing to wait for, all wanted."""
    names = tuple(f"n{place}" for place in range(width))
    source = "\n".join(f"def {name}(start: int) -> int:\n    return start\n" for name in names)
    return Graph(source, names, 1, width, {"start": 1})


def waiting(seconds: float) -> Graph:
    """One node that sleeps."""
    return Graph(f"import time\n\ndef node() -> int:\n    time.sleep({seconds})\n    return 1\n", ("node",), 1, 1)


_FRAME = """
def _frame(size: int) -> pl.DataFrame:
    rows = size // 40
    noise = np.random.default_rng(1)
    key = pl.Series("key", np.arange(rows) % 1000)
    return pl.DataFrame([key, *(pl.Series(name, noise.random(rows)) for name in "abcd")])
"""
_IMPORTS = "import numpy as np\nimport polars as pl\n"


def shared_frame(size: int) -> Graph:
    """A frame of `size` bytes, taken by three nodes that compute something of it."""
    source = f"""{_IMPORTS}{_FRAME}
def frame() -> pl.DataFrame:
    return _frame({size})

def groups(frame: pl.DataFrame) -> int:
    return frame.group_by("key").agg(pl.col("a").mean(), pl.col("b").quantile(0.9)).height

def ranked(frame: pl.DataFrame) -> int:
    return frame.sort("a").head(1000).height

def close(frame: pl.DataFrame) -> int:
    return frame.filter(pl.col("c") * pl.col("d") < 2).height - frame.height

def answer(groups: int, ranked: int, close: int) -> int:
    return groups + ranked + close
"""
    return Graph(source, ("answer",), 2000, 5)


def frames(number: int, size: int) -> Graph:
    """`number` frames, each consumed once."""
    pairs = "".join(
        f"\ndef frame{n}() -> pl.DataFrame:\n    return _frame({size})\n"
        f"\ndef rows{n}(frame{n}: pl.DataFrame) -> int:\n    return frame{n}.filter(pl.col('a') < 2).height\n"
        for n in range(number)
    )
    return Graph(f"{_IMPORTS}{_FRAME}{pairs}", tuple(f"rows{n}" for n in range(number)), size // 40, 2 * number, {})
