"""Hooks: Hamilton's lifecycle adapters of the user see every node once, in the driver, on every executor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EXECUTORS, Finished, ProjectFolder

JOURNAL = '''
    import json
    import time

    from hamilton.lifecycle import GraphExecutionHook, NodeExecutionHook


    class Journal(NodeExecutionHook, GraphExecutionHook):
        """Writes a line for whatever happens."""

        def __init__(self, file: str, label: str = "-"):
            self.file, self.label, self.began = file, label, {}
            self.write(event="made")

        def write(self, **entry):
            with open(self.file, "a") as lines:
                print(json.dumps({"label": self.label, **entry}, default=str), file=lines)

        def run_before_graph_execution(self, *, final_vars, execution_path, run_id, **rest):
            self.write(event="pre_graph", wanted=final_vars, path=sorted(execution_path), run=run_id)

        def run_before_node_execution(self, *, node_name, node_kwargs, task_id, run_id, **rest):
            self.began[node_name, task_id] = time.perf_counter()
            self.write(event="pre", node=node_name, takes=sorted(node_kwargs), task=task_id, run=run_id)

        def run_after_node_execution(self, *, node_name, success, error, result, task_id, **rest):
            seconds = time.perf_counter() - self.began[node_name, task_id]
            told = {"success": success, "error": error and repr(error), "gives": result is not None}
            self.write(event="post", node=node_name, seconds=seconds, task=task_id, **told)

        def run_after_graph_execution(self, *, success, error, results, **rest):
            told = {"error": error and repr(error), "gives": sorted(results or [])}
            self.write(event="post_graph", success=success, **told)
    '''
PIPELINE = """
modules: [double]
params: {factor: 2}
writes: [doubled]
"""
WATCHED = PIPELINE + "hooks: [{hook: journal.Journal, file: journal.txt}]\n"
DOUBLED = """
    def doubled(numbers: pl.LazyFrame, slow: int, factor: int) -> pl.LazyFrame:
        return numbers.select(pl.col("n") * slow * factor)
    """


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest, project: ProjectFolder, executor_yaml: Callable[[str], str]) -> str:
    """What `--set` is given; the profile says the rest."""
    name = str(request.param)
    profile = (project.path / "conf/profiles/dev.yml").read_text()
    project.write({"conf/profiles/dev.yml": f"{profile}executor: {executor_yaml(name)}\n"})
    return f"executor.type={name}"


def travelling(executor: str) -> float:
    """Seconds that a node may take besides its own: the first one's worker process may have to start."""
    return 0.0 if executor.endswith(("sync", "threads")) else 5.0


def nodes(text: str) -> dict[str, str]:
    """A module whose functions are these and `doubled`, which takes `slow`."""
    lines = "\n".join(line[4:] for line in (text + DOUBLED).splitlines())
    return {"pipelines/double.py": f"import time\n\nimport polars as pl\n\n{lines}\n"}


def journal(project: ProjectFolder, name: str = "journal.txt") -> list[dict[str, Any]]:
    file = project.path / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def of(entries: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry["event"] == event]


@pytest.fixture
def watched(project: ProjectFolder) -> ProjectFolder:
    """The small project with a journal of its nodes."""
    return project.write({"conf/pipelines/double.yml": WATCHED, "pipelines/journal.py": JOURNAL})


def ran(project: ProjectFolder, *flags: str, **env: str) -> Finished:
    done = project.flowpipe("run", *(part for flag in flags for part in ("--set", flag)), **env)
    assert done.code == 0, done.out + done.err
    return done


class TestCalls:
    def test_once_per_node_and_computation_with_true_durations(self, watched: ProjectFolder, executor: str) -> None:
        watched.write(
            nodes("""
    def rows(numbers: pl.LazyFrame) -> int:
        time.sleep(0.3)
        return numbers.collect().height

    def slow(rows: int, factor: int) -> int:
        time.sleep(0.6)
        return factor
    """)
        )
        ran(watched, executor)
        entries = journal(watched)
        assert [entry["event"] for entry in entries] == [
            "made", "pre_graph", "pre", "post", "pre", "post", "pre", "post", "post_graph",
        ]  # fmt: skip
        assert [(each["node"], each["takes"]) for each in of(entries, "pre")] == [
            ("rows", ["numbers"]), ("slow", ["factor", "rows"]), ("doubled", ["factor", "numbers", "slow"]),
        ]  # fmt: skip
        ended = {entry["node"]: entry for entry in of(entries, "post")}
        assert all(entry["success"] and entry["gives"] and not entry["error"] for entry in ended.values())
        assert 0.3 <= ended["rows"]["seconds"] < 0.55 + travelling(executor)
        assert 0.6 <= ended["slow"]["seconds"] < 0.85 + travelling(executor)
        (start,), (end,) = of(entries, "pre_graph"), of(entries, "post_graph")
        assert (start["wanted"], start["path"]) == (["doubled"], ["doubled", "rows", "slow"])
        assert start["run"].endswith("/double/all")
        assert {entry["run"] for entry in of(entries, "pre")} == {start["run"]}
        assert (end["success"], end["error"], end["gives"]) == (True, None, ["doubled"])

    def test_a_failure_is_the_node_s_own(self, watched: ProjectFolder, executor: str) -> None:
        watched.write(
            nodes("""
    def slow(numbers: pl.LazyFrame) -> int:
        raise KeyError("nothing here")
    """)
        )
        assert watched.flowpipe("run", "--set", executor).code == 1
        entries = journal(watched)
        assert [entry["event"] for entry in entries] == ["made", "pre_graph", "pre", "post", "post_graph"]
        (ended,), (last,) = of(entries, "post"), of(entries, "post_graph")
        assert (ended["node"], ended["success"], ended["gives"]) == ("slow", False, False)
        assert ended["error"] == last["error"] == "KeyError('nothing here')"
        assert not last["success"]

    def test_a_node_that_is_tried_again_is_one_node(self, watched: ProjectFolder, executor: str) -> None:
        text = WATCHED + "retry: {attempts: 3, wait: 200ms, errors: [ConnectionError]}\n"
        watched.write({"conf/pipelines/double.yml": text})
        marks = watched.path / "marks"
        marks.mkdir()
        watched.write(
            nodes(f"""
    def slow(numbers: pl.LazyFrame) -> int:
        import pathlib
        marks = pathlib.Path({str(marks)!r})
        (marks / str(time.time_ns())).touch()
        if len(list(marks.iterdir())) < 3:
            raise ConnectionError("not yet")
        return 2
    """)
        )
        ran(watched, executor)
        ended = [entry for entry in of(journal(watched), "post") if entry["node"] == "slow"]
        assert [(entry["success"], entry["error"]) for entry in ended] == [(True, None)]
        assert ended[0]["seconds"] >= 0.4
        assert [entry["node"] for entry in of(journal(watched), "pre")].count("slow") == 1

    def test_an_item_of_a_fan_out_is_a_task(self, watched: ProjectFolder, executor: str) -> None:
        watched.write(
            nodes("""
    from hamilton.htypes import Collect, Parallelizable

    def item(numbers: pl.LazyFrame) -> Parallelizable[int]:
        yield from numbers.collect()["n"]

    def score(item: int) -> int:
        return item

    def slow(score: Collect[int]) -> int:
        return sum(score)
    """)
        )
        ran(watched, executor)
        seen = {(entry["node"], entry["task"]) for entry in of(journal(watched), "pre")}
        scores = {("score", f"score[{number}]") for number in range(3)}
        assert seen == scores | {("item", None), ("slow", None), ("doubled", None)}
        assert len(of(journal(watched), "post")) == len(seen)

    def test_one_instance_for_all_steps_of_one_list_that_run_one_after_another(self, watched: ProjectFolder) -> None:
        hooks = "[{hook: journal.Journal, file: journal.txt}]"
        watched.write(
            {
                "conf/project.yml": f"name: small\ndefaults: {{hooks: {hooks}}}\n",
                "conf/pipelines/double.yml": PIPELINE,
                "conf/catalog.yml": """
                    numbers: {store: here, path: numbers.csv}
                    doubled: {store: here, path: doubled.parquet}
                    tripled: {store: here, path: tripled.parquet}
                    """,
                "conf/pipelines/triple.yml": "modules: [triple]\nwrites: [tripled]\n",
                "pipelines/triple.py": """
                    import polars as pl

                    def tripled(numbers: pl.LazyFrame) -> pl.LazyFrame:
                        return numbers.select(pl.col("n") * 3)
                    """,
            }
        )
        ran(watched, "max_parallel_steps=1")
        entries = journal(watched)
        assert len(of(entries, "made")) == 1
        assert {entry["node"] for entry in of(entries, "post")} == {"doubled", "tripled"}

    def test_the_check_makes_none(self, watched: ProjectFolder) -> None:
        assert watched.flowpipe("check").code == 0
        assert watched.flowpipe("plan").code == 0
        assert journal(watched) == []

    def test_they_are_no_part_of_a_fingerprint(self, watched: ProjectFolder) -> None:
        ran(watched)
        watched.write({"conf/pipelines/double.yml": WATCHED.replace("journal.txt}", "other.txt, label: b}")})
        watched.write({"pipelines/journal.py": JOURNAL + "\n    VERSION = 2\n"})
        assert "up to date" in ran(watched).out
        assert [entry["event"] for entry in journal(watched, "other.txt")] == ["made"]


class TestOneThatFails:
    HOOKS = """
hooks:
  - {hook: broken.Broken, secret: "${env:TOKEN}"}
  - {hook: journal.Journal, file: journal.txt}
"""
    BROKEN = """
        from hamilton.lifecycle import NodeExecutionHook


        class Broken(NodeExecutionHook):
            def __init__(self, secret: str):
                self.secret, self.calls = secret, 0
                if secret == "refused-token":
                    raise ValueError(f"no access with {secret}")

            def run_before_node_execution(self, **rest):
                self.calls += 1
                print("called", self.calls)
                raise RuntimeError(f"cannot reach {self.secret}\\nsecond line")

            def run_after_node_execution(self, **rest):
                print("after")
        """

    @pytest.fixture
    def broken(self, watched: ProjectFolder) -> ProjectFolder:
        return watched.write({"conf/pipelines/double.yml": PIPELINE + self.HOOKS, "pipelines/broken.py": self.BROKEN})

    def test_it_is_told_of_once_and_silent_then(self, broken: ProjectFolder) -> None:
        broken.write(nodes("    def slow(numbers: pl.LazyFrame, factor: int) -> int:\n        return factor\n"))
        done = ran(broken, TOKEN="topsecret")
        assert done.err == (
            "hook broken.Broken failed in pre_node_execute and is silent from now on: RuntimeError: cannot reach ***\n"
        )
        assert done.out.count("called") == 1
        assert "after" not in done.out
        assert len(of(journal(broken), "post")) == 2

    def test_one_that_cannot_be_made_stops_the_run_before_it_starts(self, broken: ProjectFolder) -> None:
        done = broken.flowpipe("run", TOKEN="refused-token")
        assert done.code == 2
        assert done.err == (
            "error: conf/pipelines/double.yml:6:12: hook broken.Broken cannot be made: ValueError: no access with ***\n"
            "  hint: mend its options, or leave it out\n"
        )
        assert not (broken.path / "data/doubled.parquet").exists()


SPANS = """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


    class ToFile(SpanExporter):
        def export(self, spans):
            with open(FILE, "a") as lines:
                for span in spans:
                    seconds = (span.end_time - span.start_time) / 1e9
                    parent = span.parent.span_id if span.parent else 0
                    told = [span.name, span.context.span_id, parent, seconds, span.status.status_code.name]
                    print(*told, sep="|", file=lines)
            return SpanExportResult.SUCCESS


    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ToFile()))
    trace.set_tracer_provider(provider)
    """


class TestOpenTelemetry:
    @pytest.fixture
    def traced(self, project: ProjectFolder) -> ProjectFolder:
        hooks = "hooks: [{hook: hamilton.plugins.h_opentelemetry.OpenTelemetryTracer, tracer_name: flowpipe}]"
        project.write({"conf/pipelines/double.yml": PIPELINE + hooks, "pipelines/spans.py": SPANS})
        file = project.path / "pipelines/spans.py"
        file.write_text(f"FILE = {str(project.path / 'spans.txt')!r}\n{file.read_text()}")
        return project.write(
            nodes("""
    from opentelemetry import trace

    import spans

    def left(numbers: pl.LazyFrame) -> int:
        with trace.get_tracer("own").start_as_current_span("in left"):
            time.sleep(0.4)
        return 1

    def right(numbers: pl.LazyFrame) -> int:
        with trace.get_tracer("own").start_as_current_span("in right"):
            time.sleep(0.6)
        return 1

    def slow(left: int, right: int, factor: int) -> int:
        if factor == 13:
            raise ValueError("unlucky")
        return factor
    """)
        )

    @staticmethod
    def spans(project: ProjectFolder) -> dict[str, tuple[str, float, str]]:
        """By name: the name of the parent, the seconds, the status."""
        lines = [line.split("|") for line in Path(project.path / "spans.txt").read_text().splitlines()]
        names = {own: name for name, own, *_ in lines} | {"0": ""}
        return {name: (names[parent], float(seconds), status) for name, _, parent, seconds, status in lines}

    def test_spans_nest_and_last_as_long_as_their_nodes(self, traced: ProjectFolder, executor: str) -> None:
        done = ran(traced, executor)
        assert done.err == ""
        spans = self.spans(traced)
        (graph,) = (name for name, (parent, _, _) in spans.items() if not parent)
        assert graph.endswith("/double/all")
        assert {name: parent for name, (parent, _, _) in spans.items()} == {
            graph: "",
            "left": graph,
            "right": graph,
            "slow": graph,
            "doubled": graph,
            "in left": "left",
            "in right": "right",
        }
        assert 0.4 <= spans["left"][1] < 0.59 + travelling(executor)
        assert 0.6 <= spans["right"][1] < 0.85 + travelling(executor)
        assert spans[graph][1] >= max(spans["left"][1], spans["right"][1])
        assert {spans[name][2] for name in (graph, "left", "right", "slow", "doubled")} == {"OK"}

    def test_a_failed_node_is_a_failed_span(self, traced: ProjectFolder, executor: str) -> None:
        assert traced.flowpipe("run", "--set", executor, "--set", "params.factor=13").code == 1
        spans = self.spans(traced)
        (graph,) = (name for name, (parent, _, _) in spans.items() if not parent)
        assert {name: spans[name][2] for name in ("left", "right", "slow", graph)} == {
            "left": "OK", "right": "OK", "slow": "ERROR", graph: "ERROR",
        }  # fmt: skip


def test_hamilton_s_own_hooks_work_also_on_a_fan_out(project: ProjectFolder, executor: str) -> None:
    hooks = """
hooks:
  - hamilton.lifecycle.default.PrintLn
  - {hook: hamilton.plugins.h_rich.RichProgressBar, run_desc: nodes, disable: true}
  - {hook: hamilton.plugins.h_logging.LoggingAdapter, logger: nodes}
"""
    project.write({"conf/pipelines/double.yml": PIPELINE + hooks})
    project.write(
        nodes("""
    from hamilton.htypes import Collect, Parallelizable

    def item(numbers: pl.LazyFrame) -> Parallelizable[int]:
        yield from numbers.collect()["n"]

    def score(item: int) -> int:
        return item

    def slow(score: Collect[int]) -> int:
        return sum(score)
    """)
    )
    done = ran(project, executor)
    assert done.err == ""
    for node in ("item", "score[0]:score", "score[1]:score", "score[2]:score", "slow", "doubled"):
        assert f"Executing node: {node}.\n" in done.out
        assert f"Finished debugging node: {node} in " in done.out


class TestPrecedence:
    """Profile over pipeline over project; a list replaces the one below it."""

    @pytest.mark.parametrize(
        ("layers", "label"),
        [
            (("project",), "project"),
            (("project", "pipeline"), "pipeline"),
            (("project", "pipeline", "profile"), "profile"),
            (("project", "profile"), "profile"),
        ],
    )
    def test_the_strongest_list_is_all(self, watched: ProjectFolder, layers: tuple[str, ...], label: str) -> None:
        hooks = {name: f"hooks: [{{hook: journal.Journal, file: journal.txt, label: {name}}}]" for name in layers}
        profile = (watched.path / "conf/profiles/dev.yml").read_text()
        watched.write(
            {
                "conf/project.yml": f"name: small\ndefaults: {{{hooks['project']}}}\n",
                "conf/pipelines/double.yml": PIPELINE + hooks.get("pipeline", ""),
                "conf/profiles/dev.yml": profile + hooks.get("profile", "") + "\n",
            }
        )
        ran(watched)
        assert {entry["label"] for entry in journal(watched)} == {label}

    def test_an_empty_list_is_none(self, watched: ProjectFolder) -> None:
        profile = (watched.path / "conf/profiles/dev.yml").read_text()
        watched.write({"conf/profiles/dev.yml": f"{profile}hooks: []\n"})
        ran(watched)
        assert journal(watched) == []


class TestProblems:
    WATCH = """
        from hamilton.lifecycle import NodeExecutionHook, StaticValidator


        class Half(NodeExecutionHook):
            def run_before_node_execution(self, **rest):
                pass


        class Timer(Half):
            def __init__(self, file: str, every: int = 1):
                pass

            def run_after_node_execution(self, **rest):
                pass


        class Plain:
            pass


        class Names(StaticValidator):
            def run_to_validate_node(self, *, node, **rest):
                return not node.name.startswith("d"), "begins with d"

            def run_to_validate_graph(self, *, graph, **rest):
                return len(graph.nodes) > 9, f"only {len(graph.nodes)} nodes"


        class Failing(Names):
            def run_to_validate_node(self, *, node, **rest):
                return 1 / 0
        """

    @staticmethod
    def check(project: ProjectFolder, *hooks: str, **env: str) -> str:
        """What the check says; the hooks stand in the lines from 5 on."""
        given = "".join(f"  - {hook}\n" for hook in hooks)
        project.write({"pipelines/watch.py": TestProblems.WATCH})
        (project.path / "conf/pipelines/double.yml").write_text(f"{PIPELINE.lstrip()}hooks:\n{given}")
        done = project.flowpipe("check", **env)
        assert done.code == 2, done.out + done.err
        return done.err

    def test_names(self, project: ProjectFolder) -> None:
        told = self.check(
            project,
            "PrintLn",
            "hamilton.lifecycle.default.PrintLnn",
            "hamilton.lifecycle.defalt.PrintLn",
            "hamiltn.lifecycle.default.PrintLn",
            "wach.Timer",
            "watch.Timr",
            "watch.Plain",
            "os.path.join",
            "watch.Half",
        )
        assert told == (
            'error: conf/pipelines/double.yml:5:5: "PrintLn" is no dotted name\n'
            "  hint: write module.Class, like hamilton.lifecycle.default.PrintLn\n"
            'error: conf/pipelines/double.yml:6:5: unknown hook "hamilton.lifecycle.default.PrintLnn"\n'
            '  hint: did you mean "hamilton.lifecycle.default.PrintLn"? known: '
            "hamilton.lifecycle.default.FunctionInputOutputTypeChecker, hamilton.lifecycle.default.PrintLn, "
            "hamilton.lifecycle.default.SlowDownYouMoveTooFast\n"
            'error: conf/pipelines/double.yml:7:5: unknown module "hamilton.lifecycle.defalt"\n'
            '  hint: did you mean "hamilton.lifecycle.default"? known: hamilton.lifecycle.api, '
            "hamilton.lifecycle.base, hamilton.lifecycle.default\n"
            'error: conf/pipelines/double.yml:8:5: unknown module "hamiltn"\n'
            '  hint: "pip install hamiltn" may be what is missing\n'
            'error: conf/pipelines/double.yml:9:5: unknown module "wach"\n'
            '  hint: did you mean "watch"? known: double, watch\n'
            'error: conf/pipelines/double.yml:10:5: unknown object of module watch: "Timr"\n'
            '  hint: did you mean "Timer"? known: Failing, Half, Names, NodeExecutionHook, Plain, StaticValidator, '
            "Timer\n"
            "error: conf/pipelines/double.yml:11:5: watch.Plain is no hook of Hamilton's\n"
            "  hint: name a class that inherits from NodeExecutionHook, or from another hook of hamilton.lifecycle\n"
            "error: conf/pipelines/double.yml:12:5: os.path.join is no hook of Hamilton's\n"
            "  hint: name a class that inherits from NodeExecutionHook, or from another hook of hamilton.lifecycle\n"
            "error: conf/pipelines/double.yml:13:5: hook watch.Half lacks run_after_node_execution\n"
            "  hint: write what its base class asks for\n"
        )

    def test_options(self, project: ProjectFolder) -> None:
        told = self.check(
            project,
            "watch.Timer",
            "{hook: watch.Timer, fle: a.txt, every: two}",
            '{hook: watch.Timer, file: a.txt, every: "${env:EVERY}"}',
            EVERY="hunter2",
        )
        assert told == (
            "error: conf/pipelines/double.yml:5:5: hook watch.Timer needs the option file\n"
            "  hint: write {hook: watch.Timer, file: ...}\n"
            "error: conf/pipelines/double.yml:6:12: hook watch.Timer needs the option file\n"
            "  hint: write {hook: watch.Timer, file: ...}\n"
            'error: conf/pipelines/double.yml:6:25: unknown option of hook watch.Timer: "fle"\n'
            '  hint: did you mean "file"? known: every, file\n'
            'error: conf/pipelines/double.yml:6:44: hook watch.Timer: option every: "two" is not a whole number (int)\n'
            "  hint: write a value of the type that its constructor annotates\n"
            "error: conf/pipelines/double.yml:7:45: hook watch.Timer: option every: is not of the annotated type\n"
            "  hint: write a value of the type that its constructor annotates\n"
        )

    def test_what_would_change_how_nodes_run_or_never_be_called(self, project: ProjectFolder) -> None:
        told = self.check(
            project,
            "hamilton.lifecycle.default.PDBDebugger",
            "hamilton.lifecycle.default.NoEdgeAndInputTypeChecking",
            "hamilton.plugins.h_logging.AsyncLoggingAdapter",
        )
        assert told == (
            "error: conf/pipelines/double.yml:5:5: hook hamilton.lifecycle.default.PDBDebugger implements "
            "do_node_execute, but the executor runs the nodes\n"
            "  hint: a hook only watches; leave this one out\n"
            "error: conf/pipelines/double.yml:6:5: hook hamilton.lifecycle.default.NoEdgeAndInputTypeChecking "
            "implements do_check_edge_types_match, do_validate_input, which flowpipe does not call\n"
            "  hint: it calls what comes before and after a node, a task and a graph\n"
            "error: conf/pipelines/double.yml:7:5: hook hamilton.plugins.h_logging.AsyncLoggingAdapter implements "
            "async post_node_execute, which flowpipe does not call\n"
            "  hint: it calls what comes before and after a node, a task and a graph\n"
        )

    def test_what_is_not_installed(self, project: ProjectFolder) -> None:
        project.write({"pipelines/far.py": "import not_installed_anywhere\n"})
        told = self.check(project, "hamilton.plugins.h_ddog.DDOGTracer", "far.Timer")
        # Hamilton's plug-in prints two lines of its own before.
        assert told.endswith(
            "error: conf/pipelines/double.yml:5:5: hook hamilton.plugins.h_ddog.DDOGTracer cannot be imported: "
            "it needs ddtrace\n"
            '  hint: "pip install ddtrace" may be what is missing\n'
            "error: pipelines/far.py:1: far cannot be imported: ModuleNotFoundError: "
            "No module named 'not_installed_anywhere'\n"
            '  hint: "pip install not_installed_anywhere" may be what is missing\n'
        )

    def test_a_validator_judges_the_graph(self, project: ProjectFolder) -> None:
        assert self.check(project, "watch.Names", "watch.Failing") == (
            "error: conf/pipelines/double.yml:5:5: the graph: only 4 nodes\n"
            "  hint: hook watch.Names is set at conf/pipelines/double.yml:5:5\n"
            "error: conf/pipelines/double.yml:6:5: hook watch.Failing failed to validate: "
            "ZeroDivisionError: division by zero\n"
            "  hint: mend it, or leave it out\n"
            "error: pipelines/double.py:4: node doubled: begins with d\n"
            "  hint: hook watch.Names is set at conf/pipelines/double.yml:5:5\n"
        )

    def test_an_option_that_is_not_known_yet_is_no_problem(self, project: ProjectFolder) -> None:
        self.check(project, "watch.Timer")
        text = (project.path / "conf/pipelines/double.yml").read_text()
        hook = '{hook: watch.Timer, file: "${env:NOT_SET_HERE}", every: "${env:NOT_SET_EITHER}"}'
        (project.path / "conf/pipelines/double.yml").write_text(text.replace("watch.Timer", hook))
        done = project.flowpipe("check", "--offline")
        assert (done.code, done.err) == (0, "")
