"""No secret leaves: what must never be shown, and text without it.

`conceal` takes a secret that the tap was given or has obtained; from then on `redacted` leaves it
out of any text, however it is escaped or encoded there. What has the shape of one of Stripe's
secrets is left out even where nobody told of it, and so are the values in URLs.

`protect_logs` and `protect_stderr` stand between a command and whoever reads what it says. Records
don't pass through here: `streams.rows` leaves out what is secret in them.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO, cast
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SHORTEST: Final = 8
"""Characters of a secret. Stripe's are all longer, and without every "x" or "stripe" that somebody
enters in place of one, nothing that a run says could be read."""

HIDDEN: Final = "[secret]"
ELLIPSIS: Final = "…"
"""In place of a secret's rest, where its kind stands before it, and of a URL's values."""


def conceal(*secrets: str | None) -> None:
    """Never show these from now on.

    Args:
        secrets: Of any form. None, and what is shorter than `SHORTEST`, is ignored.
    """
    _concealed.add(secrets)


def redacted(text: str) -> str:
    """The text without secrets.

    A key keeps its kind (`sk_live_…`), a URL the names of its parameters (`?limit=…`).
    """
    spans = sorted(_spans(text, _SHAPES))
    if not spans:
        return text
    parts: list[str] = []
    shown = 0
    for start, end, instead in _apart(spans):
        parts += text[shown:start], instead
        shown = end
    return "".join([*parts, text[shown:]])


def printable(text: str) -> str:
    """The text without what a terminal might take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def holds_secret(text: str) -> bool:
    """Whether there is a secret in a text, known or by its shape."""
    return next(_spans(text, _SECRETS), None) is not None


def protect_logs() -> None:
    """Redact what every log handler of this process writes, be it added before or after.

    Done where all handlers format, so that it covers a record as it leaves: its message and
    arguments, its exception with notes and causes, metrics, JSON. What sends records without
    formatting them (`SocketHandler`, `HTTPHandler`) is not covered.
    """
    logging.Handler.format = _redacted_format  # type: ignore[method-assign]


_format: Final = logging.Handler.format


def _redacted_format(self: logging.Handler, record: logging.LogRecord) -> str:
    return redacted(_format(self, record))


def protect_stderr() -> None:
    """Redact what is written to `sys.stderr` by whatever looks it up from now on.

    That is everything but handlers made before: click, warnings, the tracebacks of the interpreter
    and of its threads.
    """
    if sys.stderr is not None and not isinstance(sys.stderr, RedactedStream):
        sys.stderr = cast("TextIO", RedactedStream(sys.stderr))


class RedactedStream:
    """A text stream that redacts line by line, so that no secret passes in pieces.

    Each thread writes lines of its own. It has all that a `TextIO` has but `buffer`, which would
    lead past it.
    """

    def __init__(self, stream: TextIO) -> None:
        """Stand before `stream`."""
        self._stream = stream
        self._lock = threading.RLock()
        self._begun: dict[int, str] = {}
        """By thread: what it wrote of a line that has not ended."""

    def write(self, text: str) -> int:
        """Pass on the lines that `text` completes."""
        with self._lock:
            me = threading.get_ident()
            lines, newline, rest = (self._begun.pop(me, "") + text).rpartition("\n")
            if rest:
                self._begun[me] = rest
            if newline:
                self._stream.write(redacted(lines) + newline)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write them one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on this thread's line as far as it got, and those of threads that have ended."""
        with self._lock:
            others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
            for thread in self._begun.keys() - others:
                self._stream.write(redacted(self._begun.pop(thread)))
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the other stream
        """All else is the other stream's."""
        if name in {"buffer", "detach"}:
            raise AttributeError(name)
        return getattr(self._stream, name)


# --- Where the secrets are in a text -----------------------------------------------------------


class _Span(NamedTuple):
    """A part of a text that is not shown."""

    start: int
    end: int
    instead: str


def _spans(text: str, shapes: Sequence[_Shape]) -> Iterator[_Span]:
    for form in _concealed.forms:
        at = text.find(form.text)
        while at >= 0:
            yield _span(text, at + form.first, at + form.last, form.instead)
            at = text.find(form.text, at + 1)
    yield from _scattered_spans(text)
    for shape in shapes:
        if any(mark in text for mark in shape.marks):
            for found in shape.pattern.finditer(text):
                yield _span(text, *found.span(1), ELLIPSIS)


def _scattered_spans(text: str) -> Iterator[_Span]:
    """Secrets that white space parts, or whose characters are escaped one by one."""
    squeezed = "".join(text.split())
    if squeezed == text and not _ESCAPE.search(text):
        return
    plain = _ESCAPE.sub(_unescaped, squeezed)
    for secret in _concealed.secrets:
        if secret in plain and not _KIND.fullmatch(secret):
            pattern = r"\s*".join(_any_escape(letter) for letter in secret)
            for found in re.finditer(pattern, text):
                if found[0] != secret:
                    yield _span(text, *found.span(), HIDDEN)


_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}")


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[0].lstrip("%\\xu"), 16))


def _any_escape(letter: str) -> str:
    """A pattern for a character, plain or escaped."""
    code = ord(letter)
    escapes = rf"\\u(?i:{code:04x})"
    if code < 128:  # noqa: PLR2004 - of ASCII
        escapes += rf"|%(?i:{code:02x})|\\x(?i:{code:02x})"
    return rf"(?:{re.escape(letter)}|{escapes})"


def _span(text: str, start: int, end: int, instead: str) -> _Span:
    """One that cuts no escape sequence in two: JSON with a secret in it stays JSON."""
    start = max(start, 0)
    while start and text[start - 1] == "\\":
        start -= 1
    hidden = text[start:end]
    if (len(hidden) - len(hidden.rstrip("\\"))) % 2 and text[end : end + 1] in {"\\", "'", '"'}:
        end += 1
    return _Span(start, end, instead)


def _apart(spans: Iterable[_Span]) -> Iterator[_Span]:
    """The same characters in spans that don't touch; of those that do, the first is replaced."""
    spans = iter(spans)
    current = next(spans)
    for span in spans:
        if span.start > current.end:
            yield current
            current = span
        elif span.end > current.end:
            current = current._replace(end=span.end)
    yield current


# --- Secrets that we know ----------------------------------------------------------------------


class _Form(NamedTuple):
    """A secret as it may stand in a text."""

    text: str
    """What to look for."""

    first: int
    """Where the secret begins, from the beginning of `text` on."""

    last: int
    """Where it ends, from there as well."""

    instead: str


class _Concealed:
    """The secrets of this process, in all their forms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.secrets: set[str] = set()
        self.forms: tuple[_Form, ...] = ()

    def add(self, secrets: Iterable[str | None]) -> None:
        parts = {part for secret in secrets if secret for part in _parts(secret)}
        with self._lock:
            new = {part for part in parts if len(part) >= SHORTEST} - self.secrets
            if new:
                self.secrets = self.secrets | new
                self.forms += tuple({form for secret in new for form in _forms(secret)})


def _parts(secret: str) -> Iterator[str]:
    """A secret, and what is left of it where white space is dropped or lines are told apart."""
    yield secret
    yield secret.strip()
    yield " ".join(secret.split())
    yield from (line.strip() for line in secret.splitlines())


_KIND: Final = re.compile(r"[srpe]k_(?:org_)?(?:live_|test_)?|whsec_|ac_|ca_|rt_")


def _forms(secret: str) -> Iterator[_Form]:
    kind = found[0] if (found := _KIND.match(secret)) else ""
    if kind == secret:
        return
    for text in _escaped(_escaped({secret})):
        if text.startswith(kind):
            yield _Form(text, len(kind), len(text), ELLIPSIS if kind else HIDDEN)
    for written in {secret, quote_plus(_utf8(secret)), quote(_utf8(secret), safe="")}:
        for form in _base64_forms(_utf8(written)):
            for text in _escaped({form.text}):
                yield form._replace(text=text, last=len(text) + form.last)


def _base64_forms(secret: bytes) -> Iterator[_Form]:
    """What is sure to be in the base64 of anything that holds the secret; `last` is from its end.

    A character of base64 that holds bits of a neighbour too can be any: it is hidden, unlooked for.
    """
    for before in range(3):
        bits = (before + len(secret)) * 8
        first, last = -(-before * 8 // 6), bits // 6
        shared = _Form("", -1 if before else 0, 1 if bits % 6 else 0, HIDDEN)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield shared._replace(text=encode(bytes(before) + secret).decode()[first:last])


def _escaped(texts: set[str]) -> set[str]:
    """The texts, and each as the encoders of Python and of our libraries write it."""
    return texts | {encode(text) for text in texts for encode in _ENCODERS}


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # environment variables may hold half characters


def _quoting(safe: str) -> Callable[[str], str]:
    return lambda text: quote(_utf8(text), safe=safe)


# Beside both kinds of quotation marks, `repr` escapes one.
_REPRS: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: repr(f"'\"{text}")[4:-1],
    lambda text: ascii(f"'\"{text}")[4:-1],
    lambda text: repr(b"'\"" + _utf8(text))[5:-1],
)

_URL_ENCODERS: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: quote_plus(_utf8(text)),
    _quoting(""),
    _quoting("/"),
    _quoting("!#$%&'()*+,/:;=?@[]~"),  # requests.utils.requote_uri
)

_ENCODERS: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    *_REPRS,
    *(lambda text, encode=encode: encode(text).replace("\\'", "'") for encode in _REPRS),
    *_URL_ENCODERS,
    *(
        lambda text, encode=encode: re.sub("%..", lambda found: found[0].lower(), encode(text))
        for encode in _URL_ENCODERS
    ),
)

_concealed: Final = _Concealed()


# --- Secrets that nobody told us of ------------------------------------------------------------


class _Shape(NamedTuple):
    """What secrets of a kind look like. No pattern takes more than linear time."""

    marks: tuple[str, ...]
    """One of these is in every text that holds one."""

    pattern: re.Pattern[str]
    """Its group is what is not shown."""


_BEGIN: Final = (
    # Not within a word; an escape sequence before it is none.
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2})"
    r"|(?<=\\u[0-9A-Fa-f]{4}))"
)
_STAR: Final = r"(?:[*•]|%2[Aa])"
_REST: Final = rf"(?:\w|{_STAR}|(?:…|\.\.\.)(?=[\w*•]))+"
"""Of a key, as a whole or as Stripe's messages and its dashboard shorten it."""

_RANDOM: Final = r"(?=\w{0,31}[A-Z0-9])\w{12,}"
"""Tokens soon have a capital or a digit, names in code don't."""

_KEYS: Final = ("sk_", "rk_", "pk_", "ek_")

_SECRETS: Final = (
    _Shape(_KEYS, re.compile(rf"{_BEGIN}[srpe]k_(?:org_(?:live_|test_)?|live_|test_)({_REST})")),
    _Shape(_KEYS, re.compile(r"[srpe]k_(?:org_)?(?:live|test)_([A-Za-z0-9]{16,})")),
    _Shape(
        _KEYS,
        re.compile(rf"{_BEGIN}[srpe]k_(?!org_|live_|test_)({_RANDOM}|\w{{0,32}}{_STAR}{_REST})"),
    ),
    _Shape(("whsec_",), re.compile(r"whsec_([\w*+/=]+)")),
    _Shape(("ac_", "ca_", "rt_"), re.compile(rf"{_BEGIN}(?:ac|ca|rt)_({_RANDOM})")),
    _Shape(("_secret_",), re.compile(r"_secret_((?=\w{0,31}[A-Z0-9])\w{8,})")),
    _Shape(
        ("uthorization", "UTHORIZATION"),
        re.compile(r"(?i:authorization)\W{1,10}b?['\"]?(?i:basic|bearer)\s{1,4}([^\s'\",;\\]+)"),
    ),
    _Shape(("Basic ",), re.compile(r"\bBasic ((?=[A-Za-z+/]*[0-9=])[A-Za-z0-9+/]{11,}={0,2})")),
    _Shape(("Bearer ",), re.compile(r"\bBearer ((?=[A-Za-z._~+/-]*[0-9])[\w.~+/-]{16,}=*)")),
)
_SHAPES: Final = (
    *_SECRETS,
    # The values of a URL's query, and the user in front of its host.
    _Shape(
        ("=",),
        re.compile(r"(?:(?<=[^\s?&]\?)|(?<=&))(?:amp;)?[\w.%~\[\]-]{1,64}=([^\s&\"'<>#\\]+)"),
    ),
    _Shape(
        ("@",),
        re.compile(
            r"://([^\s/?#:\"'<>\\]{0,300}:(?!\d{1,5}[/?#\s])[^\s\"'<>\\]{0,300}"
            r"|[^\s/?#\"'<>\\]{1,300})(?=@)"
        ),
    ),
)
