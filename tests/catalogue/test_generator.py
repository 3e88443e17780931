from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.catalogue.conftest import ROOT
from tools.catalogue import __main__ as command
from tools.catalogue.attributes import UnknownAnnotationError, attributes
from tools.catalogue.documents import SCHEMAS
from tools.catalogue.prose import description, first_sentence
from tools.catalogue.sdk import SdkClass, UnresolvedNameError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tools.catalogue.sdk import Sdk


def test_the_checked_in_files_are_what_the_generator_writes(
    generated: Mapping[Path, str],
) -> None:
    assert [
        str(path) for path, text in generated.items() if (ROOT / path).read_bytes() != text.encode()
    ] == []


def test_no_schema_is_left_over_from_an_object_that_is_gone(
    generated: Mapping[Path, str],
) -> None:
    on_disk = {
        file.relative_to(ROOT)
        for file in (ROOT / "tap_stripe_conn/catalogue/schemas").glob("*.json")
    }
    assert on_disk <= generated.keys()


def test_the_check_names_each_file_that_would_change(
    tmp_path: Path,
    generated: Mapping[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "documents", lambda: dict(generated))
    assert command.main([], tmp_path) == 0
    assert command.main(["--check"], tmp_path) == 0
    charge = tmp_path / SCHEMAS / "charge.json"
    charge.write_text("{}")
    (tmp_path / SCHEMAS / "recipient.json").write_text("{}")
    capsys.readouterr()

    assert command.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "differs: tap_stripe_conn/catalogue/schemas/charge.json",
        "no longer generated: tap_stripe_conn/catalogue/schemas/recipient.json",
    ]
    assert charge.read_text() == "{}"


def test_writing_restores_what_differs_and_deletes_what_is_no_longer_generated(
    tmp_path: Path, generated: Mapping[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "documents", lambda: dict(generated))
    schemas = tmp_path / SCHEMAS
    schemas.mkdir(parents=True)
    (schemas / "charge.json").write_text("{}")
    (schemas / "recipient.json").write_text("{}")

    assert command.main([], tmp_path) == 0
    assert (schemas / "charge.json").read_text() == generated[SCHEMAS / "charge.json"]
    assert not (schemas / "recipient.json").exists()


def _class(body: str) -> SdkClass:
    # Of a name of its own: what is known of a class is kept by its name.
    node = ast.parse(f"class Made(StripeObject):\n {body}").body[0]
    assert isinstance(node, ast.ClassDef)
    return SdkClass("stripe._charge", None, node)


def test_a_name_that_leads_nowhere_stops_the_generator(sdk: Sdk) -> None:
    with pytest.raises(UnresolvedNameError, match="neither defines nor imports 'Gone'"):
        attributes(sdk, _class("field: Gone"))


@pytest.mark.parametrize(
    "annotation",
    ["Tuple[int, int]", "Union[int, str]", "Literal[1, 'one']", "Callable", "Set[str]"],
)
def test_an_annotation_of_unknown_shape_stops_the_generator(sdk: Sdk, annotation: str) -> None:
    with pytest.raises((UnknownAnnotationError, UnresolvedNameError)):
        attributes(sdk, _class(f"field: {annotation}"))


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("The [charge](https://docs.stripe.com)\nto pay. Or not.", "The charge to pay."),
        ("Shown e.g. on invoices. Not on receipts.", "Shown e.g. on invoices."),
        ("Costs $1.00 or 1.5 EUR", "Costs $1.00 or 1.5 EUR"),
        ("A **bold** claim.\n\nAnother paragraph.", "A bold claim."),
        ("", ""),
    ],
)
def test_a_description_is_the_first_sentence_without_markup(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


def test_what_an_object_is_comes_after_advice_to_use_another_one() -> None:
    assert description("Legacy Plans are old.\n\nPlans define prices. And more.") == (
        "Plans define prices."
    )
