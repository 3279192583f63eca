"""PTX to machine code inside of the process: a job may start no program, such as the assembler that Triton brings.

https://docs.nvidia.com/cuda/nvjitlink: the library comes with torch, and needs neither a GPU nor a driver.
"""

import ctypes

_INPUT_PTX = 2


def assemble(ptx: bytes, architecture: str, *, fuse: bool = True) -> bytes:
    """The cubin of one module of PTX.

    Args:
        ptx: text of the module.
        architecture: such as `sm_90a`.
        fuse: whether a multiplication and an addition may become one instruction.

    Raises:
        ValueError: what is wrong with the PTX.
    """
    library = _library()
    handle = ctypes.c_void_p()
    options = [f"-arch={architecture}", "-O3", f"-fma={int(fuse)}"]
    texts = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    created = library.nvJitLinkCreate(ctypes.byref(handle), len(options), texts)
    if created != 0:
        raise ValueError(f"nvJitLink does not take {' '.join(options)} (error {created})")
    try:
        added = library.nvJitLinkAddData(handle, _INPUT_PTX, ptx, ctypes.c_size_t(len(ptx)), b"kernel")
        if added != 0 or library.nvJitLinkComplete(handle) != 0:
            raise ValueError(_read(library, handle, "ErrorLog").rstrip(b"\0").decode(errors="replace"))
        return _read(library, handle, "LinkedCubin")
    finally:
        library.nvJitLinkDestroy(ctypes.byref(handle))


def _library() -> ctypes.CDLL:
    import torch  # noqa: PLC0415 - loads the library, wherever it is

    return ctypes.CDLL(f"libnvJitLink.so.{(torch.version.cuda or '').split('.')[0]}")


def _read(library: ctypes.CDLL, handle: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    library[f"nvJitLinkGet{what}Size"](handle, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    library[f"nvJitLinkGet{what}"](handle, content)
    return content.raw
