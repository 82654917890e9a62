"""One publish as one transaction: the table, its rows and their state change together or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from flowpipe.adapters import Publication, changes, sql, tables, versions
from flowpipe.adapters.postgres import fitting, loading, swap, table, types
from flowpipe.adapters.postgres.connection import Session
from flowpipe.adapters.postgres.table import Place, Table
from flowpipe.errors import PublishError

_CASCADES = """SELECT conname::text, conrelid::regclass::text FROM pg_constraint
    WHERE confrelid = $1::regclass AND contype = 'f' AND confdeltype IN ('c', 'n', 'd') ORDER BY 1"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text"


def publish(session: Session, publication: Publication, schema: str) -> None:
    """Publish the staged rows, unless this run has done so.

    Publishes of one table follow one another, and nobody else writes to it meanwhile; readers see the old rows.

    Raises:
        DataError: the columns are not the table's, or too many rows would be deleted.
        PublishError: the slice was appended before, or the table cannot be swapped.
    """
    there = _lock(session, str(publication.dataset.config.table), schema)
    remembered = table.states(session, publication.dataset, schema) if there else {}
    before = remembered.get(publication.slice.key)
    if not tables.is_published(publication, before.state if before else None):
        _Transaction(session, publication, schema).run(there)


def _lock(session: Session, name: str, schema: str) -> Table | None:
    """The table, ours until the end of the transaction; before it, schemas and the table of states are made."""
    for each in dict.fromkeys([schema, sql.split(name, schema)[0]]):
        if not session.rows("SELECT 1 FROM pg_namespace WHERE nspname = $1", [each]):
            session.rows(_LOCK, [f"flowpipe schema {each}"])
            session.rows(f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(each)}")
    if table.find(session, sql.STATE_TABLE, schema) is None:
        session.rows(_LOCK, [f"flowpipe states {schema}"])
        session.rows(sql.CREATE_STATE)
    session.rows(_LOCK, [f"flowpipe {sql.qualified(name, schema)}"])
    there = table.find(session, name, schema)
    if there and there.lockable:
        session.rows(f"LOCK TABLE {sql.qualified(name, schema)} IN SHARE ROW EXCLUSIVE MODE")
        return table.find(session, name, schema)
    return there


@dataclass(frozen=True)
class _Transaction:
    """The steps of one publish that has to be done."""

    session: Session
    publication: Publication
    schema: str

    def run(self, there: Table | None) -> None:
        dataset, config, session = self.publication.dataset, self.publication.dataset.config, self.session
        before = self._mark(there)
        if config.was:
            session.rows(sql.RENAME_STATE, [dataset.name, config.was])
        whole = self.publication.slice.kind == "whole" and config.mode in {"overwrite", "replace"}
        if whole or not there:
            session.rows(sql.FORGET_STATE, [dataset.name])
        if there and not config.swap and config.mode in {"overwrite", "replace"}:
            self._refuse_cascades()
        fitting.fit(session, dataset, self._place, there, loading.columns(self.publication.staged))
        if there and config.swap:
            new = swap.begin(session, self._place, str(config.table))
            self._change(new)
            swap.end(session, self._place, new)
        else:
            self._change(self._place)
        for number, statement in enumerate(config.after_publish, 1):
            hint = f"mend `{' '.join(statement.split())}`"
            doing = f"dataset {dataset.name}: statement {number} of after_publish failed, nothing was published"
            with session.told_as(doing, hint):
                session.rows(statement)
        self._remember(before)

    @property
    def _place(self) -> Place:
        return Place(*sql.split(str(self.publication.dataset.config.table), self.schema))

    def _found(self) -> Table:
        found = table.find(self.session, str(self.publication.dataset.config.table), self.schema)
        assert found is not None, "the table was made in this transaction"
        return found

    def _change(self, place: Place) -> None:
        """Make the rows of a table what the publication says."""
        name, columns = place.name, self._found().writable
        publication, session, config = self.publication, self.session, self.publication.dataset.config
        staged = loading.columns(publication.staged)
        same = all(columns[column] == kind for column, kind in staged.items())
        if same and config.mode not in {"merge", "snapshot"}:
            # What only adds rows of the table's own types is spared the way by a table aside.
            *others, _ = changes.statements(publication, name, columns, loading.STAGED)
            for statement in others:
                session.rows(statement)
            loading.into(session, publication.staged, place.table, place.schema)
            return
        loading.aside(session, publication.staged)
        values = [types.written(column, columns[column], kind) for column, kind in staged.items()]
        source = loading.STAGED if same else f"({sql.select(loading.STAGED, values)})"
        if bound := changes.taken(publication, name, columns, source):
            versions.refuse_too_many(config, publication.dataset.name, *map(session.number, bound))
        for statement in changes.statements(publication, name, columns, source, in_place=True):
            session.rows(statement)

    def _mark(self, found: Table | None) -> int:
        """What the table holds; who only appends never asks, and pays for no look at the whole table."""
        if found is None or self.publication.dataset.config.mode == "append":
            return 0
        return found.mark(self.session, self._place.name)

    def _refuse_cascades(self) -> None:
        """Rows of other tables are not this dataset's to delete or change.

        Raises:
            PublishError: they would be, with those of this table.
        """
        if found := self.session.rows(_CASCADES, [self._place.name]):
            name, other = found[0]
            shown = self.publication.dataset.config.table
            message = f"overwriting table {shown} would change rows of table {other}, by its foreign key {name}"
            hint = "use `mode: merge`, which updates in place, or a foreign key without CASCADE and SET"
            raise PublishError(message, hint=hint)

    def _remember(self, before: int) -> None:
        session, state, after = self.session, self.publication.state, self._mark(self._found())
        session.rows(sql.FOLLOW_STATE, [state.dataset, before, after])
        session.rows(sql.UPSERT_STATE, tables.state_row(state, after))
