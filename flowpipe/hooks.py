"""The hooks of `hooks:`: Hamilton's lifecycle adapters, found by their names, and everything that can be wrong there.

A hook watches; what would change how nodes run is refused. Names are dotted, `module.Class`: a module of the project's
own `pipelines/`, or one that is installed.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

from flowpipe.config import Configuration, coerce
from flowpipe.errors import ConfigError, Problem, Where, nearest, unknown
from flowpipe.modules import ProjectCode
from flowpipe.pipelinefile import HookConfig

_CALLED = (
    "post_graph_construct",
    "pre_graph_execute",
    "pre_task_submission",
    "pre_task_execute",
    "pre_node_execute",
    "post_node_execute",
    "post_task_execute",
    "post_task_return",
    "post_graph_execute",
)
# Nothing of the kind ever happens here, as in Hamilton's own plain driver; adapters that know of it work without.
_NEVER = ("post_task_group", "post_task_expand")
_VALIDATORS = frozenset(("validate_node", "validate_graph"))
_EXAMPLE = "hamilton.lifecycle.default.PrintLn"
# Where what is imported is not named like what is installed.
_DISTRIBUTIONS = {"opentelemetry": "opentelemetry-sdk", "openlineage": "openlineage-python"}


@dataclass(frozen=True)
class Hook:
    """A checked entry of `hooks:`: a class of the user's, and the arguments that it will be made with."""

    name: str
    where: Where | None
    _class: type = field(repr=False)
    _arguments: Mapping[str, Any] = field(repr=False, hash=False)

    @property
    def validates(self) -> bool:
        """Whether it judges graphs before they run."""
        return not _VALIDATORS.isdisjoint(_methods(self._class))

    def make(self) -> Any:
        """An instance.

        Raises:
            ConfigError: its constructor refuses.
        """
        try:
            return self._class(**self._arguments)
        except Exception as error:
            text = f"hook {self.name} cannot be made: {type(error).__name__}: {error}"
            raise ConfigError([Problem(text, self.where, "mend its options, or leave it out")]) from error


Validate = Callable[[Hook], Iterable[Problem]]


def bind(
    pipeline: str, configuration: Configuration, code: ProjectCode, validate: Validate
) -> tuple[tuple[Hook, ...], list[Problem]]:
    """The hooks of a pipeline, and what is wrong with its `hooks:`.

    None of them is made, but those that `validate` needs: it is given every one that validates graphs.
    """
    hooks: list[Hook] = []
    problems: list[Problem] = []
    for number, config in enumerate(configuration.pipelines[pipeline].hooks):
        path = ("pipelines", pipeline, "hooks", number)
        try:
            for hook in _Entry(config, configuration, path).hook(code):
                hooks.append(hook)
                if hook.validates and configuration.is_resolved(*path):
                    problems += validate(hook)
        except ConfigError as error:
            problems += error.problems
    return tuple(hooks), problems


def invalid(hook: Hook, graph: Any, where: Callable[[Any], Where | None]) -> Iterator[Problem]:
    """What a hook that validates says of one of Hamilton's graphs; `where` is the place of a node.

    Raises:
        ConfigError: it cannot be made, or fails.
    """
    from hamilton.lifecycle.base import LifecycleAdapterSet

    adapters = LifecycleAdapterSet(hook.make())
    hint = f"hook {hook.name} is set at {hook.where}"
    try:
        if adapters.does_validation("validate_node"):
            for node in graph.nodes.values():
                for found in adapters.call_all_validators_sync("validate_node", created_node=node):
                    yield Problem(f"node {node.name}: {found.error}", where(node), hint)
        if adapters.does_validation("validate_graph"):
            given = {"graph": graph, "modules": modules(graph), "config": dict(graph.config)}
            for found in adapters.call_all_validators_sync("validate_graph", **given):
                yield Problem(f"the graph: {found.error}", hook.where, hint)
    except Exception as error:
        text = f"hook {hook.name} failed to validate: {type(error).__name__}: {error}"
        raise ConfigError([Problem(text, hook.where, "mend it, or leave it out")]) from error


def modules(graph: Any) -> list[ModuleType]:
    """The modules that hold the functions of one of Hamilton's graphs."""
    functions = (function for node in graph.nodes.values() for function in node.originating_functions or ())
    return [sys.modules[name] for name in dict.fromkeys(function.__module__ for function in functions)]


@dataclass(frozen=True)
class _Entry:
    config: HookConfig
    configuration: Configuration
    path: tuple[str | int, ...]

    @property
    def name(self) -> str:
        return self.config.hook

    @property
    def where(self) -> Where | None:
        return self.configuration.where(*self.path, "hook")

    def hook(self, code: ProjectCode) -> Iterator[Hook]:
        """The checked hook; none where its name is not known yet.

        Raises:
            ConfigError: all that is wrong with it.
        """
        if not self.configuration.is_resolved(*self.path, "hook"):
            return
        found = self._class(code)
        arguments: dict[str, Any] = {}
        problems = [*self._unfit(found)] or [*self._options(found, arguments)]
        if problems:
            raise ConfigError(problems)
        yield Hook(self.name, self.where, found, arguments)

    def _class(self, code: ProjectCode) -> type:
        module, _, own = self.name.rpartition(".")
        if not module or not own:
            hint = f"write module.Class, like {_EXAMPLE}"
            raise ConfigError([Problem(f'"{self.name}" is no dotted name', self.where, hint)])
        if module in code.modules:
            found = code.load_object(f"{module}:{own}", self.where)
        else:
            found = self._installed(module, own, code)
        if not isinstance(found, type) or not _methods(found):
            hint = "name a class that inherits from NodeExecutionHook, or from another hook of hamilton.lifecycle"
            raise ConfigError([Problem(f"{self.name} is no hook of Hamilton's", self.where, hint)])
        return found

    def _installed(self, module: str, own: str, code: ProjectCode) -> Any:
        try:
            found = vars(importlib.import_module(module))
        except Exception as error:
            raise ConfigError([self._not_imported(module, error, code)]) from error
        if own not in found:
            known = [f"{module}.{key}" for key, entry in found.items() if isinstance(entry, type) and _is_hook(entry)]
            raise ConfigError([unknown("hook", self.name, known, self.where)])
        return found[own]

    def _not_imported(self, module: str, error: Exception, code: ProjectCode) -> Problem:
        missing = _missing(error)
        if missing is None:
            text = f"hook {self.name} cannot be imported: {type(error).__name__}: {error}"
            return Problem(text, self.where, f"\"python -c 'import {module}'\" shows the same")
        top = missing.partition(".")[0]
        install = f'"pip install {_DISTRIBUTIONS.get(top, top)}" may be what is missing'
        if not f"{module}.".startswith(f"{missing}."):
            return Problem(f"hook {self.name} cannot be imported: it needs {missing}", self.where, install)
        known = [*_siblings(missing)] if "." in missing else code.modules
        problem = unknown("module", missing, known, self.where)
        return problem if "." in missing or nearest(missing, known) else Problem(problem.message, self.where, install)

    def _unfit(self, found: type) -> Iterator[Problem]:
        """Methods that would change how nodes run, that would never be called, or that are not there."""
        refused = _refused(found)
        if "do_node_execute" in refused:
            text = f"hook {self.name} implements do_node_execute, but the executor runs the nodes"
            yield Problem(text, self.where, "a hook only watches; leave this one out")
        elif refused:
            text = f"hook {self.name} implements {', '.join(refused)}, which flowpipe does not call"
            yield Problem(text, self.where, "it calls what comes before and after a node, a task and a graph")
        elif lacks := sorted(getattr(found, "__abstractmethods__", ())):
            yield Problem(
                f"hook {self.name} lacks {', '.join(lacks)}", self.where, "write what its base class asks for"
            )

    def _options(self, found: type, arguments: dict[str, Any]) -> Iterator[Problem]:
        """Options against the constructor's parameters; what is right goes to `arguments`."""
        parameters = _parameters(found)
        named = {each.name: each for each in parameters if each.kind is not each.VAR_KEYWORD}
        given = self.config.model_extra or {}
        for name, value in given.items():
            if name in named:
                yield from self._option(name, value, named[name].annotation, arguments)
            elif len(named) < len(parameters):
                arguments[name] = value
            else:
                where = self.configuration.where_key(*self.path, name)
                yield unknown(f"option of hook {self.name}:", name, named, where)
        for name, parameter in named.items():
            if name not in given and parameter.default is parameter.empty:
                hint = f"write {{hook: {self.name}, {name}: ...}}"
                yield Problem(f"hook {self.name} needs the option {name}", self.where, hint)

    def _option(self, name: str, value: Any, annotation: Any, arguments: dict[str, Any]) -> Iterator[Problem]:
        path = (*self.path, name)
        if not self.configuration.is_resolved(*path):
            return
        try:
            arguments[name] = _coerced(value, annotation)
        except ValueError as error:
            text = "is not of the annotated type" if self.configuration.is_secret(*path) else str(error)
            hint = "write a value of the type that its constructor annotates"
            yield Problem(f"hook {self.name}: option {name}: {text}", self.configuration.where(*path), hint)


def _methods(found: type) -> dict[str, str]:
    """What a class implements of Hamilton's life cycle, and which sort of method each is."""
    from hamilton.lifecycle import base

    known = {
        base.SYNC_HOOK: base.REGISTERED_SYNC_HOOKS,
        base.SYNC_METHOD: base.REGISTERED_SYNC_METHODS,
        base.SYNC_VALIDATOR: base.REGISTERED_SYNC_VALIDATORS,
        base.ASYNC_HOOK: base.REGISTERED_ASYNC_HOOKS,
        base.ASYNC_METHOD: base.REGISTERED_ASYNC_METHODS,
    }
    names = ((vars(each).get(sort), sort, registered) for each in found.__mro__ for sort, registered in known.items())
    return {name: sort for name, sort, registered in names if isinstance(name, str) and name in registered}


def _refused(found: type) -> list[str]:
    """The methods that no hook may have here."""
    methods = _methods(found).items()
    called = {("hooks", name) for name in (*_CALLED, *_NEVER)} | {("validators", name) for name in _VALIDATORS}
    return [f"async {name}" if "async" in sort else name for name, sort in methods if (sort, name) not in called]


def _is_hook(found: type) -> bool:
    return bool(_methods(found)) and not _refused(found) and not getattr(found, "__abstractmethods__", ())


def _parameters(found: type) -> list[inspect.Parameter]:
    """What the constructor takes by name; one of the kind VAR_KEYWORD takes whatever it is given."""
    try:
        signature = inspect.signature(found, eval_str=True)
    except NameError:  # an annotation that only type checkers can read
        signature = inspect.signature(found)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return [each for each in signature.parameters.values() if each.kind in by_name]


def _coerced(value: Any, annotation: Any) -> Any:
    """A YAML value as one of a constructor's; in a union, types that no YAML can give are left out.

    Raises:
        ValueError: it is of another type.
    """
    if isinstance(annotation, str):
        return value
    try:
        return coerce(value, annotation)
    except ValueError:
        for each in get_args(annotation) if get_origin(annotation) in {Union, UnionType} else ():
            with suppress(ValueError):
                return coerce(value, each)
        raise


def _missing(error: BaseException | None) -> str | None:
    """The module that is not there, if that is why an import failed."""
    while error is not None and not (isinstance(error, ModuleNotFoundError) and error.name):
        error = error.__cause__
    return error.name if isinstance(error, ModuleNotFoundError) else None


def _siblings(missing: str) -> Iterator[str]:
    """The modules beside one that is not there."""
    parent = missing.rpartition(".")[0]
    with suppress(ImportError):
        for module in pkgutil.iter_modules(getattr(importlib.import_module(parent), "__path__", ())):
            yield f"{parent}.{module.name}"
