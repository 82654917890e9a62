"""`flowpipe test`: which tests it runs, what it prints, how it ends; and what the plug-in costs everybody else."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from flowpipe.cli import run_command
from tests.conftest import ProjectFolder

ROOT = Path(__file__).parent.parent.parent
YAML = """
    tests:
      - name: twice
        node: doubled
        given: {numbers: "n\\n1"}
        expect: "n\\n2"
      - name: thrice
        node: doubled
        given: {numbers: "n\\n1"}
        expect: "n\\n3"
    """
PYTHON = """
    import pytest

    from flowpipe.testing import assert_frames_equal


    def test_twice(flowpipe_project):
        flowpipe_project.write("numbers", "n\\n1\\n2")
        flowpipe_project.run("double")
        assert_frames_equal(flowpipe_project.read("doubled"), "n\\n2\\n4")


    @pytest.mark.flowpipe(sets=["params.factor=3"])
    def test_thrice(flowpipe_project):
        assert flowpipe_project.compute("doubled", given={"numbers": "n\\n1"})["doubled"].rows() == [(3,)]


    @pytest.mark.flowpipe(profil="dev")
    def test_wrong_mark(flowpipe_project):
        pass
    """


@pytest.fixture
def tested(project: ProjectFolder) -> ProjectFolder:
    """A project with tests of which two fail."""
    return project.write(
        {"tests/sub/test_double.yml": YAML, "tests/test_code.py": PYTHON, "setup.cfg": "[tool:pytest]\n"}
    )


def test_all_tests_in_words_and_one_exit_code(tested: ProjectFolder) -> None:
    before = set(tested.path.rglob("*"))
    done = tested.flowpipe("test", "--", "-p", "no:cacheprovider", PYTHONDONTWRITEBYTECODE="1")
    assert (done.code, done.err) == (1, "")
    assert set(tested.path.rglob("*")) == before
    lines = done.out.splitlines()
    assert re.fullmatch(r"\.F\.\.E +\[100%\]", lines[0])
    told = "tests/sub/test_double.yml:9:13: node doubled: 1 row missing, 1 row too many; 1 row, expected 1"
    assert told in lines
    assert 'unknown argument of the mark flowpipe: "profil"' in lines
    assert lines[-1].startswith("1 failed, 3 passed, 1 error in ")


def run(project: ProjectFolder, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """How a command ends that runs in this process; the last line of pytest's without its time."""
    flags = ["--", "-p", "no:cacheprovider", "-p", "no:xdist", "--import-mode=importlib"]
    code = run_command(["test", "-C", str(project.path), *arguments, *flags], debug=False)
    out, err = capfd.readouterr()
    return code, re.sub(r" in [\d.]+s", "", out.splitlines()[-1]) if out else "", err


def test_patterns_and_flags(tested: ProjectFolder, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tested, capfd, "double::twice") == (0, "1 passed", "")
    assert run(tested, capfd, "sub/*", "tests/test_code.py::test_twice", "-k", "twice") == (
        0,
        "2 passed, 1 deselected",
        "",
    )
    assert run(tested, capfd, "yml", "-x") == (1, "1 failed, 1 passed", "")
    assert run(tested, capfd, "code", "-k", "thrice", "--profile", "dev") == (0, "1 passed, 2 deselected", "")


def test_what_cannot_be_tested(tested: ProjectFolder, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tested, capfd, "duoble") == (
        2,
        "",
        'error: unknown test file "duoble"\n  hint: known: sub/test_double.yml, test_code.py\n',
    )
    code, _, err = run(tested, capfd, "-k", "nothing")
    assert (code, err) == (2, "error: no test was run\n  hint: see which there are: flowpipe test -- --collect-only\n")
    tested.write({"tests/test_broken.yml": "tests: []\n"})
    assert run(tested, capfd)[:2] == (2, "1 error")
    code, _, err = run(tested.write({"conf/project.yml": "name: small\ntests: checks\n"}), capfd)
    assert (code, err) == (
        2,
        (
            "error: conf/project.yml:2:8: there are no tests: the project has no folder checks\n"
            "  hint: make it and write checks/test_NAME.yml or checks/test_NAME.py\n"
        ),
    )
    (tested.path / "checks").mkdir()
    code, _, err = run(tested, capfd)
    assert (code, err) == (
        2,
        (
            "error: there are no tests: the folder checks has no test_*.yml and no test_*.py\n"
            "  hint: write checks/test_NAME.yml or checks/test_NAME.py\n"
        ),
    )


def test_without_pytest(project: ProjectFolder) -> None:
    forbid = (
        "import sys; sys.modules['pytest'] = None; sys.argv = ['flowpipe', 'test']; import flowpipe.cli as c; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", forbid], cwd=project.path, capture_output=True, text=True, check=False, timeout=60
    )
    told = 'error: tests are run by pytest, which is not installed\n  hint: pip install "flowpipe-etl[testing]"\n'
    assert (done.returncode, done.stderr) == (2, told)


def test_ctrl_c_ends_it(project: ProjectFolder) -> None:
    slow = "import time\n\n\ndef test_slow():\n    open('began', 'w').close()\n    time.sleep(60)\n"
    project.write({"tests/test_slow.py": slow})
    command = [sys.executable, "-m", "flowpipe", "test", "--", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        command,
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What is started in the background is deaf to it, and so is all that it starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - there is one thread
    ) as running:
        until = time.monotonic() + 120
        while not (project.path / "began").exists() and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert err.startswith("error: interrupted")


def test_the_plug_in_costs_other_projects_nothing() -> None:
    code = "import pytest, sys; old = set(sys.modules); import flowpipe.testing.plugin; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) == {"flowpipe", "flowpipe.testing", "flowpipe.testing.plugin"}


def test_the_repository_runs_its_own_pipelines_tests_alone() -> None:
    done = ProjectFolder(ROOT).flowpipe("test", "--", "--collect-only", "-n", "0")
    assert done.code == 0, done.err
    names = {line.partition("::")[0] for line in done.out.splitlines() if "::" in line}
    assert names == {"tests/pipelines/test_delays.yml", "tests/pipelines/test_flights.py"}
