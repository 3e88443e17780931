"""What goes wrong, by plan or by chance: errors, cut connections, broken bodies, delays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from threading import Lock
from typing import TYPE_CHECKING, Literal, get_args

from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.ids import dice
from tests.fake_stripe.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tests.fake_stripe.request import Request

FaultKind = Literal[
    "status", "reset", "drop", "truncated", "not_json", "stall", "lock_timeout", "rate_limit"
]
RANDOM_KINDS: tuple[FaultKind, ...] = (
    "status",
    "reset",
    "drop",
    "truncated",
    "not_json",
    "lock_timeout",
    "rate_limit",
)

Moment = Literal["before", "during", "after"]
"""When a token exchange goes wrong: before anything is done; once it has begun, still without
effect; or when the work is done and only the answer is lost."""

NOT_JSON = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    * `status`: an error with that HTTP status, and `body` instead of Stripe's if given
    * `reset`: half of the body, then the connection is reset
    * `drop`: the connection is closed without an answer
    * `truncated`: half of the JSON, with a Content-Length that fits it
    * `not_json`: 200 with a proxy's HTML page
    * `stall`: nothing for `seconds`, then the right answer
    * `lock_timeout`: `status` 429 (or 409) with code `lock_timeout`
    * `rate_limit`: 429 with code `rate_limit`
    """

    path: str
    """Path, or a pattern of one (`/v1/invoices/*/lines`)."""

    kind: FaultKind
    times: float = 1
    """How many requests it hits; `math.inf` for all."""

    after: int = 0
    """How many matching requests pass before."""

    status: int = 500
    body: bytes | None = None
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    when: Moment | None = None
    """For token exchanges; None: `after` where the answer is broken, else `before`."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.when == "during" and not self.is_error and self.kind != "stall":
            msg = f"{self.kind} breaks the answer, which is there before or after the work"
            raise ValueError(msg)

    @property
    def moment(self) -> Moment:
        """When a token exchange is hit."""
        return self.when or ("before" if self.is_error or self.kind == "stall" else "after")

    @property
    def is_error(self) -> bool:
        """Whether Stripe answers, with an error."""
        return self.kind in {"status", "lock_timeout", "rate_limit"}

    def spoil(self, answer: Answer, request: Request) -> Answer:
        """The answer as this leaves it."""
        if self.kind == "stall":
            return answer
        if self.is_error:
            failed = self.error().answer(request)
            return failed if self.body is None else replace(failed, body=self.body)
        if self.kind == "not_json":
            return Answer(status=200, body=NOT_JSON, headers={"Content-Type": "text/html"})
        if self.kind == "truncated":
            return Answer(status=200, body=answer.body[: len(answer.body) // 2])
        return Answer(status=answer.status, body=answer.body, cut=self.kind)

    def error(self) -> StripeError:
        """The error that the kinds with one answer."""
        if self.kind == "lock_timeout":
            return StripeError(
                self.status,
                "This object cannot be accessed right now because another API request or Stripe"
                " process is currently accessing it. If you see this error intermittently, retry"
                " the request.",
                code="lock_timeout",
                headers=self.headers,
            )
        if self.kind == "rate_limit":
            return rate_limited(reason="global-rate", headers=self.headers)
        if self.status < 500:
            return StripeError(self.status, "The request failed.", headers=self.headers)
        return StripeError(
            self.status,
            "An unknown error occurred",
            kind="api_error",
            headers=self.headers,
        )


class Faults:
    """The plan of what goes wrong."""

    def __init__(self) -> None:
        """Start with nothing planned."""
        self._lock = Lock()
        self._planned: list[Fault] = []
        self._dice: Random | None = None
        self._rate = 0.0
        self._kinds: Sequence[FaultKind] = RANDOM_KINDS
        self._seconds = 0.0

    def plan(self, fault: Fault) -> None:
        """Add a fault; of several that match a request, the first one planned hits."""
        with self._lock:
            self._planned.append(fault)

    def at_random(self, seed: int, rate: float, kinds: Sequence[FaultKind], seconds: float) -> None:
        """Let any request fail with probability `rate`; stalls last so many seconds."""
        unknown = set(kinds) - set(get_args(FaultKind))
        if unknown:
            msg = f"no such kinds of fault: {sorted(unknown)}"
            raise ValueError(msg)
        with self._lock:
            self._dice = dice("faults", seed)
            self._rate = rate
            self._kinds = kinds
            self._seconds = seconds

    def clear(self) -> None:
        """Nothing goes wrong from here on."""
        with self._lock:
            self._planned.clear()
            self._rate = 0.0

    def next(self, request: Request) -> Fault | None:
        """The fault that hits this request, used up by asking."""
        if not self._planned and not self._rate:
            return None
        with self._lock:
            for fault in self._planned:
                if fault.path != request.path and not fnmatchcase(request.path, fault.path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                elif fault.times > 0:
                    fault.times -= 1
                    return fault
            if self._dice is not None and self._dice.random() < self._rate:
                kind = self._dice.choice(self._kinds)
                status = 429 if kind == "lock_timeout" else self._dice.choice((500, 502, 503))
                return Fault(path=request.path, kind=kind, status=status, seconds=self._seconds)
        return None


def rate_limited(*, reason: str, headers: dict[str, str] | None = None) -> StripeError:
    """The 429 of a rate limit; `reason` is `global-rate`, `endpoint-concurrency` and so on."""
    return StripeError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here"
        " https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        headers={**(headers or {}), "Stripe-Rate-Limited-Reason": reason},
    )
