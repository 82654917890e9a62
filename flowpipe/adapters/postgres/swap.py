"""How a table is built anew beside the old one and takes its place: what comes along, and what forbids it."""
# ruff: noqa: S608  names are quoted, values are parameters

from __future__ import annotations

import uuid

from flowpipe.adapters import sql
from flowpipe.adapters.postgres.connection import Session
from flowpipe.errors import PublishError

# What LIKE does not copy and nobody could miss without noticing. Views and incoming foreign keys make DROP fail.
_FORBIDDEN = """SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal
    UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = $1::regclass
    UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = $1::regclass
    UNION ALL SELECT 'foreign key ' || conname FROM pg_constraint WHERE $1::regclass IN (conrelid, confrelid) AND contype = 'f'
    UNION ALL SELECT 'table ' || inhrelid::regclass || ' below it' FROM pg_inherits WHERE inhparent = $1::regclass
    UNION ALL SELECT 'table ' || inhparent::regclass || ' above it' FROM pg_inherits WHERE inhrelid = $1::regclass
    UNION ALL SELECT 'view ' || r.ev_class::regclass FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = $1::regclass AND r.ev_class <> d.refobjid
    ORDER BY 1 LIMIT 1"""
# The owner first: the grants are then given in its name. Default privileges may have given more than the old table did.
_RIGHTS = """SELECT statement FROM (
    SELECT 1 AS number, format('ALTER TABLE %s OWNER TO %I', $2, pg_get_userbyid(relowner)) AS statement
        FROM pg_class WHERE oid = $1::regclass
    UNION ALL SELECT 2, format('REVOKE ALL ON %s FROM %s', $2, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
        FROM pg_class, aclexplode(relacl) WHERE oid = $2::regclass AND grantee <> relowner
    UNION ALL SELECT 3, format('GRANT %s ON %s TO %s%s', privilege_type, $2,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM pg_class, aclexplode(relacl) WHERE oid = $1::regclass
    UNION ALL SELECT 4, format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, $2,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM pg_attribute, aclexplode(attacl) WHERE attrelid = $1::regclass AND NOT attisdropped
    UNION ALL SELECT 5, format('COMMENT ON TABLE %s IS %L', $2, obj_description($1::regclass, 'pg_class'))
    UNION ALL SELECT 6, format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, $2, a.attname)
        FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.refobjid = $1::regclass AND d.deptype = 'a'
    ) AS statements ORDER BY number"""
# An index has the same definition but for its own name and that of its table.
_INDEXES = """SELECT i.indexrelid::regclass::text, c.relname::text,
    i.indisunique || i.indisprimary::text || regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING ', '')
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::regclass ORDER BY 2"""


def begin(session: Session, table: str) -> str:
    """A new, empty table like the old one in its schema, as it stands in a statement.

    Raises:
        PublishError: the old table has something that would be lost.
    """
    if kept := session.rows(_FORBIDDEN, [table]):
        message = f"table {table} cannot be swapped: a new table would be without {kept[0][0]}"
        raise PublishError(message, hint="leave out `swap: true`")
    schema = table.rpartition('."')[0]
    new = f"{schema}.{sql.quoted(f'_flowpipe_{uuid.uuid4().hex[:12]}')}"
    session.rows(f"CREATE TABLE {new} (LIKE {table} INCLUDING ALL)")
    return new


def end(session: Session, table: str, name: str, new: str) -> None:
    """The new table in the place of the old one, with its owner, grants, comment, sequences, and names of indexes."""
    for (statement,) in session.rows(_RIGHTS, [table, new]):
        session.rows(statement)
    before = session.rows(_INDEXES, [table])
    session.rows(f"DROP TABLE {table}")
    session.rows(f"ALTER TABLE {new} RENAME TO {sql.quoted(name)}")
    after = {definition: found for found, _, definition in session.rows(_INDEXES, [table])}
    for _, index, definition in before:
        session.rows(f"ALTER INDEX {after[definition]} RENAME TO {sql.quoted(index)}")
