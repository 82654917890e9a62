"""Hamilton lives here: a project's functions become one of its graphs, and what is wrong with them is named.

Hamilton stops at the first mistake and names no file, so when it refuses the functions are looked at one by one.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from types import ModuleType
from typing import Any

from flowpipe import blocks
from flowpipe.errors import ConfigError, Problem, Where, unknown
from flowpipe.modules import ProjectCode

# Without it Hamilton refuses @resolve, which reads the pipeline's `config:` when the graph is made.
_ALL_DECORATORS = {"hamilton.enable_power_user_mode": True}
_OWN_SETTINGS = "hamilton."
_BANNERS = ("hamilton.driver", "hamilton.function_modifiers.base")

Locate = Callable[..., Where | None]


def build(modules: Sequence[str], code: ProjectCode, config: Mapping[str, Any], locate: Locate) -> Any:
    """Hamilton's `FunctionGraph` of the project's modules.

    Args:
        modules: their names.
        code: the project.
        config: the pipeline's `config:`; it decides the graph.
        locate: the place of a value in the pipeline's YAML, such as `("modules", 0)`.

    Raises:
        ConfigError: all that is wrong with the modules and functions.
    """
    _start(code)
    loaded, problems = _load(modules, code, locate)
    if problems:
        raise ConfigError(problems)
    from hamilton import base, driver, graph_utils

    settings = {**_ALL_DECORATORS, **config}
    functions = [function for module in loaded for _, function in graph_utils.find_functions(module)]
    try:
        graph = driver.Driver(settings, *loaded, adapter=base.DictResult()).graph
    except Exception as error:
        found = list(_build_problems(functions, settings, code))
        raise ConfigError(found or [Problem(f"the graph cannot be built: {_text(error, code)}")]) from error
    problems = [*_cycle(graph, code), *_not_runnable(graph, code), *_unknown_config(graph, functions, config, locate)]
    if not problems:
        problems = list(blocks.problems(graph.nodes, lambda node: code.where(function_of(node))))
    if problems:
        raise ConfigError(problems)
    return graph


def execute(
    graph: Any,
    wanted: Sequence[str],
    inputs: Mapping[str, Any],
    overrides: Mapping[str, Any],
    run: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Let Hamilton's driver execute wanted nodes with `run`, which is called with every value that is given."""
    from hamilton import base, driver
    from hamilton.lifecycle import EdgeConnectionHook

    class ReadyQueue(driver.GraphExecutor):  # type: ignore[misc]  # Hamilton's classes are untyped
        def validate(self, nodes_to_execute: Sequence[Any]) -> None:
            """What cannot run was refused when the graph was built."""

        def execute(
            self, fg: Any, final_vars: Sequence[str], overrides: dict[str, Any], inputs: dict[str, Any], run_id: str
        ) -> dict[str, Any]:
            del final_vars, run_id
            return run({**fg.config, **inputs, **overrides})

    class CheckedInputs(EdgeConnectionHook):  # type: ignore[misc]  # Hamilton's classes are untyped
        """Inputs are checked against annotations before; Hamilton's message would show their values."""

        def check_edge_types_match(self, type_from: type, type_to: type, **kwargs: Any) -> bool:
            del type_from, type_to, kwargs
            return False

        def validate_input(self, node_type: type, input_value: Any, **kwargs: Any) -> bool:
            del node_type, input_value, kwargs
            return True

    made = driver.Driver(
        {}, adapter=[base.DictResult(), CheckedInputs()], _graph_executor=ReadyQueue(), _use_legacy_adapter=False
    )
    made.graph = graph
    own = {name: value for name, value in inputs.items() if name not in graph.config}
    values: dict[str, Any] = made.execute(list(wanted), inputs=own, overrides=dict(overrides))
    return values


def function_of(node: Any) -> Callable[..., Any]:
    """The user's function that a node of Hamilton's comes from, also if decorators made several nodes of it."""
    function: Callable[..., Any] = node.originating_functions[0]
    return function


def type_name(annotation: Any, code: ProjectCode) -> str:
    """An annotation as users write it, such as `polars.LazyFrame`."""
    if not isinstance(annotation, type):
        return code.public_text(str(annotation).replace("typing.", ""))
    module = code.public_text(f"{annotation.__module__}.").partition(".")[0]
    return annotation.__qualname__ if module == "builtins" else f"{module}.{annotation.__qualname__}"


def variants(modules: Sequence[str], code: ProjectCode) -> dict[str, tuple[Where, ...]]:
    """The functions that compute a node only for some values of `config:`, by the node's name."""
    from hamilton import graph_utils
    from hamilton.function_modifiers import base

    found: dict[str, tuple[Where, ...]] = {}
    for module in modules:
        for name, function in graph_utils.find_functions(code.load(module)):
            if getattr(function, base.NodeResolver.get_lifecycle_name(), ()):
                node = base.sanitize_function_name(name)
                found[node] = (*found.get(node, ()), code.where(function))
    return found


def _start(code: ProjectCode) -> None:
    """Import Hamilton without its extensions but those for the frame libraries that the project's code names."""
    os.environ["HAMILTON_AUTOLOAD_EXTENSIONS"] = "0"
    from hamilton import registry

    registry.disable_autoload()  # again: importing it reads ~/.hamilton.conf
    for name in _BANNERS:
        logging.getLogger(name).addFilter(_is_no_banner)
    texts = [code.source(module) for module in code.modules]
    for library, extensions in (("pandas", ("pandas",)), ("polars", ("polars", "polars_lazyframe"))):
        if any(library in text for text in texts):
            for extension in extensions:
                registry.load_extension(extension)


def _is_no_banner(record: logging.LogRecord) -> bool:
    """Hamilton logs what it then raises, with the values of inputs, and an invitation to its chat."""
    return record.levelno < logging.ERROR


def _load(modules: Sequence[str], code: ProjectCode, locate: Locate) -> tuple[list[ModuleType], list[Problem]]:
    loaded: list[ModuleType] = []
    problems: list[Problem] = []
    for index, name in enumerate(dict.fromkeys(modules)):
        try:
            loaded.append(code.load(name, locate("modules", index)))
        except ConfigError as error:
            problems += error.problems
    return loaded, problems


def _build_problems(
    functions: Sequence[Callable[..., Any]], config: Mapping[str, Any], code: ProjectCode
) -> Iterator[Problem]:
    """Why Hamilton refuses these functions, all of them."""
    from hamilton.function_modifiers import base

    nodes: dict[str, Any] = {}
    for function in functions:
        try:
            made = base.resolve_nodes(function, config)
        except Exception as error:  # noqa: BLE001 - whatever Hamilton or a decorator raises is about this function
            yield from _function_problems(function, error, config, code)
            continue
        for node in made:
            if node.name in nodes:
                first, second = code.where(function_of(nodes[node.name])), code.where(function)
                text = f"node {node.name} is already defined at {first}"
                yield Problem(text, second, "rename one of the functions")
            nodes.setdefault(node.name, node)
    yield from _type_problems(nodes, code)


def _function_problems(
    function: Callable[..., Any], error: Exception, config: Mapping[str, Any], code: ProjectCode
) -> Iterator[Problem]:
    """Why a function is no node: annotations, config values, or what Hamilton says."""
    where, name = code.where(function), function.__name__
    signature = inspect.signature(function)
    bare = [key for key, parameter in signature.parameters.items() if parameter.annotation is inspect.Parameter.empty]
    missing = sorted(
        {key for decorator in _decorators(function) for key in decorator.required_config() or ()} - {*config}
    )
    for key in bare:
        yield Problem(f"parameter {key} of {name} has no annotation", where, f'write "{key}: TYPE"')
    if signature.return_annotation is inspect.Signature.empty:
        hint = f"write what it returns, or begin its name with _ if it is no node: _{name}"
        yield Problem(f"function {name} has no return annotation", where, hint)
        return
    for key in missing:
        yield Problem(f"function {name} needs the config value {key}", where, f'give "{key}" under config: in the YAML')
    if not bare and not missing:
        yield Problem(f"function {name} is no node: {_text(error, code)}", where)


def _type_problems(nodes: Mapping[str, Any], code: ProjectCode) -> Iterator[Problem]:
    """Parameters that are annotated otherwise than the node, or than the same input elsewhere."""
    from hamilton.htypes import types_match

    inputs: dict[str, tuple[Any, Any]] = {}
    for node in nodes.values():
        where = code.where(function_of(node))
        for name, (annotation, _) in node.input_types.items():
            if name in nodes:
                source = nodes[name]
                if not types_match(annotation, source.type):
                    has, gets = type_name(annotation, code), type_name(source.type, code)
                    text = f"node {node.name} takes {name} as {has}, but {name} is annotated {gets}"
                    yield Problem(text, where, f"{name} is defined at {code.where(function_of(source))}")
                continue
            first, known = inputs.setdefault(name, (node, annotation))
            if not types_match(annotation, known) and not types_match(known, annotation):
                text = (
                    f"input {name} is {type_name(annotation, code)} here, but {type_name(known, code)} in {first.name}"
                )
                yield Problem(text, where, f"{first.name} is defined at {code.where(function_of(first))}")


def _cycle(graph: Any, code: ProjectCode) -> Iterator[Problem]:
    try:
        TopologicalSorter({name: tuple(node.input_types) for name, node in graph.nodes.items()}).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][:-1]
        start = cycle.index(min(cycle))
        cycle = [*cycle[start:], *cycle[:start]]
        places = [f"{name} at {code.where(function_of(graph.nodes[name]))}" for name in cycle]
        text = f"nodes depend on each other: {' -> '.join([*cycle, cycle[0]])}"
        yield Problem(text, code.where(function_of(graph.nodes[cycle[0]])), f"defined: {', '.join(places)}")


def _not_runnable(graph: Any, code: ProjectCode) -> Iterator[Problem]:
    for node in graph.nodes.values():
        if inspect.iscoroutinefunction(node.callable):
            text = f"node {node.name} is an async function, which flowpipe does not run"
            yield Problem(text, code.where(function_of(node)), 'write "def", with asyncio.run inside')


def _unknown_config(
    graph: Any, functions: Sequence[Callable[..., Any]], config: Mapping[str, Any], locate: Locate
) -> Iterator[Problem]:
    """Config values that neither a decorator nor a parameter asks for."""
    asked = {name for node in graph.nodes.values() for name in node.input_types}
    for function in functions:
        asked |= {*inspect.signature(function).parameters}  # also of one that this config leaves out
        for decorator in _decorators(function):
            required, optional = decorator.required_config(), decorator.optional_config()
            if required is None or optional is None:
                return  # it reads all of config
            asked |= {*required, *optional}
    for key in config:
        if key not in asked and not key.startswith(_OWN_SETTINGS):
            yield unknown("config value", key, asked, locate("config", key))


def _decorators(function: Callable[..., Any]) -> Iterator[Any]:
    from hamilton.function_modifiers.base import NodeTransformLifecycle

    for value in vars(function).values():
        if isinstance(value, list):
            yield from (entry for entry in value if isinstance(entry, NodeTransformLifecycle))


def _text(error: Exception, code: ProjectCode) -> str:
    lines = code.public_text(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
