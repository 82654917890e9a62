"""Whose commits a Delta log holds: the states flowpipe published, and what others changed since.

Every publish commits three application transactions, which outlast checkpoints and log cleanup:
`flowpipe:DATASET:SLICE` is the hash of the states of its commit, by which their file is named, `flowpipe.last` the
version of the latest publish, and `flowpipe.clean_since` the version since which nobody but flowpipe changed a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

from deltalake import DeltaTable
from deltalake.transaction import CommitProperties, Transaction

from flowpipe.adapters import Dataset, Held, Publication, State
from flowpipe.adapters.delta.folder import Folder
from flowpipe.adapters.delta.transactions import Transactions

LAST = "flowpipe.last"
CLEAN_SINCE = "flowpipe.clean_since"
MARK = "flowpipe"
MODE = "flowpipe.mode"


@dataclass(frozen=True)
class Commit:
    """One entry of the log; `changes` says whether it changed rows (OPTIMIZE, VACUUM and new columns do not).

    `run` is the one of flowpipe's that made it, None: somebody else did.
    """

    operation: str | None
    changes: bool
    run: str | None
    mode: str | None
    added: tuple[str, ...]
    at: datetime | None

    @property
    def ours(self) -> bool:
        return self.run is not None


@dataclass(frozen=True)
class Published:
    """A state and the version whose commit published it."""

    state: State
    version: int


class Log:
    """The log of one table as of one opened version."""

    def __init__(self, table: DeltaTable, folder: Folder) -> None:
        self.table = table
        self.version = table.version()
        self._transactions = Transactions(table, folder)
        self.folder = folder
        self._commits: dict[int, Commit | None] = {}
        self._files: dict[int, dict[tuple[str, str], Published]] = {}

    @cached_property
    def last(self) -> int | None:
        """The version of the latest publish."""
        return self._transactions.version(LAST)

    @cached_property
    def _clean_since(self) -> int | None:
        return self._transactions.version(CLEAN_SINCE)

    def held(self, dataset: Dataset, slices: Sequence[str]) -> dict[str, Held]:
        """What was published for each slice, and whether it still is so."""
        found = self.states(dataset, slices)
        return {
            key: Held(found[key].state, self.changed_since(found[key].version)) if key in found else Held()
            for key in slices
        }

    def states(self, dataset: Dataset, slices: Sequence[str]) -> dict[str, Published]:
        """The last published state of each slice that has one; the dataset's former name counts."""
        found: dict[str, Published] = {}
        names = [name for name in (dataset.name, dataset.config.was) if name]
        for key in slices:
            hashes = (self._transactions.version(app_id(name, key)) for name in names)
            hashed = next((one for one in hashes if one is not None), None)
            if hashed is not None:
                states = self._file(hashed)
                published = next((states[name, key] for name in names if (name, key) in states), None)
                found.update({key: published} if published else {})
        return found

    def _file(self, hashed: int) -> Mapping[tuple[str, str], Published]:
        """The states of one commit by dataset and slice; empty when their file is gone."""
        if hashed not in self._files:
            text = self.folder.read(state_path(self.folder, hashed))
            content = json.loads(text) if text is not None else {"states": []}
            states = (State(**one) for one in content["states"])
            self._files[hashed] = {(one.dataset, one.slice): Published(one, content["version"]) for one in states}
        return self._files[hashed]

    def changed_since(self, version: int) -> str | None:
        """What somebody else did to the rows after `version`, in words; None: nothing."""
        clean = self._clean_since is not None and version >= self._clean_since
        start = max(version, self.last or 0) if clean else version
        for number in range(start + 1, self.version + 1):
            commit = self.commit(number)
            if commit is None:
                if clean:
                    return f"version {number} is no longer in the log"
            elif commit.changes and not commit.ours:
                operation = f" ({commit.operation})" if commit.operation else ""
                return f"version {number}{operation} is not flowpipe's"
            elif commit.ours and commit.mode == "overwrite":
                return f"version {number} overwrote the whole table"
        return None if clean else f"a version between {version} and {self._clean_since} is not flowpipe's"

    def last_change(self) -> int:
        """The last version that changed rows; maintenance does not count."""
        version = self.version
        while version > (self.last or 0):
            commit = self.commit(version)
            if commit is None or commit.changes:
                break
            version -= 1
        return version

    def clean_since(self, committing: int, *, overwrites: bool) -> int:
        """The `flowpipe.clean_since` of the commit that is about to become version `committing`."""
        if overwrites or self.last is None or self._clean_since is None or self.changed_since(self.last):
            return committing
        return self._clean_since

    def commit(self, version: int) -> Commit | None:
        """One entry, read from its file: `history()` numbers versions wrongly where a writer left no commitInfo."""
        if version not in self._commits:
            self._commits[version] = read_commit(self.folder, version)
        return self._commits[version]


def read_commit(folder: Folder, version: int) -> Commit | None:
    """One entry of a log; None when it was cleaned up."""
    text = folder.read(folder.log_entry(version))
    if text is None:
        return None
    info: Mapping[str, Any] = {}
    changes = False
    added: list[str] = []
    for line in text.splitlines():
        action = json.loads(line)
        info = action.get("commitInfo", info)
        for kind in ("add", "remove"):
            changes = changes or (kind in action and action[kind].get("dataChange", True))
        if "add" in action:
            added.append(action["add"]["path"])
    stamp = info.get("timestamp")
    at = datetime.fromtimestamp(stamp / 1000, UTC) if isinstance(stamp, int) else None
    return Commit(info.get("operation"), changes, info.get(MARK), info.get(MODE), tuple(added), at)


def app_id(dataset: str, key: str) -> str:
    """The application transaction that names a slice's state."""
    return f"flowpipe:{dataset}:{key}"


def record(
    publications: Sequence[Publication], folder: Folder, version: int, clean_since: int, mode: str
) -> CommitProperties:
    """Write the states beside the table; what this returns commits them, but only as `version`."""
    states = [asdict(one.state) for one in publications]
    content = json.dumps({"states": states, "version": version}, sort_keys=True).encode()
    hashed = int.from_bytes(sha256(content).digest()[:8]) >> 1
    folder.write_once(state_path(folder, hashed), content)
    return CommitProperties(
        custom_metadata={MARK: publications[0].state.run, MODE: mode},
        max_commit_retries=0,
        app_transactions=[
            *(Transaction(app_id(one.dataset.name, one.slice.key), hashed) for one in publications),
            Transaction(LAST, version),
            Transaction(CLEAN_SINCE, clean_since),
        ],
    )


def state_path(folder: Folder, hashed: int) -> str:
    """The file of a commit's states."""
    return folder.within("_flowpipe", f"{hashed:016x}.json")
