"""A form with one file in it (multipart/form-data), read as it comes: fields first, then the file's bytes as a stream. Parsing is
python-multipart's; no request, store or event loop may come in here.

The whole is pulled: whoever reads the file pulls the body, so that no more of it is in memory than one piece of each.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ml_dash.errors import InvalidInput

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_FIELDS = 64
"""Parts of a form beside its file."""
MAX_TEXT = 1024 * 1024
"""Bytes of all fields of a form together, and of the headers of all of its parts."""
_MAX_BOUNDARY = 256


class FilePart(NamedTuple):
    """What the head of the file's part tells."""

    filename: str
    content_type: str | None


class Form(io.RawIOBase):
    """One body, and the file in it as a raw stream. `pull` gives its next piece, b"" at its end; `content_type` is the request's header.

    Methods raise `InvalidInput` for what is no such form, and what `pull` raises.
    """

    def __init__(self, content_type: str, pull: Callable[[], bytes]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= _MAX_BOUNDARY:
            raise InvalidInput(
                f"a file is uploaded as multipart/form-data with a boundary; the Content-Type is {content_type[:100]!r}."
            )
        super().__init__()
        self.fields: dict[str, str] = {}
        """What the parts before the file said; of two with one name the last counts."""
        self.late: dict[str, str] = {}
        """What those behind it said, so far."""
        self.file: FilePart | None = None
        self._pull = pull
        self._ready = bytearray()
        self._in_file = self._file_over = self._over = False
        self._count = self._text = 0
        self._header = b""
        self._headers: dict[str, bytes] = {}
        self._field: bytearray | None = None
        self._name = ""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._begin_body,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._close,
            },
        )

    def open_file(self) -> FilePart:
        """Read on to where the file's bytes begin."""
        while self.file is None and self._advance():
            pass
        if self.file is None:
            raise InvalidInput('the form has no file; it belongs into the part "file", with a filename.')
        return self.file

    def readinto(self, target: Buffer) -> int:
        """Some of the file's next bytes; 0 at its end."""
        while not self._ready and not self._file_over:
            self._advance()
        with memoryview(target).cast("B") as view:
            count = min(len(view), len(self._ready))
            view[:count] = self._ready[:count]
        del self._ready[:count]
        return count

    def readable(self) -> bool:
        return True

    def finish(self) -> None:
        """Read to the end of the form. Raises `InvalidInput` where the body ended before."""
        while self._advance():
            pass

    def _advance(self) -> bool:
        """Pull a piece; False where the form is over."""
        if self._over:
            return False
        piece = self._pull()
        if not piece:
            raise InvalidInput("the form ended in the middle: its last boundary did not come.")
        try:
            self._parser.write(piece)
        except FormParserError as e:
            raise InvalidInput(f"the body is no multipart/form-data: {e}") from e
        return True

    # ------------------------------------------------------------ called by the parser

    def _begin(self) -> None:
        self._headers = {}
        self._header = b""
        self._count += 1
        if self._count > MAX_FIELDS + 1:
            raise InvalidInput(f"the form has more than {MAX_FIELDS} parts.")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._counted(end - start)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        name = self._header.decode("latin-1").lower()
        self._headers[name] = self._headers.get(name, b"") + data[start:end]
        self._counted(end - start)

    def _header_end(self) -> None:
        self._header = b""

    def _counted(self, size: int) -> None:
        self._text += size
        if self._text > MAX_TEXT:
            raise InvalidInput(f"the form's fields and headers take more than {MAX_TEXT} bytes.")

    def _begin_body(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b"").decode("latin-1"))
        self._name = _text("name", options.get(b"name", b""))
        if b"filename" not in options:
            self._field = bytearray()
            return
        if self.file is not None:
            raise InvalidInput("the form has two files; send one a request.")
        self._in_file = True
        kind = self._headers.get("content-type", b"").decode("latin-1").strip()
        # As HTML has it: browsers and httpx write a quote in a filename so.
        self.file = FilePart(_text("filename", options[b"filename"]).replace("%22", '"'), kind or None)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._field += data[start:end]
            self._counted(end - start)
        elif self._in_file:
            self._ready += data[start:end]

    def _end(self) -> None:
        if self._field is not None:
            fields = self.fields if self.file is None else self.late
            fields[self._name] = _text(self._name, bytes(self._field))
            self._field = None
        elif self._in_file:
            self._in_file = False
            self._file_over = True

    def _close(self) -> None:
        self._over = True


def _text(what: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise InvalidInput(f"form: {what} is not UTF-8: {e}") from e
