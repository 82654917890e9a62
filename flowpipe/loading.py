"""Where the configuration of a project is written, and which of it is stronger: flag, profile, pipeline, project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flowpipe.conffile import Document, parse, read
from flowpipe.config import (
    Configuration,
    ExecutorConfig,
    ProfileConfig,
    ProjectConfig,
    StoreConfig,
    Tree,
)
from flowpipe.datasets import DatasetConfig, flaws
from flowpipe.errors import ConfigError, Problem, Where, redact, unknown
from flowpipe.fields import duration, size
from flowpipe.layers import at, join, layered, merge, under, value
from flowpipe.pipelinefile import PipelineConfig
from flowpipe.validation import problem, validate

_FLAG_SECTIONS = ("params", "config", "retry", "executor", "stores")
_FLAG_VALUES = {"memory_budget": "2GB", "deadline": "2h", "max_parallel_steps": "4"}
_PROFILE_ONLY = ("scratch", "checkpoints")
_PIPELINE_SECTIONS = ("params", "config", "retry", "hooks")
_SECRET_KEYS = frozenset(("dsn", "password", "options"))


def load(root: Path, *, profile: str | None = None, sets: Sequence[str] = (), resolve: bool = True) -> Configuration:
    """The same as `load_valid`, for those who need all of it.

    Raises:
        ConfigError: everything that is wrong in all files and flags.
    """
    found = load_valid(root, profile=profile, sets=sets, resolve=resolve)
    if found.problems:
        raise ConfigError(found.problems)
    return found


def load_valid(
    root: Path, *, profile: str | None = None, sets: Sequence[str] = (), resolve: bool = True
) -> Configuration:
    """Read `conf/` of the project folder `root` with one profile, and lay the flags `sets` (`KEY=VALUE`) over it.

    Everything that is wrong is in the result's `problems`; what is valid beside it can be checked further. With
    `resolve=False`, `${...}` stays as it is: neither the environment nor a secret file is looked at.

    Raises:
        ConfigError: the catalog or the profile cannot be read at all.
    """
    sources = _Sources(root, resolve)
    project = sources.read("conf/project.yml")
    catalog = sources.read("conf/catalog.yml", optional=True)
    pipelines = sources.pipelines()
    named = at(project, "profile")
    name = profile or (named.data if named and isinstance(named.data, str) else "dev")
    profiles = sources.profiles(name, None if profile or not named else named.where(()))
    tree = _tree(project, catalog, profiles, pipelines, sources.flags(sets))
    tree = replace(_with_store_secrets(tree), problems=tuple(sources.problems))

    problems = list(sources.problems)
    for model, documents in ((ProfileConfig, profiles), (PipelineConfig, pipelines.values())):
        for document in documents:
            problems += validate(model, document.data, document)[1]
    result, found = validate(Tree, tree.data, tree)
    problems += found
    problems += _dataset_problems(tree, stores_known=sources.all_profiles_found)
    problems = [_redacted(each, tree.secrets) for each in problems]
    if not sources.all_profiles_found or ("catalog",) in tree.unresolved or not isinstance(catalog.data, dict):
        raise ConfigError(problems)
    return _configuration(root, name, tree, result or _valid(tree), problems)


def _configuration(
    root: Path, profile: str, tree: Document, result: Tree, problems: Sequence[Problem]
) -> Configuration:
    flawed = _flawed(tree, result) if problems else frozenset()
    return Configuration(
        root=root,
        project=result.project,
        profile=profile,
        stores=result.stores,
        executor=result.executor,
        catalog={name: dataset for name, dataset in result.catalog.items() if name not in flawed},
        pipelines=result.pipelines,
        secrets=tree.secrets,
        document=tree,
        problems=tuple(problems),
        flawed=flawed,
        memory_budget=size(result.memory_budget) if result.memory_budget else None,
        deadline=duration(result.deadline) if result.deadline else None,
        max_parallel_steps=result.max_parallel_steps,
        scratch=result.scratch,
        checkpoints=result.checkpoints,
    )


@dataclass
class _Sources:
    """Reads the files and flags, and keeps what is wrong with each."""

    root: Path
    resolve: bool
    problems: list[Problem] = field(default_factory=list)
    all_profiles_found: bool = True

    def read(self, name: str, *, optional: bool = False) -> Document:
        if optional and not (self.root / name).exists():
            return Document(name)
        document = read(self.root / name, name, resolve=self.resolve)
        self.problems += document.problems
        return document

    def pipelines(self) -> dict[str, Document]:
        return {name: self.read(f"conf/pipelines/{name}.yml") for name in self._names("pipelines")}

    def profiles(self, name: str, where: Where | None) -> list[Document]:
        """The profile and all that it extends, the weakest first."""
        known = self._names("profiles")
        chain: dict[str, Document] = {}
        wanted: Any = name
        while isinstance(wanted, str):
            if wanted in chain:
                told = " -> ".join([*chain, wanted])
                self.problems.append(Problem(f"profiles extend one another: {told}", where, "take one extends out"))
                break
            if wanted not in known:
                self.problems.append(unknown("profile", wanted, known, where, add=f"write conf/profiles/{wanted}.yml"))
                self.all_profiles_found = False
                break
            document = chain[wanted] = self.read(f"conf/profiles/{wanted}.yml")
            self.all_profiles_found &= () not in document.unresolved
            extends = at(document, "extends")
            wanted, where = (extends.data, extends.where(())) if extends else (None, None)
        return list(reversed(chain.values()))

    def flags(self, sets: Sequence[str]) -> Document:
        """What `--set` gives, as one document; the place of each value is its flag."""
        result = Document("")
        for text in sets:
            where = Where(f"--set {text}")
            key, equals, given = text.partition("=")
            section, *names = key.split(".")
            if section in _FLAG_VALUES and (names or not equals):
                hint = f"write it like --set {section}={_FLAG_VALUES[section]}"
                self.problems.append(Problem(f'"{text}" is not {section}=VALUE', where, hint))
            elif section not in (*_FLAG_SECTIONS, *_FLAG_VALUES):
                add = None if names else f"params.{section}=..."
                self.problems.append(unknown("section", section, (*_FLAG_SECTIONS, *_FLAG_VALUES), where, add=add))
            elif section in _FLAG_SECTIONS and (not equals or not names or "" in names):
                hint = "write it like --set params.late_minutes=20"
                self.problems.append(Problem(f'"{text}" is not SECTION.KEY=VALUE', where, hint))
            else:
                document = parse(given, where.file, resolve=self.resolve)
                self.problems += [replace(each, where=where) for each in document.problems]
                document = replace(document, keys={}, values=dict.fromkeys(document.values, where))
                result = merge(result, under(document, section, *names))
        return result

    def _names(self, folder: str) -> list[str]:
        """The files of a folder of `conf/`, without their ending."""
        here = self.root / "conf" / folder
        for path in sorted(here.glob("*.yaml")):
            where = Where(f"conf/{folder}/{path.name}")
            self.problems.append(Problem("a file with this ending is not read", where, f"rename it to {path.stem}.yml"))
        return sorted(path.stem for path in here.glob("*.yml"))


def _tree(
    project: Document,
    catalog: Document,
    profiles: Sequence[Document],
    pipelines: Mapping[str, Document],
    flags: Document,
) -> Document:
    """Every layer in its place of one document, with the sections of `Tree`."""
    profile = layered(*(document for document in profiles if isinstance(document.data, dict)))
    defaults = at(project, "defaults")
    # A protected profile starts its stores anew.
    first = max((i for i, each in enumerate(profiles) if value(each, ("protected",)) is True), default=0)
    layers = (defaults, profile, flags)  # the strongest comes last
    executors = [under(found, "executor") for layer in layers if (found := _part(layer, "executor"))]
    values = {key: part for key in _FLAG_VALUES for layer in layers if (part := _part(layer, key))}
    zone = at(project, "timezone")
    return join(
        {
            "project": project,
            "stores": layered(*(at(document, "stores") for document in (*profiles[first:], flags))),
            "executor": at(layered(*executors), "executor") or Document(""),
            **values,
            **{name: found for name in _PROFILE_ONLY if (found := _part(profile, name))},
            "catalog": _catalog(catalog, zone),
            "pipelines": join(
                {name: _pipeline(each, zone, defaults, profile, flags) for name, each in pipelines.items()}
            ),
        }
    )


def _valid(tree: Document) -> Tree:
    """What is valid of a tree in which something is not, part by part."""

    def parts(section: str, model: type[BaseModel]) -> dict[str, Any]:
        found = tree.data[section] if isinstance(tree.data[section], dict) else {}
        made = {name: validate(model, part, tree, (section, name))[0] for name, part in found.items()}
        return {name: part for name, part in made.items() if part is not None}

    return Tree.model_construct(
        project=validate(ProjectConfig, tree.data["project"], tree, ("project",))[0] or ProjectConfig(name=""),
        executor=validate(ExecutorConfig, tree.data["executor"], tree, ("executor",))[0] or ExecutorConfig(),
        stores=parts("stores", StoreConfig),
        catalog=parts("catalog", DatasetConfig),
        pipelines=parts("pipelines", PipelineConfig),
    )


def _flawed(tree: Document, valid: Tree) -> frozenset[str]:
    """Datasets that something is wrong with, or with their stores."""
    named = tree.data["catalog"] if isinstance(tree.data["catalog"], dict) else {}
    sound = {
        name for name, dataset in valid.catalog.items() if dataset.store in valid.stores and not any(flaws(named[name]))
    }
    return frozenset(named.keys() - sound)


def _catalog(catalog: Document, zone: Document | None) -> Document:
    """The catalog over the project's time zone for every grain."""
    if zone is None or not isinstance(catalog.data, dict):
        return catalog
    grained = [name for name in catalog.data if isinstance(value(catalog, (name, "partition")), dict)]
    return merge(join({name: under(zone, "partition", "timezone") for name in grained}), catalog)


def _pipeline(
    pipeline: Document, zone: Document | None, defaults: Document | None, profile: Document, flags: Document
) -> Document:
    """A pipeline between the layers below and above it."""
    if not isinstance(pipeline.data, dict):
        return pipeline
    if zone and isinstance(value(pipeline, ("partitions",)), dict):
        pipeline = merge(under(zone, "partitions", "timezone"), pipeline)
    for section in _PIPELINE_SECTIONS:
        layers = [found for layer in (defaults, pipeline, profile, flags) if (found := _part(layer, section))]
        if layers:
            pipeline = merge(pipeline, under(layered(*layers), section))
    return pipeline


def _part(document: Document | None, section: str) -> Document | None:
    return at(document, section) if document else None


def _with_store_secrets(tree: Document) -> Document:
    """The tree with what stores must keep to themselves marked as secret, also where it is written in the YAML."""
    paths = {path for path in tree.values if path[:1] == ("stores",) and _SECRET_KEYS & set(path[2:])}
    texts = {text for path in paths if isinstance(text := value(tree, path), str)}
    secrets = tree.secrets | (texts - {"", "true", "false"})
    return replace(tree, secret_paths=tree.secret_paths | paths, secrets=secrets)


def _dataset_problems(tree: Document, *, stores_known: bool) -> Iterator[Problem]:
    """What is wrong between the keys of a dataset, and between datasets and stores."""
    catalog, stores = tree.data["catalog"], tree.data["stores"]
    for name, dataset in catalog.items() if isinstance(catalog, dict) else ():
        path = ("catalog", name)
        if not isinstance(dataset, dict) or path in tree.unresolved:
            continue
        for flaw in flaws(dataset):
            yield problem(flaw, tree, path)
        store, place = dataset.get("store"), (*path, "store")
        is_certain = stores_known and isinstance(stores, dict) and place not in tree.unresolved
        if is_certain and isinstance(store, str) and store not in stores:
            yield unknown("store", store, stores, tree.where(place), add="add it under stores: of the profile")


def _redacted(each: Problem, secrets: frozenset[str]) -> Problem:
    where = each.where and replace(each.where, file=redact(each.where.file, secrets))
    return Problem(redact(each.message, secrets), where, each.hint and redact(each.hint, secrets))
