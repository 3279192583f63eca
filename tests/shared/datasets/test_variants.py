import pytest
from pydantic import ValidationError

from stages.shared.datasets.variants import Variant, Variants
from stages.shared.stage import read_section


def test_the_variants_of_the_params_file_are_the_four_published_ones() -> None:
    assert read_section("variants", Variants).root == {
        "filtered": Variant(rows="kept", reasoning=True),
        "filtered-no-reasoning": Variant(rows="kept", reasoning=False),
        "unique": Variant(rows="unique", reasoning=True),
        "unique-no-reasoning": Variant(rows="unique", reasoning=False),
    }


@pytest.mark.parametrize("name", ["a/b", "../a", "A", "a b", "a_b", "-a", "a-", "", "a--b", "."])
def test_a_name_that_is_no_folder_and_hub_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        Variants.model_validate({name: {"rows": "kept", "reasoning": True}})


@pytest.mark.parametrize(
    "knobs", [{"rows": "all", "reasoning": True}, {"rows": "kept", "reasoning": "yes"}, {"rows": "kept"}, {}]
)
def test_a_wrong_or_missing_knob_is_refused(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Variants.model_validate({"filtered": knobs})
