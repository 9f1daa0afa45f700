"""Names: which are allowed, and how each is spelled on disk. Pure: nothing here looks at a file system.

A *name* is what the user gave and is shown. A *segment* is the name of one folder or file on disk. Most names are their
own segment; the rest are percent-encoded (UTF-8 bytes, upper-case hex), so that a segment

- is one plain folder name on every file system, Windows' reserved names included;
- never meets a file of ours beside which it may lie;
- takes at most 255 bytes: a longer one becomes "%~" and a hash, and the record in the folder tells the name.

The rules of `check_*` hold in every mode. The encoding (`*_segment`, `*_path`, `fold`, `capitals_encoded`) trusts that
its input has passed them; the choice between two spellings needs to see the siblings and is the store's.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ml_dash.errors import InvalidInput

MAX_SEGMENT_BYTES = 255
"""Bytes of UTF-8 in one segment of a name, and in one segment on disk."""
MAX_NAME_BYTES = 2048
"""Bytes of UTF-8 in a name with all its segments; half of what Linux takes as a path."""

SYSTEM = "_system/"
"""What the names of our own series begin with."""

_QUOTED_AT_MOST = 400

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NEVER_A_NAME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/]|\\A\\.{0,2}\\Z")
_DRIVE = re.compile("[A-Za-z]:")

# "/" and control characters never pass the checks; they are here so that a segment is safe whatever comes.
_UNSAFE = re.compile('[%<>:"|?*\\\\/\x00-\x1f\x7f-\x9f\u2028\u2029]')
# Windows ignores what follows the first dot, and spaces before it. The superscripts count as digits there.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[1-9¹²³]|conin\$|conout\$) *(?:\.|\Z)", re.IGNORECASE)

# Files of ours that lie where a user's name may become a folder: in a series' folder (where `a/data.jsonl` would be),
# in files/ (beside prefixes), in the root and in a project. A run's own folder holds no user's name directly, so
# experiment.json, parameters.json, logs and the like cannot be met. Copies and locks of these add ".something".
_OUR_FILES = (
    "data.jsonl",
    "metadata.json",
    "clock.jsonl",
    "writers.jsonl",
    ".files_metadata.json",
    ".cache",
    ".locks",
    ".namespaces",
    ".server",
    ".lock",
)
_OUR_SUFFIX = ".torn"
_OUR_PREFIX = ".tmp"

_HASHED = re.compile("%~[0-9a-f]{40}")
_ESCAPE = "%[0-9A-F]{2}"
_ESCAPES = re.compile(f"(?:{_ESCAPE})+")
_FOLDING = re.compile(f"({_ESCAPE})|[A-Z]|[^\x00-\x7f]")


def check_run_name(what: str, name: object) -> str:
    """`name` as the name of a run or project: one folder, without a slash or backslash.

    `what` is the argument's name, for the error. Raises `InvalidInput`.
    """
    text = _checked_text(what, name)
    for slash in "/\\":
        if slash in text:
            raise _refused(what, text, f"holds {slash!r}", 'It is one folder: put "-" or "_" there')
    _check_segments(what, text, text)
    return text


def check_series_name(what: str, name: object) -> str:
    """`name` as the name of a metric or track: segments with "/" between them (``train/loss``).

    `what` is the argument's name, for the error. Names of ours (`is_system`) pass. Raises `InvalidInput`.
    """
    text = _checked_text(what, name)
    if text.startswith("/"):
        raise _refused(what, text, "is an absolute path", f"Leave out the leading '/': {_quoted(text.lstrip('/'))}")
    _check_segments(what, text, text)
    return text


def check_filename(what: str, name: object) -> str:
    """`name` as the name that a stored file gets: the rules are `check_series_name`'s. Raises `InvalidInput`."""
    return check_series_name(what, name)


def check_prefix(what: str, prefix: object) -> str:
    """`prefix` as the logical folder of a file, returned as given.

    A leading and a trailing "/" make no difference; "/" alone and "" are the root (as in the published clients).
    Raises `InvalidInput`.
    """
    if isinstance(prefix, str) and not prefix.strip("/"):
        return str.__str__(prefix)
    text = _checked_text(what, prefix)
    _check_segments(what, text, _inner(text))
    return text


def is_system(name: str) -> bool:
    """Whether a series of this name is ours, not the user's."""
    return name.startswith(SYSTEM)


def series_path(name: str) -> tuple[str, ...]:
    """The segments of a series' folder below metrics/ or tracks/; also of a file's name below its id."""
    return tuple(encode_segment(part) for part in name.split("/"))


def prefix_path(prefix: str) -> tuple[str, ...]:
    """The segments of a file prefix below files/; empty for the root."""
    inner = _inner(prefix)
    return series_path(inner) if inner else ()


def encode_segment(name: str) -> str:
    """How the segment `name` is spelled on disk: itself, where no file system and no file of ours minds.

    Different names have different spellings.
    """
    encoded = _UNSAFE.sub(_escaped_match, name)
    if _is_ours(encoded):
        encoded = encoded.replace(".", "%2E")
    if _DEVICE.match(encoded):
        encoded = _escaped(encoded[0]) + encoded[1:]
    if encoded.endswith((".", " ")):
        encoded = encoded[:-1] + _escaped(encoded[-1])
    return encoded if _size(encoded) <= MAX_SEGMENT_BYTES else _hashed(name)


def decode_segment(segment: str) -> str | None:
    """The name that is spelled `segment`; None where the spelling is a hash and only the record in the folder knows.

    A segment that neither `encode_segment` nor `capitals_encoded` makes was named by another program: it is its own
    name.
    """
    if "%" not in segment:
        return segment
    if _HASHED.fullmatch(segment):
        return None
    name = _unescaped(segment)
    if name is None or _NEVER_A_NAME.search(name):
        return segment
    encoded = encode_segment(name)
    return name if segment in (encoded, capitals_encoded(encoded)) else segment


def capitals_encoded(segment: str) -> str:
    """The second spelling of an encoded segment, for where a sibling's `fold` is the same; `decode_segment` reads it.

    Capitals and everything beyond ASCII are percent-encoded; where there is neither (``loss`` beside ``Loss``), the
    first character. What is left has no capitals and only ASCII, so that the second spellings of different names
    fold differently from each other and from all first spellings.
    """
    if _HASHED.fullmatch(segment):
        return segment
    encoded = _FOLDING.sub(lambda match: match[1] or _escaped(match[0]), segment)
    if encoded == segment:
        head = _ESCAPES.match(segment)
        at = head.end() if head else 0
        encoded = segment[:at] + _escaped(segment[at : at + 1]) + segment[at + 1 :]
    if _is_ours(encoded):
        encoded = encoded.replace(".", "%2E")
    return encoded if len(encoded) <= MAX_SEGMENT_BYTES else _hashed(_unescaped(segment) or segment)


def fold(segment: str) -> str:
    """The key by which two segments are one file on a file system that ignores case or Unicode's composition."""
    # Decomposed first: casefold alone treats a composed and a decomposed capital differently.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", segment).casefold())


def _checked_text(what: str, name: object) -> str:
    """`name` as an exact str, after the checks that look at it as a whole."""
    if not isinstance(name, str):
        raise _refused(what, name, f"is of type {type(name).__name__}, not str", "Pass a string")
    text = str.__str__(name)
    if not text:
        raise _refused(what, text, "is empty", "Give it at least one character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _refused(what, text, "holds a lone surrogate, which UTF-8 has no bytes for", "Remove it") from None
    if control := _CONTROL.search(text):
        raise _refused(what, text, f"holds the control character {control[0]!r}", "Remove it")
    if _DRIVE.match(text.lstrip("/")):
        raise _refused(what, text, "begins with a drive letter", "Leave it out, or put another character for ':'")
    if size > MAX_NAME_BYTES:
        raise _refused(what, text, f"takes {size} bytes in UTF-8", f"Shorten it to {MAX_NAME_BYTES} bytes at most")
    return text


def _check_segments(what: str, text: str, inner: str) -> None:
    """Refuse `text` for a segment of `inner`, which is `text` without slashes that do not matter."""
    # A dot segment between backslashes would be one on Windows, where a file's name may end up in a download.
    if dots := {".", ".."}.intersection(re.split(r"[/\\]", inner)):
        raise _refused(what, text, f"has the segment {max(dots)!r}", "Leave it out: a name cannot point elsewhere")
    for segment in inner.split("/"):
        if not segment:
            raise _refused(what, text, "has an empty segment", "Write one '/' between segments and none at the end")
        if (size := _size(segment)) > MAX_SEGMENT_BYTES:
            remedy = f"Shorten it to {MAX_SEGMENT_BYTES} bytes at most"
            raise _refused(what, text, f"has a segment of {size} bytes in UTF-8", remedy)


def _refused(what: str, name: object, fault: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"{what} {_quoted(name)} {fault}. {remedy}.")


def _quoted(name: object) -> str:
    quoted = repr(name)
    return quoted if len(quoted) <= _QUOTED_AT_MOST else f"{quoted[:_QUOTED_AT_MOST]}…"


def _inner(prefix: str) -> str:
    return prefix.lstrip("/").removesuffix("/")


def _is_ours(segment: str) -> bool:
    folded = fold(segment)
    return (
        folded.startswith((_OUR_PREFIX, *(f"{file}." for file in _OUR_FILES)))
        or folded.endswith(_OUR_SUFFIX)
        or folded in _OUR_FILES
    )


def _escaped(text: str) -> str:
    # surrogatepass: a foreign folder's undecodable name passes through here on its way to being told apart.
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _escaped_match(match: re.Match[str]) -> str:
    return _escaped(match[0])


def _unescaped(segment: str) -> str | None:
    """`segment` with each escape decoded; None where the bytes are no UTF-8."""
    try:
        return _ESCAPES.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), segment)
    except UnicodeDecodeError:
        return None


def _hashed(name: str) -> str:
    return "%~" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
