"""YAML with positions: core typing, what is refused and how it is told, interpolation."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flowpipe.conffile import Document, parse, read, scalar
from flowpipe.errors import Where


def told(document: Document) -> list[str]:
    return [str(problem) for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("TRUE", True),
        ("False", False),
        ("12", 12),
        ("-7", -7),
        ("007", 7),
        ("0o17", 15),
        ("0xfF", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("!!float 1", 1.0),
        ("!!float .inf", math.inf),
        ("!!str 1", "1"),
        ('!!int "5"', 5),
        ("'1'", "1"),
        ('"true"', "true"),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        *((text, text) for text in ("on", "no", "yes", "off", "y", "12:30", "1_000", "2013-01", "2013-01-01", "tRUE")),
        *((text, text) for text in ("0b1", "=", "1,5", "0o8", "+", ".", "nan", "2013-01-01T00:00:00Z", "<<")),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(scalar(".nan"))


def test_a_number_that_python_refuses_to_read_stays_text() -> None:
    assert scalar("9" * 5000) == "9" * 5000


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_:.+-]{0,12}[A-Za-z0-9_]", fullmatch=True))
def test_a_word_that_the_core_schema_does_not_type_stays_text(text: str) -> None:
    typed = text.lower() in {"null", "true", "false"} and text in {text.lower(), text.upper(), text.capitalize()}
    assert (scalar(text) == text) is not typed


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda text: "${" not in text))
def test_quoted_text_is_always_that_text(text: str) -> None:
    assert parse(yaml.safe_dump({"a": text}, default_style='"', allow_unicode=False), "f").data == {"a": text}


@given(st.integers(), st.floats(allow_nan=False))
def test_numbers_come_back(whole: int, real: float) -> None:
    shown = {math.inf: ".inf", -math.inf: "-.inf"}.get(real, repr(real))
    assert parse(f"a: {whole}\nb: {shown}", "f").data == {"a": whole, "b": real}


def test_every_key_and_value_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("# é\nfirst: 1\nouter:\n  ü: [x, {deep: y}]\n", "utf-8")
    document = read(tmp_path / "a.yml", "conf/a.yml")
    assert document.data == {"first": 1, "outer": {"ü": ["x", {"deep": "y"}]}}
    assert document.file == "conf/a.yml"
    assert document.keys[("outer", "ü")] == Where("conf/a.yml", 4, 3)
    assert document.values[("outer", "ü", 1, "deep")] == Where("conf/a.yml", 4, 17)
    assert document.where(("outer", "ü", 1, "gone", "on")) == Where("conf/a.yml", 4, 10)
    assert document.where_key(("outer",)) == Where("conf/a.yml", 3, 1)
    assert document.where_key(("nowhere",)) == Where("conf/a.yml", 2, 1)


@pytest.mark.parametrize("text", ["", "# only a remark\n", "---\n", "~\n", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yml").write_text(text, "utf-8")
    assert read(tmp_path / "a.yml", "a.yml").data == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", 'f:2:1: the key "a" is given twice\n  hint: it is first given in line 1'),
        ("2013: 1", "f:1:1: the key 2013 is not text\n  hint: put the key in quotes"),
        ("true: 1", "f:1:1: the key true is not text\n  hint: put the key in quotes"),
        ("? [a]\n: 1", "f:1:3: this key is not text\n  hint: put the key in quotes"),
        ("a:\n  <<: {b: 1}", 'f:2:3: there is no merge key "<<" in YAML 1.2\n  hint: write the keys out'),
        ("a: !!timestamp 2013-01-01", "f:1:4: the tag !!timestamp is not allowed here\n  hint: leave it out"),
        (
            "a: !!python/name:os.system x",
            "f:1:4: the tag !!python/name:os.system is not allowed here\n  hint: leave it out",
        ),
        ("a: !foo [1]", "f:1:4: the tag !foo is not allowed here\n  hint: leave it out"),
        ("a: !!set {b}", "f:1:4: the tag !!set is not allowed here\n  hint: leave it out"),
        ("a: !!map [b]", "f:1:4: the tag !!map is not allowed here\n  hint: leave it out"),
        ("a: !!int ten", 'f:1:4: "ten" is not !!int\n  hint: leave the tag out'),
        ("a: &x {b: [*x]}", "f:1:4: this alias repeats what it stands in\n  hint: write the value out"),
        ("a: *x", "f:1:4: this alias has no anchor\n  hint: write &NAME before the value that *NAME repeats"),
        (
            "a: 1\n---\nb: 2",
            (
                "f:2:1: a second document begins here; what it belongs to begins at line 1\n"
                '  hint: one file is one document: remove the "---"'
            ),
        ),
        ("a:\n\t- b", "f:2:1: a tab cannot indent\n  hint: indent with spaces"),
        ("a: |\n\tb", "f:2:1: a tab cannot indent; what it belongs to begins at line 1\n  hint: indent with spaces"),
        ("é: ü\nb: @x", "f:2:4: a text cannot begin with @\n  hint: put the text in quotes"),
        ("a: b: c", 'f:1:5: a ":" cannot stand here\n  hint: quote a text that holds ": ", and check the indent'),
        ("a: 'b", "f:1:6: the quote is never closed\n  hint: close it"),
        (
            "a: {b: ${env:X}}",
            'f:1:9: a "," or the closing bracket is missing\n  hint: in brackets, texts as "${env:NAME}" need quotes',
        ),
        (
            "a: [1,",
            "f:2:1: a value is missing here\n  hint: write it, and close every bracket",
        ),
        ('a: "\\q"', "f:1:5: unknown escape\n  hint: write the text in single quotes"),
        (
            "- a\nb: 1",
            "f:2:1: this does not fit what is above it; what it belongs to begins at line 1\n  hint: check the indent",
        ),
        (
            "é: \x00",
            "f:1:4: the character '\\x00' cannot stand in YAML\n  hint: remove it, or escape it in double quotes",
        ),
        (
            "%YAML 2.0\n---\na: 1",
            (
                "f:1:1: not YAML: found incompatible YAML document\n"
                "  hint: check the indent, the quotes and the brackets around it"
            ),
        ),
        ("[" * 200 + "]" * 200, "f:1:102: nested more than 100 deep\n  hint: write it flatter"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    assert told(parse(text, "f")) == [message]


def test_all_problems_of_a_file_are_told_and_the_rest_is_read() -> None:
    document = parse("a: !x 1\nb: {c: 1, c: 2}\n1: 2\nd: fine\n", "f")
    assert [str(problem.where) for problem in document.problems] == ["f:1:4", "f:2:11", "f:3:1"]
    assert document.data == {"a": None, "b": {"c": 1}, "d": "fine"}
    assert document.unresolved == {("a",), ("b",), ()}


def test_aliases_repeat_a_value() -> None:
    document = parse("a: &x {k: [1]}\nb: *x\n", "f")
    assert document.data == {"a": {"k": [1]}, "b": {"k": [1]}}
    assert document.keys[("b",)] == Where("f", 2, 1)


def test_an_alias_bomb_is_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert told(parse("\n".join(lines), "f")) == [
        "f: more than 100,000 values\n  hint: each alias (*NAME) counts as all that it repeats"
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert told(read(tmp_path / "no.yml", "conf/no.yml")) == [
        "conf/no.yml: cannot be read: No such file or directory\n  hint: the file must be there and readable"
    ]


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"a: 1\nb: caf\xe9\n")
    assert told(read(tmp_path / "a.yml", "a.yml")) == ["a.yml:2:7: this is not UTF-8\n  hint: save the file as UTF-8"]


def test_interpolation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "pg"
    secret.write_text("s3cret\n")
    monkeypatch.setenv("HOST", "db.example")
    monkeypatch.setenv("PORT", "5432")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    text = f"""
dsn: postgres://me:${{file:{secret}}}@${{env:HOST}}
port: ${{env:PORT}}
text: "${{env:PORT}}"
part: p${{env:PORT}}
default: ${{env:UNSET:-20}}
nothing: "${{env:EMPTY:-}}"
filled: ${{env:EMPTY:-x}}
literal: $${{env:HOST}} costs $5
list: ["${{env:HOST}}"]
"""
    document = parse(text, "f")
    assert document.problems == ()
    assert document.data == {
        "dsn": "postgres://me:s3cret@db.example",
        "port": 5432,
        "text": "5432",
        "part": "p5432",
        "default": 20,
        "nothing": "",
        "filled": "x",
        "literal": "${env:HOST} costs $5",
        "list": ["db.example"],
    }
    assert document.secrets == {"s3cret", "db.example", "5432"}
    assert document.secret_paths == {
        *(("dsn",), ("port",), ("text",), ("part",), ("default",), ("nothing",), ("filled",), ("list", 0))
    }
    assert document.is_secret(("list",))
    assert document.is_secret(("dsn",))
    assert not document.is_secret(("literal",))


def test_an_interpolation_is_never_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTED", "${env:HOME}")
    assert parse("a: x${env:NESTED}", "f").data == {"a": "x${env:HOME}"}


def test_interpolations_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.setenv("LATIN", "caf\udce9")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    readable = "the file must be there and readable"
    forms = "write ${env:NAME}, ${env:NAME:-default} or ${file:/path}; $${ is a literal ${"
    text = f"""\
a: ${{env:UNSET}} ${{file:{tmp_path}/gone}}
b: ${{vault:x}}
c: ${{env:1X}}
d: "${{env:X"
e: ${{file:relative}}
f: ${{file:{tmp_path}/latin}}
g: ${{env:LATIN}}
"""
    document = parse(text, "f")
    assert told(document) == [
        "f:1:4: the environment variable UNSET is not set\n  hint: export UNSET=... or write ${env:UNSET:-default}",
        f"f:1:4: {tmp_path}/gone cannot be read: No such file or directory\n  hint: {readable}",
        f'f:2:4: "${{vault:x}}" is not an interpolation\n  hint: {forms}',
        f'f:3:4: "${{env:1X}}" is not an interpolation\n  hint: {forms}',
        f'f:4:4: "${{" is not an interpolation\n  hint: {forms}',
        (
            'f:5:4: "${file:relative}": the path must be absolute\n'
            "  hint: write the whole path, like ${file:/run/secrets/NAME}"
        ),
        f"f:6:4: {tmp_path}/latin is not UTF-8\n  hint: save the file as UTF-8",
        "f:7:4: the environment variable LATIN is not UTF-8\n  hint: export it as UTF-8",
    ]
    assert document.unresolved == {(key,) for key in "abcdefg"}


def test_unresolved_texts_stay_and_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "db.example")
    document = parse("a: ${env:HOST}\nb: ${file:/nowhere}\nc: $${x}\nd: ${oops}", "f", resolve=False)
    assert document.data == {"a": "${env:HOST}", "b": "${file:/nowhere}", "c": "$${x}", "d": "${oops}"}
    assert document.secrets == frozenset()
    assert {("a",), ("b",)} <= document.secret_paths
    assert document.unresolved == {("a",), ("b",), ("d",)}
    assert [str(problem.where) for problem in document.problems] == ["f:4:4"]


def test_a_command_line_value_that_is_not_yaml() -> None:
    with pytest.raises(ValueError, match=r"^a value is missing here$"):
        scalar("[1,")
    with pytest.raises(ValueError, match=r"^the character '\\udce9' cannot stand in YAML$"):
        scalar("caf\udce9")
