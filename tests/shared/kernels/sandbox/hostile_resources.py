"""Tasks that try to use more memory, time, threads or output than they were given, or to be given more."""

import ctypes
import fcntl
import mmap
import os
import platform
import resource
import signal
import struct
import threading
import time

from tests.shared.kernels.sandbox.hostile_attempts import LIBC, Attempt, Send, checked, raw, report

JUMP_TO_ITSELF = {"x86_64": b"\xeb\xfe", "aarch64": b"\x00\x00\x00\x14"}[platform.machine()]
# mov eax, 20 (getpid of 32-bit programs); int 0x80; ret. Elsewhere there is no such way, and udf.
OLD_CALL = {"x86_64": b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", "aarch64": b"\x00\x00\x00\x00"}[platform.machine()]
CHANNEL = 3
MAP_NORESERVE = 0x4000


def memory_bomb(payload: bytes, send: Send) -> None:
    held = []
    while True:
        held.append(b"x" * (1 << 24))


def memory_bombs(payload: bytes, send: Send) -> None:
    """Memory that no allocator of Python counts; `payload` is how many bytes are too many."""
    size = int(payload)
    LIBC.malloc.restype = ctypes.c_void_p
    LIBC.mmap.restype = ctypes.c_void_p
    everything = mmap.MAP_ANONYMOUS | MAP_NORESERVE
    attempts: dict[str, Attempt] = {
        "private": lambda: mmap.mmap(-1, size, mmap.MAP_PRIVATE | everything),
        "shared": lambda: mmap.mmap(-1, size, mmap.MAP_SHARED | everything),
        "in memory file": raw((319, 279), b"name", 0),
        "System V": checked("shmget", 0, ctypes.c_size_t(size), 0o1600),
        "message queue": checked("msgget", 0, 0o1600),
        "semaphores": checked("semget", 0, 1, 0o1600),
        "key": raw((248, 217), b"user", b"name", b"value", 5, -3),
        "large pipe": _large_pipe,
    }
    report(attempts, send)
    send(repr(LIBC.malloc(ctypes.c_size_t(size))).encode())


def _large_pipe() -> int:
    return fcntl.fcntl(os.pipe()[0], fcntl.F_SETPIPE_SZ, 1 << 20)


def change_limits(payload: bytes, send: Send) -> None:
    raised = (ctypes.c_ulong * 2)(1 << 40, 1 << 40)
    attempts: dict[str, Attempt] = {}
    for name in ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE", "STACK"):
        which = getattr(resource, f"RLIMIT_{name}")
        attempts[f"setrlimit {name}"] = checked("setrlimit", which, raised)
        attempts[f"prlimit {name}"] = checked("prlimit", 0, which, raised, None)
    attempts["setrlimit of the C library"] = raw((160, 164), 0, ctypes.create_string_buffer(16))
    report(attempts, send)


def loop(payload: bytes, send: Send) -> None:
    while True:
        pass


def native_loop(payload: bytes, send: Send) -> None:
    """Machine code that jumps to itself while every signal that can be is ignored and blocked."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(JUMP_TO_ITSELF)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    send(b"looping")
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def call_of_another_architecture(payload: bytes, send: Send) -> None:
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(OLD_CALL)
    send(b"before")
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    send(b"after")


def sleep(payload: bytes, send: Send) -> None:
    send(b"asleep")
    time.sleep(float(payload))


def stop_itself(payload: bytes, send: Send) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def stop_and_go(payload: bytes, send: Send) -> None:
    """Every stop and every start is news for the fork server. With a payload there are too many threads meanwhile."""
    event = ctypes.create_string_buffer(struct.pack("qii48x", 0, signal.SIGCONT, 0))
    timer = ctypes.c_int()
    raw((222, 107), time.CLOCK_MONOTONIC, event, ctypes.byref(timer))()
    each = ctypes.create_string_buffer(struct.pack("qqqq", 0, 200_000, 0, 200_000))
    raw((223, 110), timer, 0, each, None)()
    for _ in range(100 if payload else 0):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)


def few_threads(payload: bytes, send: Send) -> None:
    started = [threading.Thread(target=send, args=(b"thread",)) for _ in range(4)]
    for thread in started:
        thread.start()
        thread.join()


def thread_bomb(payload: bytes, send: Send) -> None:
    while True:
        try:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError:
            time.sleep(0.001)


def print_much(payload: bytes, send: Send) -> None:
    """1 GB to stdout and to stderr."""
    for _ in range(500):
        os.write(1, bytes(1_000_000))
        print(" " * 1_000_000)


def send_much(payload: bytes, send: Send) -> None:
    """1 GB of frames."""
    for _ in range(1000):
        send(bytes(1_000_000))


def write_much(payload: bytes, send: Send) -> None:
    """`payload` again and again, past `send`, and nobody reads what the parent says."""
    for _ in range(1_000_000_000 // len(payload)):
        os.write(CHANNEL, payload)


def write_once(payload: bytes, send: Send) -> None:
    """`payload` past `send`, after one honest frame."""
    send(b"honest")
    os.write(CHANNEL, payload)


def write_and_sleep(payload: bytes, send: Send) -> None:
    write_once(payload, send)
    time.sleep(60)


def close_the_channel(payload: bytes, send: Send) -> None:
    send(b"honest")
    os.close(CHANNEL)


def close_the_channel_and_sleep(payload: bytes, send: Send) -> None:
    close_the_channel(payload, send)
    time.sleep(60)


def exit_at_once(payload: bytes, send: Send) -> None:
    send(b"honest")
    os._exit(int(payload))


def exit_politely(payload: bytes, send: Send) -> None:
    raise SystemExit(int(payload))


def fall_over(payload: bytes, send: Send) -> None:
    send(b"honest")
    ctypes.string_at(0)


def run_out_of_memory_by_word(payload: bytes, send: Send) -> None:
    raise MemoryError
