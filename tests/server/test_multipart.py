"""A form with a file, however its bytes are cut and whatever is wrong with it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.errors import InvalidInput
from ml_dash.server.multipart import MAX_FIELDS, MAX_TEXT, FilePart, Form

TYPE = "multipart/form-data; boundary=XX"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain'


def part(head: bytes, body: bytes) -> bytes:
    return b"--XX\r\n" + head + b"\r\n\r\n" + body + b"\r\n"


def field(name: str, value: str) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"'.encode(), value.encode())


def form(body: bytes, size: int = 1 << 16, content_type: str = TYPE) -> Form:
    pieces: Iterator[bytes] = (body[at : at + size] for at in range(0, len(body), size))
    return Form(content_type, lambda: next(pieces, b""))


def everything(read: Form) -> tuple[FilePart, bytes, dict[str, str]]:
    told = read.open_file()
    data = io.BufferedReader(read).read()
    read.finish()
    return told, data, read.fields | {f"late {name}": value for name, value in read.late.items()}


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.integers(1, 400))
def test_a_form_reads_the_same_however_it_is_cut(data: bytes, text: str, size: int) -> None:
    body = field("prefix", text) + part(FILE, data) + field("checksum", "c") + b"--XX--\r\n"
    if b"\r\n--XX" in data or "\r\n--XX" in text:
        return
    told, read, fields = everything(form(body, size))
    assert told == FilePart("a.txt", "text/plain")
    assert read == data
    assert fields == {"prefix": text, "late checksum": "c"}


@given(st.integers(0, 200), st.integers(1, 64))
def test_bytes_that_look_like_a_boundary_are_the_files(at: int, size: int) -> None:
    data = (b"\r\n--X" + b"\r\n--" + b"\r" + b"x" * at) * 3
    _, read, _ = everything(form(part(FILE, data) + b"--XX--", size))
    assert read == data


def test_no_more_is_pulled_than_was_read() -> None:
    """The file of a gigabyte is never in memory: a piece comes when somebody asks."""
    pulled = []

    def pull() -> bytes:
        pulled.append(1)
        return part(FILE, b"x" * 100)[:-2] if len(pulled) == 1 else b"x" * 1000

    read = Form(TYPE, pull)
    read.open_file()
    assert len(pulled) == 1
    target = bytearray(500)
    for count in range(1, 20):
        assert read.readinto(target) <= 500
        assert len(pulled) <= 1 + count


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ('a\\"b.txt', 'a"b.txt'),
        ("a%22b.txt", 'a"b.txt'),
        ("größe ✓.pt", "größe ✓.pt"),
        ("with; semicolon.txt", "with; semicolon.txt"),
    ],
)
def test_filenames_as_clients_spell_them(spelled: str, name: str) -> None:
    head = f'Content-Disposition: form-data; name="file"; filename="{spelled}"'.encode()
    assert form(part(head, b"") + b"--XX--").open_file() == FilePart(name, None)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=XX",
        "multipart/form-data; boundary=" + "X" * 300,
    ],
)
def test_what_is_no_form_is_said_at_once(content_type: str) -> None:
    with pytest.raises(InvalidInput, match="multipart/form-data"):
        form(b"", content_type=content_type)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "ended in the middle"),
        (b"nothing of the kind", "no multipart/form-data"),
        (field("a", "b") + b"--XX--", "has no file"),
        (part(FILE, b"data")[:-6], "ended in the middle"),
        (part(FILE, b"data") + part(FILE, b"data") + b"--XX--", "two files"),
        (field("a", "b") * (MAX_FIELDS + 2), "more than 64 parts"),
        (field("a", "b" * (MAX_TEXT + 1)), "more than 1048576 bytes"),
        (part(b"X: " + b"y" * MAX_TEXT, b""), "multipart/form-data|bytes"),
        (part(b'Content-Disposition: form-data; name="a"', b"\xff") + part(FILE, b""), "not UTF-8"),
        (part(b'Content-Disposition: form-data; name="a"; filename="\xff"', b""), "not UTF-8"),
    ],
    ids=["empty", "garbage", "no-file", "cut", "two", "parts", "field", "header", "text", "filename"],
)
@pytest.mark.parametrize("size", [7, 1 << 16])
def test_what_is_wrong_with_a_form_is_said(body: bytes, told: str, size: int) -> None:
    with pytest.raises(InvalidInput, match=told):
        everything(form(body, size))
