"""What an object store's failure means and what to do about it, in this package's errors. Nothing is sent from here.

What S3 says, not the class that obstore raises, decides: the same refusal is one class for a GET and another for a listing.
A refusal is `Unavailable` as well, since it is the server's right that is missing and not its client's: the client waits, and
whoever runs the server reads the instruction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions

from ml_dash.errors import Conflict, CorruptData, InvalidInput, NotFound, Unavailable

RETRY_AFTER = 1.0
"""Seconds to wait for what passes by itself."""
FIX_AFTER = 30.0
"""Seconds to wait for what a person has to change."""

_LOGIN = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN where there is one), or AWS_PROFILE to a profile "
    "of ~/.aws/credentials."
)
_ADVICE = {
    "InvalidAccessKeyId": f"it does not know the access key. {_LOGIN}",
    "SignatureDoesNotMatch": f"the secret key is not the access key's. {_LOGIN}",
    "InvalidToken": f"the session token is not valid. {_LOGIN}",
    "ExpiredToken": f"the session token has expired. {_LOGIN}",
    "RequestTimeTooSkewed": "this machine's clock and the store's are too far apart. Set the clock, by NTP for good.",
    "AccessDenied": "the credentials lack a right. Allow s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and "
    "s3:DeleteObject on what is in it.",
    "AllAccessDisabled": "all access to the bucket is disabled; ask its owner.",
    "NoSuchBucket": "there is no such bucket. Create it, or correct the bucket's name.",
    "PermanentRedirect": "the bucket is in another region. Set AWS_REGION to it.",
    "AuthorizationHeaderMalformed": "the bucket is in another region. Set AWS_REGION to it.",
    "NotImplemented": "it lacks an operation that is needed. It must take If-None-Match with PUT; where it cannot delete many "
    "objects at once, set AWS_DISABLE_BULK_DELETE=true.",
}
_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_SAID = re.compile(r"<Message>\s*(.*?)\s*</Message>", re.DOTALL)
_STATUS = re.compile(r"status code: (\d+)")
_SIGNS = (
    (
        re.compile(r"169\.254\.\d+\.\d+|fd00:ec2|/credentials/|[Mm]etadata token"),
        f"no credentials were found. {_LOGIN}",
    ),
    (re.compile("without LOCATION"), _ADVICE["PermanentRedirect"]),
    (
        re.compile("ETag Header missing|Invalid list response|Invalid.*response"),
        "what answers is not an object store. Correct the endpoint.",
    ),
)
_KINDS = {
    "Timeout": "it did not answer in time",
    "Connect": "it cannot be reached; look at the endpoint and the network",
}
_MOST = 300
"""Characters of a foreign text that are passed on."""


@contextmanager
def in_words(url: str, key: str) -> Iterator[None]:
    """Around a call of obstore about the object `key` of the store `url`: what it raises becomes an error of ours."""
    try:
        yield
    except FileNotFoundError as e:
        code = _found(_CODE, str(e))
        if code is None or code in {"NoSuchKey", "NoSuchVersion", "NotFound"}:
            raise NotFound(f"{url}/{key}: there is no such object.") from e
        raise _unavailable(url, str(e)) from e
    except exceptions.AlreadyExistsError as e:
        raise Conflict(f"{url}/{key}: there is such an object already.") from e
    except (exceptions.BaseError, OSError) as e:
        if _out_of_range(str(e)):
            raise CorruptData(f"{url}/{key}", 0, "the object is shorter than it was written") from e
        raise _unavailable(url, str(e)) from e
    except ValueError as e:
        raise InvalidInput(f"{url}/{key}: the store cannot hold such a key: {_short(str(e))}") from e


def passing(error: Unavailable) -> bool:
    """Whether it may pass by itself, as an outage does."""
    return error.retry_after != FIX_AFTER


def _unavailable(url: str, text: str) -> Unavailable:
    code, status = _found(_CODE, text), _found(_STATUS, text)
    advice = _ADVICE.get(code or "")
    if advice is None and code is None:
        advice = next((then for sign, then in _SIGNS if sign.search(text)), None)
    if advice is None and status in {"401", "403"}:
        advice = f"it refuses ({code or status}: {_found(_SAID, text) or 'it does not say why'}). {_LOGIN}"
    if advice is not None:
        return Unavailable(f"{url}: {advice}", FIX_AFTER)
    if status is not None:
        said = _found(_SAID, text)
        return Unavailable(
            f"{url}: it answers {status}{f', {code}' if code else ''}{f': {said}' if said else ''}.", RETRY_AFTER
        )
    kind = next((why for sign, why in _KINDS.items() if f"kind: {sign}" in text), None)
    return Unavailable(f"{url}: {kind or _short(text)}.", RETRY_AFTER)


def _out_of_range(text: str) -> bool:
    return _found(_STATUS, text) == "416" or "InvalidRange" in text or "Invalid range" in text


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _short(text: str) -> str:
    said = " ".join(text.partition("\n\nDebug source:")[0].split()).rstrip(".")
    return said if len(said) < _MOST else said[:_MOST] + " …"
