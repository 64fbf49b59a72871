"""What a clinician wants to know, each found in at most eight actions."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.harness import Server

MOST_ACTIONS = 8


class Visitor:
    """Does one thing at a time, and counts."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.actions = 1  # opened the address

    def clicks(self, name: str, role: str = "button") -> None:
        self.actions += 1
        self._page.get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]

    def fills(self, label: str, value: str) -> None:
        self.actions += 1
        self._page.get_by_label(label).fill(value)

    def chooses(self, label: str, option: str) -> None:
        self.actions += 1
        self._page.get_by_label(label).select_option(option)

    def reads(self, where: str) -> Locator:
        self.actions += 1
        return self._page.locator(where).first


@pytest.fixture
def clinician(server: Server, visit: Visit) -> Iterator[Visitor]:
    visitor = Visitor(visit(server.url))
    yield visitor
    assert visitor.actions <= MOST_ACTIONS


def test_why_is_this_patient_above_the_threshold(clinician: Visitor) -> None:
    clinician.clicks("made-up row 1", "link")
    clinician.clicks("Predict")
    expect(clinician.reads("#result")).to_contain_text("at or above the threshold of 50 %")
    expect(clinician.reads(".contributions tbody tr:nth-child(2)")).to_contain_text(
        "Major vessels coloured by fluoroscopy"
    )


def test_what_if_the_vessels_had_been_clear(clinician: Visitor) -> None:
    clinician.clicks("made-up row 1", "link")
    clinician.fills("Major vessels coloured by fluoroscopy ca", "0")
    clinician.clicks("Predict")
    expect(clinician.reads("#result")).to_contain_text("Predicted class")
    expect(clinician.reads(".contributions")).to_contain_text("0 vessels")


def test_is_a_value_in_another_unit_read_right(clinician: Visitor) -> None:
    clinician.clicks("the example", "link")
    clinician.fills("Serum cholesterol chol", "6")
    clinician.chooses("Unit of Serum cholesterol", "mmol/l")
    expect(clinician.reads("#converted-chol")).to_have_text("= 232 mg/dl")


def test_how_many_patients_with_disease_does_the_model_miss(clinician: Visitor) -> None:
    clinician.clicks("Models", "link")
    row = clinician.reads("tr:has-text('False negative rate')")
    expect(row).to_contain_text("0.211")
    expect(row).to_contain_text("0.145 to 0.272")
