"""Stripe's list endpoints and one-row endpoints, read from the SDK's service classes."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.catalogue.attributes import Objects, Page, annotated, is_generic, parse
from tools.catalogue.sdk import UnresolvedNameError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_stripe_conn.catalogue.resources import CreatedFilter
    from tools.catalogue.sdk import Sdk, SdkClass


@dataclass(frozen=True)
class Parameter:
    """A query parameter of an endpoint."""

    name: str
    required: bool
    annotation: str
    doc: str


@dataclass(frozen=True)
class Endpoint:
    """A GET of Stripe's API and what it answers with."""

    path: str
    is_list: bool
    classes: tuple[SdkClass, ...]
    """Classes of the rows; more than one where Stripe mixes kinds."""
    parameters: dict[str, Parameter]
    created_filter: CreatedFilter | None

    @property
    def required_parameters(self) -> list[str]:
        """Query parameters without which Stripe refuses the request."""
        return [name for name, parameter in self.parameters.items() if parameter.required]


def endpoints(sdk: Sdk) -> dict[str, Endpoint]:
    """Every GET that answers with a list or with one object, by path.

    Raises:
        UnresolvedNameError: A name in a service class leads nowhere.
    """
    found: dict[str, Endpoint] = {}
    for service in _services(sdk):
        for method in service.node.body:
            if isinstance(method, ast.FunctionDef) and (path := _get_path(method)):
                endpoint = _endpoint(sdk, service, method, path)
                if endpoint and not (path in found and found[path].is_list):
                    found[path] = endpoint
    return found


def _services(sdk: Sdk) -> Iterator[SdkClass]:
    for module in sdk.modules("_*_service.py"):
        yield from module.classes.values()


def _get_path(method: ast.FunctionDef) -> str | None:
    """The path that a method gets, braces around its variables; None if it does something else."""
    for node in ast.walk(method):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="_request"),
                args=[ast.Constant(value="get"), path, *_],
            ):
                return _template(path)
    return None


def _template(path: ast.expr) -> str:
    match path:
        case ast.Constant(value=str(text)):
            return text
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return text
    msg = f"unknown way to write a path: {ast.unparse(path)}"
    raise UnresolvedNameError(msg)


def _endpoint(sdk: Sdk, service: SdkClass, method: ast.FunctionDef, path: str) -> Endpoint | None:
    if method.returns is None:
        return None
    returns = method.returns
    if isinstance(returns, ast.Constant):
        returns = ast.parse(str(returns.value), mode="eval").body
    match returns:
        case ast.Subscript(value=ast.Name(id="ListObject")):
            form = parse(sdk, returns, service)
            rows = form.items if isinstance(form, Page) else form
        case ast.Name() | ast.Attribute():
            rows = parse(sdk, returns, service)
        case _:
            return None  # searches and downloads
    if not isinstance(rows, Objects):
        return None
    is_list = isinstance(returns, ast.Subscript)
    params = _params_class(sdk, service, method)
    return Endpoint(
        path=path,
        is_list=is_list,
        classes=rows.classes,
        parameters=_parameters(params),
        created_filter=_created_filter(sdk, params),
    )


def _parameters(params: SdkClass | None) -> dict[str, Parameter]:
    if params is None:
        return {}
    return {
        name: Parameter(
            name=name,
            required=not is_generic(annotation, "NotRequired"),
            annotation=ast.unparse(annotation),
            doc=doc,
        )
        for name, annotation, doc in annotated(params)
    }


def _params_class(sdk: Sdk, service: SdkClass, method: ast.FunctionDef) -> SdkClass | None:
    for argument in method.args.args:
        if argument.arg == "params" and argument.annotation is not None:
            form = parse(sdk, argument.annotation, service)
            if isinstance(form, Objects):
                return form.classes[0]
    return None


def _created_filter(sdk: Sdk, params: SdkClass | None) -> CreatedFilter | None:
    parameters = _parameters(params)
    if "created_gte" in parameters:
        return "rfc3339_flat"
    if "created_after" in parameters:
        return "after_before"
    if params is None or "created" not in parameters:
        return None
    # Such as `NotRequired['ChargeListParamsCreated|int']`, where the class holds the bounds.
    name = re.search(r"\w+Created\b", parameters["created"].annotation)
    bounds = _parameters(sdk.resolve(name.group(), params)) if name else {}
    match bounds.get("gte"):
        case Parameter(annotation="NotRequired[int]"):
            return "range"
        case Parameter(annotation="NotRequired[str]"):
            return "rfc3339"
    msg = f"{params.module}: unknown kind of `created` filter"
    raise UnresolvedNameError(msg)
