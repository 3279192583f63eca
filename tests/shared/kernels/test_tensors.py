import msgspec
import numpy as np
import pytest
import torch

from stages.shared.kernels.tensors import Keyed, Many, Opaque, Plain, Tensor, Value, array, leaves, value_of


def sent(result: object) -> Value:
    """As it arrives at the other end of a channel."""
    found: Value = msgspec.msgpack.decode(msgspec.msgpack.encode(value_of(result)), type=Value)
    return found


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.float16, torch.int64, torch.int8, torch.uint8, torch.bool, torch.complex64],
)
def test_a_tensor_arrives(dtype: torch.dtype) -> None:
    given = torch.tensor([[1, 0, 2], [3, 4, 5]]).to(dtype).T

    found = sent(given)

    assert isinstance(found, Tensor)
    assert (found.dtype, found.shape) == (str(dtype).removeprefix("torch."), [3, 2])
    assert np.array_equal(array(found), given.numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_a_type_that_numpy_lacks_arrives_as_float32_under_its_name(dtype: torch.dtype) -> None:
    found = sent(torch.tensor([1.0, -0.5]).to(dtype))

    assert isinstance(found, Tensor)
    assert found.dtype == str(dtype).removeprefix("torch.")
    assert array(found).tolist() == [1.0, -0.5]
    assert array(found).dtype == np.float32


def test_what_needs_work_before_it_can_be_sent() -> None:
    base = torch.tensor([1 + 2j, 3 - 1j])
    results = [torch.zeros(0, 3), torch.tensor(2.0), torch.ones(2, requires_grad=True), base.conj(), base.imag]

    found = [sent(result) for result in results]

    assert all(isinstance(value, Tensor) for value in found)
    assert [array(value).tolist() for value in found if isinstance(value, Tensor)] == [
        [],
        2.0,
        [1.0, 1.0],
        [1 - 2j, 3 + 1j],
        [2.0, -1.0],
    ]


def test_nested_results() -> None:
    found = sent((torch.tensor([1]), [None, 2.5, "text", True], {"a": {3: torch.tensor([4])}}))

    one, four = (Tensor("int64", [1], np.array([n]).tobytes()) for n in (1, 4))
    assert found == Many(
        [one, Many([Plain(None), Plain(2.5), Plain("text"), Plain(value=True)]), Keyed({"a": Keyed({"3": four})})]
    )
    assert leaves(found) == [one, Plain(None), Plain(2.5), Plain("text"), Plain(value=True), four]


def test_what_cannot_be_sent_is_named() -> None:
    endless: list[object] = []
    endless.append(endless)

    assert sent(object()) == Opaque("object")
    assert sent(torch.eye(2).to_sparse()) == Opaque("torch.sparse_coo")
    assert sent(1 << 70) == Opaque("int")
    assert isinstance(sent(endless), Many)
