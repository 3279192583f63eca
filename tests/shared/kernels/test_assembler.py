import pytest

from stages.shared.kernels.assembler import assemble

PTX = b"""
.version 8.7
.target sm_80
.address_size 64

.visible .entry double_it(.param .u64 numbers)
{
    .reg .b64 %address;
    .reg .f32 %value;
    ld.param.u64 %address, [numbers];
    ld.global.f32 %value, [%address];
    add.f32 %value, %value, %value;
    st.global.f32 [%address], %value;
    ret;
}
"""


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_ptx_becomes_machine_code_without_a_gpu(architecture: str) -> None:
    cubin = assemble(PTX, architecture)

    assert cubin[:4] == b"\x7fELF"
    assert b".text.double_it" in cubin
    assert assemble(PTX, architecture) == cubin


def test_what_the_assembler_refuses_is_told() -> None:
    with pytest.raises(ValueError, match=r"^ptxas .*, line 12; error") as raised:
        assemble(PTX.replace(b"add.f32", b"gain.f32"), "sm_90")

    assert "gain" in str(raised.value)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nvJitLink does not take -arch=sm_1000 -O3 -fma=1 \(error \d+\)"):
        assemble(PTX, "sm_1000")
