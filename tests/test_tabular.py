"""Files as people have them."""

import csv
import io

import pytest

from notifications.tabular import FORMULA, Table, Writer, digest, plain, safe


def rows(data: bytes, **how: str) -> list[list[str]]:
    table = Table(io.BytesIO(data), **how)
    return [table.header, *(record.cells for record in table)]


TEXT = 'to;body\r\nada;"Grüße; ""Ada"""\r\n'
CELLS = [["to", "body"], ["ada", 'Grüße; "Ada"']]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_its_first_bytes_say_the_encoding(encoding: str) -> None:
    assert rows(TEXT.encode(encoding)) == CELLS


def test_an_encoding_can_be_named() -> None:
    assert rows(TEXT.encode("cp1252"), encoding="cp1252") == CELLS
    with pytest.raises(ValueError, match="no encoding 'klingon'"):
        Table(io.BytesIO(b"to"), encoding="klingon")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter: str) -> None:
    data = f"to{delimiter}body\nada{delimiter}Hello\n".encode()
    assert rows(data) == [["to", "body"], ["ada", "Hello"]]


def test_a_row_that_is_not_in_its_encoding_is_marked_and_the_others_are_read() -> None:
    data = b"to,body\nada,Gr\xfc\xdfe\nbob,Hello\n"
    first, second = Table(io.BytesIO(data))
    assert "not in utf-8" in first.flaw
    assert (second.cells, second.flaw) == (["bob", "Hello"], "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "must name the columns"),
        (b"\n\n", "must name the columns"),
        (b"to,to\n", "names a column twice: to"),
        (b"t\xfc\n", "not in utf-8"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Table(io.BytesIO(data))


def test_rows_are_numbered_without_the_blank_ones_and_flaws_are_told() -> None:
    data = b'to,body\n\nada,"two\nlines"\nbob\n' + b'x,"' + b"y" * 200_000 + b'"\neve,Hello\n'
    found = [(r.number, r.line, r.flaw.partition(":")[0]) for r in Table(io.BytesIO(data))]
    assert found == [
        (1, 4, ""),
        (2, 5, "it has 1 cells instead of 2"),
        (3, 6, "it is not CSV"),
        (4, 7, ""),
    ]


@pytest.mark.parametrize("first", FORMULA)
def test_no_cell_is_a_formula_and_each_is_read_again_as_it_was(first: str) -> None:
    for cell in (f"{first}1+1", f"  {first}cmd"):
        assert not safe(cell).lstrip().startswith(FORMULA)
        assert plain(safe(cell)) == cell
    assert safe("plain") == plain("plain") == "plain"
    assert plain("'quoted'") == "'quoted'"


def test_what_is_written_can_be_read() -> None:
    written = io.StringIO()
    Writer(written).write(["=1", 'a "b"', "c\nd"])
    assert list(csv.reader(io.StringIO(written.getvalue(), newline=""))) == [
        ["'=1", 'a "b"', "c\nd"]
    ]


def test_a_digest_is_of_the_content_alone() -> None:
    assert digest(io.BytesIO(b"a")) == digest(io.BytesIO(b"a")) != digest(io.BytesIO(b"b"))
