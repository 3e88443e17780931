"""The server: what a test starts, seeds, breaks and asks what it was asked."""

from __future__ import annotations

import time
from email.utils import formatdate
from itertools import count
from threading import Event, Thread
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_stripe_conn.catalogue.resources import load_catalogue
from tests.fake_stripe.clock import Clock
from tests.fake_stripe.consent import consent, token_path
from tests.fake_stripe.errors import (
    StripeError,
    bad_parameter,
    missing,
    refusal,
    refuse_bad_version,
    unknown_url,
)
from tests.fake_stripe.faults import RANDOM_KINDS, Fault, Faults
from tests.fake_stripe.filters import refuse_unknown
from tests.fake_stripe.ids import scramble
from tests.fake_stripe.keys import Keys, permission_for
from tests.fake_stripe.life import FEEDS, Life
from tests.fake_stripe.lists import Pages
from tests.fake_stripe.oauth import PATHS, OAuth
from tests.fake_stripe.rates import RateLimits
from tests.fake_stripe.rendering import encode, expansions
from tests.fake_stripe.seeding import Seeding
from tests.fake_stripe.store import Account
from tests.fake_stripe.token_endpoint import TokenEndpoint
from tests.fake_stripe.wire import Answer, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from tap_stripe_conn.catalogue.resources import Catalogue, Resource
    from tests.fake_stripe.errors import Refusal
    from tests.fake_stripe.faults import FaultKind, Moment
    from tests.fake_stripe.keys import Key, Omission
    from tests.fake_stripe.request import Request
    from tests.fake_stripe.routes import Route
    from tests.fake_stripe.store import Listing, Row

KEEPS_A_STUB = frozenset(
    {"customers", "terminal_configurations", "terminal_locations", "terminal_readers"}
)
"""Streams whose deleted objects can be retrieved as `{"id", "object", "deleted": true}`.

Those that Stripe's OpenAPI description says so of; `stubs` of a server may be changed.
"""

ALSO_RETRIEVED = {"tax_ids": ("customer_tax_ids",)}
"""Docstring of TaxIdService.retrieve: "Retrieves an account or customer tax_id object"."""


class FakeStripe(Seeding):
    """Stripe on loopback: a context manager; see the package's docstring."""

    def __init__(
        self,
        *,
        livemode: bool = False,
        port: int = 0,
        secret_key: str | None = None,
        catalogue: Catalogue | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make an empty account; `port` 0 takes a free one, `secret_key` None makes one."""
        super().__init__(catalogue or load_catalogue(), livemode=livemode)
        self.now = now
        """The clock, in Unix seconds."""

        self.latency: float | Mapping[str, float] = 0.0
        """Seconds that an answer takes: for all, or by path."""

        self.before_request: Callable[[Request], None] | None = None
        """Called with each request before it is answered: a hook to change things midway."""

        self.stalling = Event()
        """Set when a token exchange stalls."""

        self.stubs = set(KEEPS_A_STUB)
        """Streams whose deleted objects are retrieved as stubs, where others are a 404."""

        self.rates = RateLimits()
        """`per_second`, `per_endpoint` and `concurrency`, each None until set."""

        self.requests: list[Request] = []
        """Every request so far, in order of arrival."""

        self.keys = Keys(self.account_id, livemode=livemode, now=self._clock, secret_key=secret_key)
        self.secret_key = self.keys.secret
        self.oauth = OAuth(self.keys, account=self.account_id, livemode=livemode, now=self._clock)
        """The application that accounts grant access to; its settings may be changed."""

        self._lives: dict[str, Life] = {}
        self._faults = Faults()
        self._disabled: dict[str, Refusal] = {}
        self._pages = Pages(self._renderer)
        self._numbers = count(1)
        self._stopping = Event()
        self._token_endpoint = TokenEndpoint(
            self.oauth, self.keys, now=self._clock, wait=self._stall
        )
        self._port = port
        self._wire: Wire | None = None
        self._thread: Thread | None = None

    @property
    def clock(self) -> Clock:
        """The clock, to be put forward: `stripe.clock.advance(days=40)`."""
        if not isinstance(self.now, Clock):
            self.now = Clock(self.now)
        return self.now

    @property
    def life(self) -> Life:
        """What happens in the platform's account, told by events."""
        return self.life_of(self.account_id)

    def life_of(self, account: str) -> Life:
        """What happens in an account, told by events."""
        with self.lock:
            if account not in self._lives:
                self._lives[account] = Life(self, account)
            return self._lives[account]

    # --- Running ---------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen, and answer in a thread."""
        self._stopping.clear()
        self._wire = Wire(self._port, self._answer)
        self._thread = Thread(
            target=self._wire.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hang up on everybody and stop listening."""
        if self._wire is None or self._thread is None:
            return
        self._stopping.set()
        self._wire.shutdown()
        self._wire.end_connections()
        self._wire.server_close()
        self._thread.join()
        self._wire = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens: both `api_base` and `connect_base`."""
        if self._wire is None:
            msg = "the server is not running"
            raise RuntimeError(msg)
        return f"http://127.0.0.1:{self._wire.server_address[1]}"

    # --- Keys and accounts -----------------------------------------------------------------

    def permission_for(self, stream: str) -> str:
        """The permission that a restricted key needs for a stream (`rak_charge_read`)."""
        return permission_for(self.catalogue.resources[stream], self.catalogue.resources)

    def restricted_key(
        self,
        permissions: Collection[str],
        *,
        connect: bool = True,
        omits: Collection[Omission] = (),
    ) -> str:
        """A key with only these permissions.

        Args:
            permissions: `rak_charge_read` and so on.
            connect: Whether it may be used on connected accounts.
            omits: What its refusals lack: the permission's `name`, the `code`, or the `body`.
        """
        return self.keys.make(
            "restricted", permissions=permissions, connect=connect, omits=omits
        ).text

    def expired_key(self) -> str:
        """A key that was valid once."""
        return self.keys.make("restricted", state="expired").text

    def other_mode_key(self) -> str:
        """The secret key of the other mode, in which there are no objects."""
        return self.keys.make("secret", livemode=not self.livemode).text

    def org_key(self, permissions: Collection[str] | None = None) -> str:
        """An organization's key, which needs `Stripe-Context` and `Stripe-Version`."""
        return self.keys.make("organization", permissions=permissions).text

    def publishable_key(self) -> str:
        """A key for browsers, which may not read."""
        return self.keys.make("publishable").text

    def allowlisted_key(self) -> str:
        """A secret key that only works from another address."""
        return self.keys.make("secret", other_address_only=True).text

    def oauth_token(self, account: str, *, path: str = "/oauth/token") -> str:
        """An access token that an account granted, by Connect or by Apps as `path` says."""
        return self.oauth.access_token(self._account(account).id, path)

    def refresh_token(self, account: str, *, path: str = "/oauth/token") -> str:
        """A refresh token for Connect's endpoint, or for Apps' (`path="/v1/oauth/token"`)."""
        return self.oauth.refresh_token(self._account(account).id, path)

    @override
    def disconnect(self, identifier: str) -> None:
        super().disconnect(identifier)
        self.oauth.revoke(identifier)

    # --- What goes wrong -------------------------------------------------------------------

    def disable(self, stream: str, refusal_name: Refusal = "not_enabled") -> None:
        """Refuse a stream as Stripe does to accounts without the product, or in this mode."""
        self._disabled[stream] = refusal_name

    def fault(  # noqa: PLR0913 - one keyword for each thing a test may want to set
        self,
        path: str,
        kind: FaultKind = "status",
        *,
        times: float = 1,
        after: int = 0,
        status: int | None = None,
        body: bytes | None = None,
        seconds: float = 0.0,
        should_retry: bool | None = None,
        headers: Mapping[str, str] | None = None,
        when: Moment | None = None,
    ) -> None:
        """Let requests to a path, or to all that match a pattern (`*`), go wrong.

        Args:
            path: Path, or a pattern as for the shell.
            kind: What goes wrong, see `Fault`.
            times: How many requests, `math.inf` for all from then on.
            after: How many matching requests succeed before.
            status: The HTTP status, for `status` (500) and `lock_timeout` (429).
            body: What is sent instead of Stripe's error.
            seconds: How long a `stall` lasts.
            should_retry: Sends `Stripe-Should-Retry`.
            headers: Sent with the error.
            when: For token requests: whether the exchange is done nevertheless (`after`) or not
                (`before`; `during`: neither, but Stripe keeps the error for the idempotency key).
                None: `after` for what breaks an answer (`reset`, `drop`, `truncated`,
                `not_json`), else `before`.
        """
        extra = dict(headers or {})
        if should_retry is not None:
            extra["Stripe-Should-Retry"] = "true" if should_retry else "false"
        self._faults.plan(
            Fault(
                path=path,
                kind=kind,
                times=times,
                after=after,
                status=status or (429 if kind == "lock_timeout" else 500),
                body=body,
                seconds=seconds,
                headers=extra,
                when=when,
            )
        )

    def random_faults(
        self,
        *,
        seed: int,
        rate: float,
        kinds: Sequence[FaultKind] = RANDOM_KINDS,
        seconds: float = 0.0,
    ) -> None:
        """Let any request go wrong with probability `rate`; a `stall` lasts so many seconds."""
        self._faults.at_random(seed, rate, kinds, seconds)

    def clear_faults(self) -> None:
        """Nothing goes wrong from here on."""
        self._faults.clear()

    # --- What was asked --------------------------------------------------------------------

    def list_pages(self, stream: str | None = None) -> list[Request]:
        """The list requests that were answered with a page, of one stream or of all."""
        return [
            request
            for request in list(self.requests)
            if request.is_list and request.status == 200 and stream in {None, request.stream}
        ]

    @property
    def token_requests(self) -> list[Request]:
        """The requests to either token endpoint, however they were answered."""
        return [
            request
            for request in list(self.requests)
            if request.method == "POST" and request.path in PATHS
        ]

    # --- Answering -------------------------------------------------------------------------

    def _answer(self, request: Request) -> Answer:
        started = time.monotonic()
        request.id = f"req_{scramble('request', next(self._numbers))[:14]}"
        request.time = self.now()
        self.requests.append(request)
        if self.before_request is not None:
            self.before_request(request)
        seconds = (
            self.latency
            if isinstance(self.latency, (int, float))
            else self.latency.get(request.path, 0.0)
        )
        fault = self._faults.next(request)
        answer = (
            self._exchanged(request, fault, seconds)
            if request.method == "POST" and request.path in PATHS
            else self._limited(request, fault, seconds)
        )
        answer.headers = {
            "Content-Type": "application/json",
            "Date": formatdate(request.time, usegmt=True),
            "Request-Id": request.id,
            "Server": "nginx",
            "Stripe-Version": request.headers.get("stripe-version") or self.account_version,
            **answer.headers,
        }
        request.status = None if answer.cut else answer.status
        request.seconds = time.monotonic() - started
        return answer

    def _clock(self) -> float:
        return self.now()

    def _stall(self, seconds: float) -> None:
        self.stalling.set()
        self._stopping.wait(seconds)

    def _exchanged(self, request: Request, fault: Fault | None, seconds: float) -> Answer:
        if seconds:
            self._stopping.wait(seconds)
        return self._token_endpoint.answer(request, fault)

    def _limited(self, request: Request, fault: Fault | None, seconds: float) -> Answer:
        """The answer, within the rate limits and as late as asked."""
        if fault and fault.kind == "stall":
            seconds += fault.seconds
        try:
            answer = self._read(request, seconds)
        except StripeError as error:
            answer = error.answer(request)
        return fault.spoil(answer, request) if fault else answer

    def _read(self, request: Request, seconds: float) -> Answer:
        if request.method == "GET" and (path := token_path(request.path)):
            return consent(self.oauth, request, path)
        route = self._routes.match(request.path)
        if route is None or request.method != "GET":
            raise unknown_url(request.method, request.path)
        request.stream = route.resource.name
        request.is_list = route.kind == "list"
        key = self.keys.authenticate(request.headers)
        refuse_bad_version(request.headers.get("stripe-version"))
        request.account = self.keys.account(key, request.headers, self._accounts)
        with self.rates.admit(request.account, route.resource.path):
            if seconds:
                self._stopping.wait(seconds)
            return Answer(status=200, body=self._body(request, route, key))

    def _body(self, request: Request, route: Route, key: Key) -> bytes:
        resource = self._asked(request, route)
        request.stream = resource.name
        self.keys.permit(key, self.permission_for(resource.name), request.account or "")
        if name := self._disabled.get(resource.name):
            raise refusal(name, request.method, request.path)
        if resource.api_mode == "v2" and "stripe-version" not in request.headers:
            raise StripeError(
                400,
                "Requests to API v2 need the Stripe-Version header.",
                code="missing_required_header",
            )
        refuse_unknown(request, route.parameters)
        with self.lock:
            account = self._accounts[request.account or self.account_id]
            if route.kind == "singleton":
                row = self._singleton(account, resource)
                tree = expansions(request.arrays.get("expand", []), is_list=False)
                sent = self._renderer.sent(account, row, tree)
                if "livemode" in sent:
                    sent["livemode"] = key.livemode
                return encode(sent)
            if key.livemode != self.livemode:
                account = Account(account.id)
            if resource.name in FEEDS and account.id in self._lives:
                self._lives[account.id].settle()
            if route.kind == "retrieve":
                return self._retrieved(request, route, account)
            where, listing = self._listing(request, resource, route.parent, account)
            if resource.api_mode == "v2":
                return self._pages.v2(account, listing, resource, request)
            return self._pages.v1(account, listing, route.resource, request, where)

    def _asked(self, request: Request, route: Route) -> Resource:
        """The stream that is asked for: the path's, or one that a parameter makes of it."""
        for other in self._routes.by_path[route.resource.path]:
            if (
                other is not route.resource
                and other.parent
                and other.parent.param in request.params
            ):
                return other
        return route.resource

    def _listing(
        self, request: Request, resource: Resource, parent_id: str | None, account: Account
    ) -> tuple[dict[str, str], Listing]:
        """The rows that a list is taken from, and what they are narrowed to by their parent."""
        parent = resource.parent
        if parent is None:
            return {}, account.listing(resource.name)
        names = parent.params if parent.location == "path" else (parent.param, *parent.params)
        for name in names:
            if name not in request.params:
                raise bad_parameter(
                    param=name,
                    message=f"Missing required param: {name}.",
                    code="parameter_missing",
                )
        identifier = parent_id or request.params[parent.param]
        if account.row(parent.stream, identifier) is None:
            kind = self.catalogue.resources[parent.stream].objects[0]
            if parent.location == "path":
                raise missing(kind, identifier)
            raise missing(kind, identifier, status=400, param=parent.param)
        if link := self._link(resource.name):
            return {link: identifier}, account.listing(self.stored_in(resource.name))
        return {}, account.listing(resource.name, identifier)

    def _retrieved(self, request: Request, route: Route, account: Account) -> bytes:
        resource = route.resource
        identifier = route.id or ""
        tree = expansions(request.arrays.get("expand", []), is_list=False)
        if resource.name == "accounts" and identifier == account.id:
            own = self._singleton(account, self.catalogue.resources["account"])
            return encode(self._renderer.sent(account, own, tree))
        row = self._retrievable(route, account)
        if row is None:
            deleted = account.deleted.get(resource.name, {}).get(identifier)
            if deleted is None or resource.name not in self.stubs:
                raise missing(resource.objects[0], identifier)
            stub = {"id": identifier, "object": deleted["object"], "deleted": True}
            return encode(stub)
        return encode(self._renderer.sent(account, row, tree))

    def _retrievable(self, route: Route, account: Account) -> Row | None:
        """The row that a path names, below the parent that it names."""
        resource, identifier = route.resource, route.id or ""
        stored_in = self.stored_in(resource.name)
        if route.parent is None:
            streams = (stored_in, *ALSO_RETRIEVED.get(stored_in, ()))
            return next(filter(None, (account.row(name, identifier) for name in streams)), None)
        above = resource.parent.stream if resource.parent else ""
        if account.row(above, route.parent) is None:
            raise missing(self.catalogue.resources[above].objects[0], route.parent)
        if link := self._link(resource.name):
            row = account.row(stored_in, identifier)
            return row if row and row.object.get(link) == route.parent else None
        return account.row(stored_in, identifier, route.parent)
