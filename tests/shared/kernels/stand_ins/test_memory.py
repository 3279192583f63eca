import numpy as np
import pytest

from stages.shared.kernels.stand_ins.memory import IllegalAccessError, Memory, garbage_of

BASE = 1 << 40
MEMORY = Memory([(BASE, 64), (BASE + 4096, 64)])


def inside(offsets: list[int], mask: list[bool] | None = None, size: int = 4) -> list[bool] | None:
    pointers = np.array([BASE + offset for offset in offsets], dtype=np.uint64)
    found = MEMORY.inside(pointers, np.array(mask or [True] * len(offsets)), size)
    return None if found is None else list(found)


@pytest.mark.parametrize("offsets", [[0], [60], [0, 4, 60], [4096, 4156], [0, 4096], []])
def test_accesses_of_tensors_are_let_through(offsets: list[int]) -> None:
    assert inside(offsets) is None


@pytest.mark.parametrize(
    ("offsets", "allowed"),
    [([64], [False]), ([62], [False]), ([-4, 0], [False, True]), ([60, 64, 4096], [True, False, True])],
)
def test_accesses_beside_a_tensor_are_told_apart(offsets: list[int], allowed: list[bool]) -> None:
    assert inside(offsets) == allowed


def test_what_the_mask_leaves_out_is_not_looked_at() -> None:
    assert inside([0, 1 << 50], [True, False]) is None
    assert inside([0, 64, 1 << 50], [True, True, False]) == [True, False, False]
    assert inside([1 << 50], [False]) is None


def test_blocks_of_several_dimensions() -> None:
    pointers = np.array([[BASE, BASE + 4], [BASE + 60, BASE + 64]], dtype=np.uint64)

    found = MEMORY.inside(pointers, np.ones((2, 2), dtype=bool), 4)

    assert found is not None
    assert found.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("offset", [1 << 30, -(1 << 30), -BASE])
def test_an_access_far_from_any_tensor_is_illegal(offset: int) -> None:
    with pytest.raises(IllegalAccessError, match="an illegal memory access"):
        inside([0, offset])


def test_a_launch_without_tensors_may_touch_nothing() -> None:
    with pytest.raises(IllegalAccessError):
        Memory([]).inside(np.array([BASE], dtype=np.uint64), np.array([True]), 4)


def test_garbage_is_a_number_of_its_type() -> None:
    assert garbage_of(np.dtype("float32"), -1234.5) == np.float32(-1234.5)
    assert garbage_of(np.dtype("int32"), -1234.5) == (2**31 - 1) // 3
    assert garbage_of(np.dtype("bool"), -1234.5)
