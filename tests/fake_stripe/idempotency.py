"""`Idempotency-Key`: the answer to a POST is kept, and given again instead of a second execution.

https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_stripe.request import Request

KEPT = 24 * 3600.0
"""Seconds that an answer is kept."""


@dataclass(slots=True)
class Execution:
    """The one execution that an idempotency key stands for."""

    request: Request
    answer: Answer | None = None
    """None while it is under way."""

    def repeated(self, request: Request) -> Answer:
        """What a request with the same idempotency key gets.

        Raises:
            StripeError: It isn't the same request, or the first is under way.
        """
        key = request.headers["idempotency-key"]
        if (request.path, request.form) != (self.request.path, self.request.form):
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were"
                f" first used with. Try using a key other than '{key}' if you meant to execute a"
                " different request.",
                kind="idempotency_error",
            )
        if self.answer is None:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {key}.",
                code="idempotency_key_in_use",
            )
        return Answer(
            status=self.answer.status,
            body=self.answer.body,
            headers={"Idempotent-Replayed": "true", "Original-Request": self.request.id},
        )


class Idempotency:
    """Executes each request once that says which it is."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Keep answers by the clock `now`."""
        self._now = now
        self._lock = Lock()
        self._executions: dict[tuple[str, str], Execution] = {}

    def answer(self, api_key: str, request: Request, execute: Callable[[], Answer]) -> Answer:
        """The answer that was kept, or else that of `execute`, kept from now on.

        Raises:
            StripeError: The idempotency key was used for something else, or is in use.
        """
        name = request.headers.get("idempotency-key")
        if not name:
            return execute()
        with self._lock:
            first = self._executions.get((api_key, name))
            if first is None or first.request.time + KEPT <= self._now():
                first = None
                execution = self._executions[api_key, name] = Execution(request)
        if first is not None:
            return first.repeated(request)
        # A copy: the answer that goes out now is given headers of its own.
        answer = execute()
        execution.answer = Answer(status=answer.status, body=answer.body)
        return answer
