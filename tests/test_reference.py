"""The pages that are made from the code are current, and `--check` shows what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import reference.__main__ as pages


def test_every_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert pages.main(["--check"]) == 0, f"run python -m reference\n{capsys.readouterr().out}"


def test_a_page_that_is_not_current_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    assert pages.main([]) == 0
    assert pages.main(["--check"]) == 0
    page = tmp_path / "stores.md"
    page.write_text(page.read_text("utf-8").replace("One DuckDB file.", "Two DuckDB files."), "utf-8")
    assert pages.main(["--check"]) == 1
    told = capsys.readouterr().out
    assert "-Two DuckDB files.\n+One DuckDB file.\n" in told
    assert told.endswith("not current: run python -m reference\n")
