"""A project's modules see each other, and nobody else sees them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from code_on_disk import project

from flowpipe.importer import Importer
from flowpipe.modules import ProjectCode

IMPORTING = """
    import schemas
    import schemas as renamed
    import sub.mod
    import sub.mod as deep
    from schemas import NAME
    from sub import mod
    from sub.mod import VALUE
    from . import schemas as beside
    from .sub.mod import VALUE as again

    def late():
        import schemas
        from sub.mod import VALUE
        import sub.other
        return schemas.NAME, VALUE, sub.other.UP
    """


class TestImports:
    def test_every_form_finds_the_projects_own_modules(self, tmp_path: Path) -> None:
        code = project(
            tmp_path,
            daily=IMPORTING,
            schemas="NAME = 'mine'",
            sub__mod="VALUE = 7",
            sub__other="from ..schemas import NAME as UP\nfrom .mod import VALUE",
        )
        daily = code.load("daily")
        assert daily.schemas is daily.renamed is daily.beside is code.load("schemas")
        assert daily.sub.mod is daily.deep is daily.mod is code.load("sub.mod")
        assert (daily.NAME, daily.VALUE, daily.again) == ("mine", 7, 7)
        assert daily.late() == ("mine", 7, "mine")

    def test_a_package_with_init_runs_it_once(self, tmp_path: Path) -> None:
        code = project(
            tmp_path, sub____init__="RUNS = []\nRUNS.append(1)", sub__mod="from . import RUNS", a="import sub.mod"
        )
        assert code.load("a").sub.RUNS == code.load("sub.mod").RUNS == [1]
        assert code.modules == ("a", "sub", "sub.mod")

    def test_nobody_else_sees_the_modules(self, tmp_path: Path) -> None:
        path = list(sys.path)
        code = project(tmp_path, flowpipe_test_only="X = 1", daily="import flowpipe_test_only\nimport statistics")
        code.load("daily")
        assert sys.path == path
        assert not {"daily", "flowpipe_test_only"} & set(sys.modules)
        with pytest.raises(ModuleNotFoundError, match="No module named 'flowpipe_test_only'"):
            __import__("flowpipe_test_only")

    def test_projects_with_modules_of_the_same_name_never_mix(self, tmp_path: Path) -> None:
        daily = "import schemas\ndef late():\n    import schemas as s\n    return s.NAME"
        one = project(tmp_path / "one", daily=daily, schemas="NAME = 'one'")
        two = project(tmp_path / "two", daily=daily, schemas="NAME = 'two'")
        first, second = one.load("daily"), two.load("daily")
        assert (first.schemas.NAME, first.late()) == ("one", "one")
        assert (second.schemas.NAME, second.late()) == ("two", "two")

    def test_projects_of_the_same_content_do_not_share_state(self, tmp_path: Path) -> None:
        one = project(tmp_path / "one", daily="SEEN = []")
        two = project(tmp_path / "two", daily="SEEN = []")
        assert one.load("daily").SEEN is not two.load("daily").SEEN

    def test_unchanged_files_give_the_same_module_and_changed_ones_new_code(self, tmp_path: Path) -> None:
        text = "import schemas\ndef late():\n    import schemas\n    return schemas.NAME"
        code = project(tmp_path, daily=text, schemas="NAME = 'old'")
        old = code.load("daily")
        assert code.load("daily") is old
        assert ProjectCode(tmp_path / "pipelines").load("daily") is old
        changed = project(tmp_path, schemas="NAME = 'new'")
        assert changed.load("daily").late() == "new"
        assert (old.late(), code.source("schemas")) == ("old", "NAME = 'old'")

    def test_a_file_that_came_later_is_not_part_of_loaded_code(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="def late():\n    from . import more\n    return more", sub__a="")
        daily = code.load("daily")
        project(tmp_path, more="", sub__b="")
        with pytest.raises(ImportError, match="cannot import name 'more'"):
            daily.late()

    def test_two_threads_load_one_module_once(self, tmp_path: Path) -> None:
        code = project(tmp_path, daily="import time\ntime.sleep(0.05)\nSEEN = object()")
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(code.load("daily").SEEN)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert len(set(map(id, found))) == 1

    def test_values_pickle_by_the_private_name(self, tmp_path: Path) -> None:
        code = project(tmp_path, schemas="class Row:\n    pass\ndef make():\n    return Row()")
        schemas = code.load("schemas")
        assert pickle.loads(pickle.dumps(schemas.make)) is schemas.make
        assert type(pickle.loads(pickle.dumps(schemas.make()))) is schemas.Row

    def test_another_process_with_the_importer_has_the_same_modules(self, tmp_path: Path) -> None:
        text = "def make():\n    import schemas\n    return schemas.NAME"
        code = project(tmp_path, daily=text, schemas="NAME = 'there'")
        sent = tmp_path / "sent.pickle"
        sent.write_bytes(pickle.dumps(Importer.of(tmp_path / "pipelines")) + pickle.dumps(code.load("daily").make))
        program = (
            "import pickle, sys\nfile = open(sys.argv[1], 'rb')\n"
            "sys.meta_path.insert(0, pickle.load(file))\nprint(pickle.load(file)())"
        )
        ran = subprocess.run([sys.executable, "-c", program, sent], capture_output=True, text=True, check=True)
        assert ran.stdout == "there\n"
