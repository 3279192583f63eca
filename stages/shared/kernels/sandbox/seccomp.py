"""The system calls that untrusted code may make: an allow list, as a BPF program that the kernel runs at each call.

Written by hand, because the packages that build such programs need the C library libseccomp (pyseccomp, last released
in 2021) or confine only commands that they start themselves (sandlock). The format: linux/seccomp.h, linux/filter.h.
"""

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterable

from stages.shared.kernels.sandbox.system_calls import call, machine

# Name, number on x86-64, number on aarch64 (- where it does not exist): asm/unistd_64.h and asm-generic/unistd.h.
# Nothing here creates a process or a socket, reaches another process, mounts, changes an owner, a mode, a time or a
# limit; nothing outlives the process. truncate is missing, because Landlock does not see it before Linux 6.2, and
# fallocate, because it takes gigabytes of a disk before anybody looks.
_ALLOWED = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
preadv2 327 286, pwritev2 328 287, lseek 8 62, close 3 57, close_range 436 436, dup 32 23, dup2 33 -, dup3 292 24,
sendfile 40 71, copy_file_range 326 285, ftruncate 77 46, fsync 74 82, fdatasync 75 83,
fadvise64 221 223, stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79, statx 332 291, statfs 137 43, fstatfs 138 44,
access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents 78 -, getdents64 217 61,
getcwd 79 17, chdir 80 49, fchdir 81 50, umask 95 166, mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -,
unlinkat 263 35, rename 82 -, renameat 264 38, renameat2 316 276, link 86 -, linkat 265 37, symlink 88 -,
symlinkat 266 36, creat 85 -, pipe 22 -, pipe2 293 59, eventfd2 290 19, epoll_create1 291 20, epoll_ctl 233 21,
epoll_wait 232 -, epoll_pwait 281 22, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72,
mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214, mremap 25 216, madvise 28 233, mincore 27 232, msync 26 227,
membarrier 324 283, get_mempolicy 239 236, futex 202 98, futex_waitv 449 449, set_robust_list 273 99,
set_tid_address 218 96, rseq 334 293, arch_prctl 158 -, restart_syscall 219 128, exit 60 93, exit_group 231 94,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133,
rt_sigtimedwait 128 137, sigaltstack 131 132, pause 34 -, alarm 37 -, getitimer 36 102, setitimer 38 103,
timer_create 222 107, timer_settime 223 110, timer_gettime 224 108, timer_getoverrun 225 109, timer_delete 226 111,
clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101, gettimeofday 96 169,
time 201 -, times 100 153, getrusage 98 165, sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121,
sched_getscheduler 145 120, sched_get_priority_max 146 125, sched_get_priority_min 147 126, getcpu 309 168,
getpriority 140 141, getrlimit 97 163, getpid 39 172, getppid 110 173, gettid 186 178, getpgid 121 155, getpgrp 111 -,
getsid 124 156, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148,
getresgid 120 150, getgroups 115 158, capget 125 90, uname 63 160, sysinfo 99 179, getrandom 318 278, wait4 61 260,
waitid 247 95
"""
# What a CUDA context calls besides.
_GPU = "mlock 149 228, munlock 150 229, mbind 237 235, set_mempolicy 238 237"

_OPEN, _OPENAT = (2, None), (257, 56)
_FCNTL, _IOCTL, _PRCTL, _PRLIMIT64 = (72, 25), (16, 29), (157, 167), (302, 261)
_CLONE, _KILL, _TGKILL = (56, 220), (62, 129), (234, 131)

# A thread, with the flags that glibc and musl start one with; never a process or a namespace.
_THREADS = (0x3D0F00, 0x7D0F00)
# Duplicates, flags, locks, sizes. Not F_SETOWN and F_SETSIG: with them the kernel sends any signal to any process.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
# TCGETS (`isatty`), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_IOCTL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# FIOSETOWN, SIOCSPGRP and FIOASYNC, which do as F_SETOWN; TIOCSTI and TIOCLINUX, which type into a terminal. The driver
# has requests of its own by the hundred, so with a GPU all others are allowed.
_IOCTL_NEVER = (0x8901, 0x8902, 0x5452, 0x5412, 0x541C)
# PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: names of threads and of memory.
_PRCTL_OPTIONS = (15, 16, 0x53564D41)

_ARCHITECTURES = (0xC000003E, 0xC00000B7)  # AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64
_FIRST_SHARED = 424  # from here all machines use the same numbers; the C library expects "no such call" and falls back

_LOAD, _AND, _EQUAL, _NOT_BELOW, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _KILL_PROCESS, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_DENY = _ERROR | errno.EPERM
_ABSENT = _ERROR | errno.ENOSYS

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]
"""Code, jump when true, jump when false, operand."""
Number = tuple[int, int | None]
"""On x86-64 and on aarch64."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(*, gpu: bool) -> None:
    """Confine this process to the allow list for good; `kill` and `tgkill` reach only itself, without SIGKILL.

    The caller has set `no_new_privs`. What is not allowed fails with EPERM, newer calls with ENOSYS.

    Raises:
        OSError: the kernel has no seccomp filters, or a container forbids to install one.
    """
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program(os.getpid(), gpu=gpu))
    call("prctl", _PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(_Program(len(code) // 8, code)), 0, 0)


def program(pid: int, *, gpu: bool) -> list[Instruction]:
    """The filter of the process `pid`."""
    column = machine()
    done: list[Instruction] = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, _ARCHITECTURES[column]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, 0),  # the number
    ]
    blocks: list[tuple[Number, list[Instruction]]] = [
        (_CLONE, _one_of(0, _THREADS)),
        (_FCNTL, _one_of(1, _FCNTL_COMMANDS)),
        (_PRCTL, _one_of(0, _PRCTL_OPTIONS)),
        (_KILL, _signal_to(pid, 1)),
        (_TGKILL, _signal_to(pid, 2)),
        (_OPEN, _honest_open(1)),
        (_OPENAT, _honest_open(2)),
        (_PRLIMIT64, _null(2)),
        (_IOCTL, _none_of(1, _IOCTL_NEVER) if gpu else _one_of(1, _IOCTL_REQUESTS)),
    ]
    for number, block in blocks:
        if (nr := number[column]) is not None:
            done += [(_EQUAL, 0, len(block), nr), *block]
    for nr in _numbers(_ALLOWED + ("," + _GPU if gpu else ""), column):
        done += [(_EQUAL, 0, 1, nr), (_RETURN, 0, 0, _ALLOW)]
    return [*done, (_NOT_BELOW, 1, 0, _FIRST_SHARED), (_RETURN, 0, 0, _DENY), (_RETURN, 0, 0, _ABSENT)]


def _numbers(table: str, column: int) -> list[int]:
    cells = [entry.split()[1 + column] for entry in table.split(",")]
    return [int(cell) for cell in cells if cell != "-"]


def _low(argument: int) -> Instruction:
    """Load the lower half of an argument; both machines are little-endian."""
    return _LOAD, 0, 0, 16 + 8 * argument


def _one_of(argument: int, values: Iterable[int]) -> list[Instruction]:
    """Allow when the lower half of the argument, which is all that the kernel reads of it, is one of `values`."""
    tests: list[Instruction] = []
    for value in values:
        tests += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [_low(argument), *tests, (_RETURN, 0, 0, _DENY)]


def _none_of(argument: int, values: Iterable[int]) -> list[Instruction]:
    """Allow when the lower half of the argument is none of `values`."""
    tests: list[Instruction] = []
    for value in values:
        tests += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _DENY)]
    return [_low(argument), *tests, (_RETURN, 0, 0, _ALLOW)]


def _signal_to(pid: int, argument: int) -> list[Instruction]:
    """Allow a signal to `pid`, but SIGKILL, by which the kernel ends a process that uses too much memory."""
    return [
        _low(argument),
        (_EQUAL, 3, 0, signal.SIGKILL),
        _low(0),
        (_EQUAL, 0, 1, pid),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]


def _honest_open(argument: int) -> list[Instruction]:
    """Deny to open a file for reading and truncate it, and the access mode 3: Landlock reads both as no write."""
    return [
        _low(argument),
        (_AND, 0, 0, os.O_ACCMODE | os.O_TRUNC),
        (_EQUAL, 2, 0, os.O_RDONLY | os.O_TRUNC),
        (_AND, 0, 0, os.O_ACCMODE),
        (_EQUAL, 0, 1, os.O_ACCMODE),
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _null(argument: int) -> list[Instruction]:
    """Allow when the argument, a pointer, is null."""
    return [
        _low(argument),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, 16 + 8 * argument + 4),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]
