"""How a table is built anew beside the old one and takes its place: what comes along, and what forbids it."""
# ruff: noqa: S608  names are quoted, values are parameters

from __future__ import annotations

import uuid

from flowpipe.adapters import sql
from flowpipe.adapters.postgres.connection import Session
from flowpipe.adapters.postgres.table import Place
from flowpipe.errors import PublishError

# What LIKE does not copy, and nobody would miss before it is needed.
_LOST = """SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal
    UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = $1::regclass
    UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = $1::regclass
    UNION ALL SELECT 'foreign key ' || conname FROM pg_constraint
        WHERE contype = 'f' AND $1::regclass IN (conrelid, confrelid)
    UNION ALL SELECT 'its storage parameters' FROM pg_class
        WHERE oid = $1::regclass AND (reloptions IS NOT NULL OR reltablespace <> 0 OR relpersistence <> 'p')
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE prrelid = $1::regclass
    UNION ALL SELECT 'its parts or parents' FROM pg_inherits WHERE $1::regclass IN (inhparent, inhrelid)
    UNION ALL SELECT 'view ' || r.ev_class::regclass FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = $1::regclass AND r.ev_class <> d.refobjid
    ORDER BY 1 LIMIT 1"""
_GRANTEE = "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END"
_OPTION = "CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END"
# The owner first: grants are then given in its name. Default privileges may have given more than the old table did.
_RIGHTS = f"""SELECT statement FROM (
    SELECT 1 AS number, format('ALTER TABLE %s OWNER TO %I', $2, pg_get_userbyid(relowner)) AS statement
        FROM pg_class WHERE oid = $1::regclass
    UNION ALL SELECT 2, format('REVOKE ALL ON %s FROM %s', $2, {_GRANTEE})
        FROM pg_class, aclexplode(relacl) WHERE oid = $2::regclass AND grantee <> relowner
    UNION ALL SELECT 3, format('GRANT %s ON %s TO %s%s', privilege_type, $2, {_GRANTEE}, {_OPTION})
        FROM pg_class, aclexplode(relacl) WHERE oid = $1::regclass
    UNION ALL SELECT 4, format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, $2, {_GRANTEE}, {_OPTION})
        FROM pg_attribute, aclexplode(attacl) WHERE attrelid = $1::regclass AND NOT attisdropped
    UNION ALL SELECT 5, format('COMMENT ON TABLE %s IS %L', $2, obj_description($1::regclass, 'pg_class'))
    UNION ALL SELECT 6, format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, $2, a.attname)
        FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.refobjid = $1::regclass AND d.deptype = 'a'
    ) AS statements ORDER BY number"""
# An index has the same definition but for its own name and that of its table.
_INDEXES = """SELECT c.relname::text, i.indisunique::text || i.indisprimary::text
    || regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING ', '') AS definition
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::regclass ORDER BY 2, i.indexrelid"""


def begin(session: Session, old: Place, shown: str) -> Place:
    """A new, empty table like the old one beside it; `shown` is how the catalog names that.

    Raises:
        PublishError: the old table has something that would be lost.
    """
    if lost := session.rows(_LOST, [old.name]):
        message = f"table {shown} cannot be swapped: a new one would be without {lost[0][0]}"
        raise PublishError(message, hint="leave out `swap: true`")
    new = Place(old.schema, f"_flowpipe_{uuid.uuid4().hex[:12]}")
    session.rows(f"CREATE TABLE {new.name} (LIKE {old.name} INCLUDING ALL)")
    return new


def end(session: Session, old: Place, new: Place) -> None:
    """The new table in the place of the old one, with its owner, grants, comment, sequences, and names of indexes."""
    for (statement,) in session.rows(_RIGHTS, [old.name, new.name]):
        session.rows(statement)
    names = session.rows(_INDEXES, [old.name])
    session.rows(f"DROP TABLE {old.name}")
    session.rows(f"ALTER TABLE {new.name} RENAME TO {sql.quoted(old.table)}")
    for (name, definition), (made, same) in zip(names, session.rows(_INDEXES, [old.name]), strict=True):
        assert definition == same, "LIKE makes the same indexes"
        session.rows(f"ALTER INDEX {Place(old.schema, made).name} RENAME TO {sql.quoted(name)}")
