import numpy as np
import pytest

from stages.shared.kernels.compare import Difference, Likeness, compare, is_uniform, is_zero
from stages.shared.kernels.tensors import Keyed, Many, Opaque, Plain, Tensor, Value

SAME = Likeness(None)


def tensor(values: object, dtype: str = "float32", shape: list[int] | None = None) -> Tensor:
    """bfloat16 travels as float32."""
    numbers = np.array(values, dtype="float32" if dtype.startswith(("bfloat", "float8")) else dtype)
    return Tensor(dtype, list(numbers.shape) if shape is None else shape, numbers.tobytes())


def test_equal_results_of_every_kind() -> None:
    result = Many(
        [
            tensor([[1.0, 2.0], [3.0, 4.0]]),
            Many([Plain(None), Plain(2), Plain(0.5), Plain("text"), Plain(value=True)]),
            Keyed({"a": tensor([1, 2], "int64"), "b": tensor([True, False], "bool")}),
            tensor([1 + 2j], "complex64"),
            tensor([], "float32"),
        ]
    )

    assert compare(result, result) == SAME


@pytest.mark.parametrize(
    ("expected", "given", "text"),
    [
        (tensor([1.0]), Many([tensor([1.0])]), "output: expected a tensor, got a list"),
        (Many([tensor([1.0])]), tensor([1.0]), "output: expected a list, got a tensor"),
        (Many([Plain(1)]), Many([Plain(1), Plain(1)]), "output: expected 1 items, got 2"),
        (Many([Plain(1), Many([tensor([1.0])])]), Many([Plain(1), Many([])]), "output[1]: expected 1 items, got 0"),
        (Keyed({"a": Plain(1)}), Keyed({"b": Plain(1)}), "output: expected keys a"),
        (Keyed({"a": tensor([1.0])}), Keyed({"a": Plain(1)}), "output[a]: expected a tensor, got int"),
        (tensor([1.0]), Plain(None), "output: expected a tensor, got NoneType"),
        (tensor([1.0]), Opaque("Thing"), "output: expected a tensor, got another object"),
    ],
)
def test_another_structure(expected: Value, given: Value, text: str) -> None:
    assert compare(expected, given) == Likeness(Difference("structure", text))


@pytest.mark.parametrize(
    ("wanted", "got"),
    [(Plain(1), Plain(2)), (Plain(1), Plain(1.0)), (Plain(1), Plain(value=True)), (Plain(0.5), Plain(0.6))],
)
def test_another_scalar(wanted: Plain, got: Plain) -> None:
    assert compare(wanted, got) == Likeness(Difference("values", "output differs"))


def test_another_dtype_or_shape() -> None:
    half = compare(tensor([1.0]), tensor([1.0], "float16"))
    longer = compare(Many([tensor([1.0]), tensor([[1.0, 1.0]])]), Many([tensor([1.0]), tensor([1.0, 1.0, 1.0])]))

    assert half == Likeness(Difference("dtype", "output: expected float32, got float16"))
    assert longer == Likeness(Difference("shape", "output 1: expected [1, 2], got [3]"))


@pytest.mark.parametrize("shape", [[2, 1, 2], [2, 2, 1], [1, 2, 2]])
def test_a_dimension_of_size_one_more_is_alike(shape: list[int]) -> None:
    numbers = [[1.0, 2.0], [3.0, 4.0]]

    assert compare(tensor(numbers), tensor(numbers, shape=shape)) == Likeness(None, rank_differs=True)
    assert compare(tensor(numbers, shape=shape), tensor(numbers)) == Likeness(None, rank_differs=True)


def test_a_scalar_in_a_list_of_one_is_alike() -> None:
    assert compare(tensor(3.0), tensor([3.0])) == Likeness(None, rank_differs=True)


@pytest.mark.parametrize(
    ("dtype", "near", "far"),
    [
        ("float32", 1.0001, 1.0003),
        ("float64", 1.0001, 1.0003),
        ("float16", 1.01, 1.03),
        ("bfloat16", 1.01, 1.03),
        ("float8_e4m3fn", 1.1, 1.3),
    ],
)
def test_each_dtype_has_its_tolerance(dtype: str, near: float, far: float) -> None:
    assert compare(tensor([1.0, 2.0], dtype), tensor([near, 2.0], dtype)) == SAME
    assert compare(tensor([1.0, 2.0], dtype), tensor([far, 2.0], dtype)).difference is not None


def test_what_differs_is_told() -> None:
    found = compare(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[1.0, 2.0], [3.5, 4.5]]))

    assert found == Likeness(Difference("values", "output: 2 of 4 numbers differ, at [1, 0] expected 3, got 3.5"))


def test_integers_and_booleans_must_be_equal() -> None:
    assert compare(tensor([10**9], "int64"), tensor([10**9 + 1], "int64")).difference is not None
    assert compare(tensor([True], "bool"), tensor([False], "bool")).difference is not None


def test_both_parts_of_a_complex_number_count() -> None:
    assert compare(tensor([1 + 1j], "complex64"), tensor([1 + 1.1j], "complex64")).difference is not None
    assert compare(tensor([1 + 1j], "complex64"), tensor([1.1 + 1j], "complex64")).difference is not None


def test_nan_and_infinity_are_equal_to_themselves_alone() -> None:
    odd = tensor([float("nan"), float("inf"), -float("inf"), 1.0])

    assert compare(odd, odd) == SAME
    for place, other in ((0, 1.0), (1, -float("inf")), (1, 1e30), (3, float("nan")), (3, float("inf"))):
        given = [float("nan"), float("inf"), -float("inf"), 1.0]
        given[place] = other
        assert compare(odd, tensor(given)).difference is not None, (place, other)


def test_zeros_do_not_pass_for_small_numbers() -> None:
    small = tensor([2e-5, -1e-5, 3e-5])

    assert compare(small, tensor([0.0, 0.0, 0.0])).difference is not None
    assert compare(small, tensor([2.00001e-5, -1.00001e-5, 3.00001e-5]), [1e-12]) == SAME
    assert not is_zero(small, [1e-12])


def test_numbers_that_are_nothing_but_rounding_are_zero() -> None:
    rounding = tensor([7e-9, -3e-9])

    assert compare(rounding, tensor([0.0, 0.0]), [5e-9]) == SAME
    assert is_zero(rounding, [5e-9])
    assert is_zero(Many([tensor([0.0]), tensor([0], "int64")]))
    assert not is_zero(Many([tensor([0.0]), tensor([1], "int64")]))
    assert not is_zero(Plain(0))


def test_a_large_number_does_not_hide_a_small_one() -> None:
    assert compare(tensor([1e6, 0.5]), tensor([1e6, 0.6])).difference is not None


def test_uniform_results() -> None:
    assert is_uniform(tensor([[2.0, 2.0], [2.0, 2.0]]))
    assert is_uniform(Many([tensor([1, 1], "int64"), tensor(3.0)]))
    assert not is_uniform(tensor([2.0, 2.1]))
    assert not is_uniform(tensor(2.0))


@pytest.mark.parametrize(
    "bad", [Tensor("float32", [3], b"1234"), Tensor("float32", [-1], b""), Tensor("int64", [], b"")]
)
def test_a_tensor_that_is_not_what_it_says_is_an_error(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="a tensor of shape"):
        compare(bad, bad)
