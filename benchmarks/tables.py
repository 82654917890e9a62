"""Where the tables of TPC-H come from: made once for each scale, and kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.measure import DATA, PYTHON


def tpch_tables(scale: float, *names: str) -> list[Path]:
    """One Parquet file for each table; at scale 1 `lineitem` has 6 million rows."""
    folder = DATA / f"tpch-{scale:g}"
    tables = [folder / f"{name}.parquet" for name in names]
    missing = [table.stem for table in tables if not table.exists()]
    if missing:
        generator = Path(PYTHON).with_name("tpchgen-cli")
        args = ["parquet", "-s", f"{scale:g}", "--tables", ",".join(missing), "--output-dir", str(folder)]
        subprocess.run([generator, *args], check=True)
    return tables
