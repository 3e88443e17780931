"""The properties of an API object, as an SDK class describes them: name, form and docstring."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tools.catalogue.sdk import Sdk, SdkClass


class UnknownAnnotationError(TypeError):
    """An annotation has a shape that the generator does not know."""


@dataclass(frozen=True)
class Scalar:
    """A JSON scalar, in the type that it has on the wire."""

    type: Literal["string", "integer", "number", "boolean"]


@dataclass(frozen=True)
class Anything:
    """A value of any kind."""


@dataclass(frozen=True)
class Objects:
    """An object of one of these classes; more than one where Stripe mixes kinds."""

    classes: tuple[SdkClass, ...]


@dataclass(frozen=True)
class Expandable:
    """An id, which Stripe replaces by the object itself where `expand` asks for it."""

    classes: tuple[SdkClass, ...]


@dataclass(frozen=True)
class Array:
    """A JSON array."""

    items: Form


@dataclass(frozen=True)
class Page:
    """A list inside an object: the first page of it, with `data` and `has_more`."""

    items: Form


@dataclass(frozen=True)
class Map:
    """An object whose keys are data (`metadata`)."""

    values: Form


Form: TypeAlias = "Scalar | Anything | Objects | Expandable | Array | Page | Map"


@dataclass(frozen=True)
class Attribute:
    """A property of an API object."""

    name: str
    form: Form
    doc: str


STRING = Scalar("string")
_SCALARS = {
    "str": STRING,
    "int": Scalar("integer"),
    "float": Scalar("number"),
    "bool": Scalar("boolean"),
    # The SDK turns strings into Decimals; on the wire they are strings.
    "Decimal": STRING,
}
_ENCODED_AS_STRING = frozenset({"decimal_string", "int64_string"})


# Thin events have these in the class of each type; the class that the list returns has neither.
EVENT_PAYLOAD = {
    "data": Attribute("data", Map(Anything()), "Additional data about the event."),
    "related_object": Attribute(
        "related_object", Map(Anything()), "The object that the event tells of."
    ),
}


@cache
def attributes(sdk: Sdk, cls: SdkClass) -> Mapping[str, Attribute]:
    """The properties of a class by their name in the API, those of its bases included.

    Raises:
        UnknownAnnotationError: An annotation has a shape that is not known.
    """
    found = dict(EVENT_PAYLOAD) if cls.object_name == "v2.core.event" else {}
    for base in cls.node.bases:
        # A resource's other bases, like ListableAPIResource["Charge"], have no properties.
        if isinstance(base, ast.Name) and base.id not in _BASES_WITHOUT_PROPERTIES:
            found |= attributes(sdk, sdk.resolve(base.id, cls))
    names = cls.constants("_field_remappings")
    encodings = cls.constants("_field_encodings")
    for python_name, annotation, doc in annotated(cls):
        if encodings.get(python_name) in _ENCODED_AS_STRING:
            form: Form = STRING
        else:
            form = parse(sdk, annotation, cls)
        name = names.get(python_name, python_name)
        found[name] = Attribute(name, form, doc)
    return found


_BASES_WITHOUT_PROPERTIES = frozenset({"StripeObject", "VerifyMixin"})


def parse(sdk: Sdk, annotation: ast.expr, scope: SdkClass) -> Form:
    """The form that an annotation in the body of `scope` describes.

    Raises:
        UnknownAnnotationError: Its shape is not known.
    """
    match annotation:
        case ast.Constant(value=str(text)):
            return parse(sdk, ast.parse(text, mode="eval").body, scope)
        case ast.Name(id=name) if name in _SCALARS:
            return _SCALARS[name]
        case ast.Name(id="Any"):
            return Anything()
        case ast.Name() | ast.Attribute():
            return Objects((sdk.resolve(ast.unparse(annotation), scope),))
        case ast.Subscript(value=ast.Name(id=generic), slice=argument):
            return _generic(sdk, generic, argument, scope)
    msg = f"{scope.module}.{scope.qualname}: unknown annotation {ast.unparse(annotation)}"
    raise UnknownAnnotationError(msg)


def _generic(sdk: Sdk, generic: str, argument: ast.expr, scope: SdkClass) -> Form:  # noqa: PLR0911  # one return a shape
    match generic:
        case "Optional":
            return parse(sdk, argument, scope)
        case "Literal":
            return _literal(argument, scope)
        case "Union":
            return _union(sdk, argument, scope)
        case "List":
            return Array(parse(sdk, argument, scope))
        case "ListObject":
            return Page(parse(sdk, argument, scope))
        case "UntypedStripeObject":
            return Map(parse(sdk, argument, scope))
        case "ExpandableField":
            target = parse(sdk, argument, scope)
            if isinstance(target, Objects):
                return Expandable(target.classes)
    msg = f"{scope.module}.{scope.qualname}: unknown annotation {generic}[{ast.unparse(argument)}]"
    raise UnknownAnnotationError(msg)


def _union(sdk: Sdk, argument: ast.expr, scope: SdkClass) -> Form:
    alternatives = argument.elts if isinstance(argument, ast.Tuple) else [argument]
    forms = list(dict.fromkeys(parse(sdk, alternative, scope) for alternative in alternatives))
    if len(forms) == 1:  # an enum to which Stripe may add: Union[Literal[...], str]
        return forms[0]
    objects = [form for form in forms if isinstance(form, Objects)]
    if len(objects) == len(forms):
        return Objects(tuple(cls for form in objects for cls in form.classes))
    msg = f"{scope.module}.{scope.qualname}: unknown union of {ast.unparse(argument)}"
    raise UnknownAnnotationError(msg)


def _literal(argument: ast.expr, scope: SdkClass) -> Form:
    values = argument.elts if isinstance(argument, ast.Tuple) else [argument]
    kinds = {type(value.value) for value in values if isinstance(value, ast.Constant)}
    for kind, form in ((str, STRING), (bool, Scalar("boolean")), (int, Scalar("integer"))):
        if kinds == {kind}:
            return form
    msg = f"{scope.module}.{scope.qualname}: unknown Literal[{ast.unparse(argument)}]"
    raise UnknownAnnotationError(msg)


def annotated(cls: SdkClass) -> Iterator[tuple[str, ast.expr, str]]:
    """The public annotated attributes of a body, each with the string that follows it."""
    body = cls.node.body
    for statement, after in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                if not name.startswith("_") and not is_generic(annotation, "ClassVar"):
                    yield name, annotation, _string(after)


def _string(statement: ast.stmt | None) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text.strip()
    return ""


def is_generic(annotation: ast.expr, generic: str) -> bool:
    """Whether an annotation is `generic[...]`."""
    match annotation:
        case ast.Subscript(value=ast.Name(id=name)):
            return name == generic
    return False
