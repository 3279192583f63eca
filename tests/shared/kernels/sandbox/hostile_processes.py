"""Tasks that try to start, reach, stop or read other processes, and to talk to the network."""

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import time
from functools import partial
from pathlib import Path

from tests.shared.kernels.sandbox.hostile_attempts import LIBC, Attempt, Send, checked, raw, report

FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902
F_SETSIG, CLONE_VM, CLONE_VFORK = 10, 0x100, 0x4000
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206


def fork_bomb(payload: bytes, send: Send) -> None:
    while True:
        os.fork()


def start_processes(payload: bytes, send: Send) -> None:
    true = "/usr/bin/true"
    report(
        {
            "fork": os.fork,
            "forkpty": os.forkpty,
            "fork of the C library": checked("fork"),
            "vfork": raw((58, 220), ctypes.c_long(CLONE_VM | CLONE_VFORK | signal.SIGCHLD), 0, 0, 0, 0),
            "clone": raw((56, 220), ctypes.c_long(signal.SIGCHLD), 0, 0, 0, 0),
            "clone3": raw((435, 435), 0, 0),
            "spawn": lambda: os.posix_spawn(true, [true], {}),
            "subprocess": lambda: subprocess.run([true], check=False),
            "shell": lambda: subprocess.run("true", shell=True, check=False),
            "exec": lambda: os.execv(true, [true]),
            "execveat": raw((322, 281), -100, true.encode(), 0, 0, 0),
            "setsid": os.setsid,
            "setpgid": lambda: os.setpgid(0, 0),
        },
        send,
    )


def daemonise(payload: bytes, send: Send) -> None:
    """The classic double fork, then a file that would show that the daemon lives."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                Path("alive").touch()
    send(b"started")


def signal_others(payload: bytes, send: Send) -> None:
    """`payload` is a JSON list of process ids: the parent's and the fork server's, as seen from outside."""
    attempts: dict[str, Attempt] = {"pidfd_send_signal": raw((424, 424), 3, 9, 0, 0)}
    for pid in [*json.loads(payload), os.getppid(), 1, 0, -1]:
        number = signal.SIGKILL if pid > 1 else signal.SIGCONT  # a hole must not cost the tests their machine
        attempts |= {
            f"kill {pid}": partial(os.kill, pid, number),
            f"tgkill {pid}": raw((234, 131), pid, pid, number),
            f"tkill {pid}": raw((200, 130), pid, number),
            f"rt_sigqueueinfo {pid}": raw((129, 138), pid, number, ctypes.create_string_buffer(128)),
            f"pidfd_open {pid}": partial(os.pidfd_open, pid),
            f"owner of a pipe {pid}": partial(_signal_by_pipe, pid, number),
            f"owner of the channel {pid}": partial(fcntl.ioctl, 3, FIOSETOWN, struct.pack("i", pid)),
            f"process group of the channel {pid}": partial(fcntl.ioctl, 3, SIOCSPGRP, struct.pack("i", pid)),
        }
        if pid != 1:  # what a hole would change of the first process, nobody could change back
            attempts |= {
                f"affinity {pid}": partial(os.sched_setaffinity, max(pid, 0), {0}),
                f"priority {pid}": partial(os.setpriority, os.PRIO_PROCESS, max(pid, 0), 19),
                f"limits {pid}": partial(resource.prlimit, max(pid, 0), resource.RLIMIT_CORE, (0, 0)),
            }
    report(attempts, send)


def kill_itself(payload: bytes, send: Send) -> None:
    """As the kernel does when memory is short."""
    itself, number = os.getpid(), signal.SIGKILL
    report(
        {
            "kill": partial(os.kill, itself, number),
            "raise": partial(signal.raise_signal, number),
            "tgkill": raw((234, 131), itself, itself, number),
        },
        send,
    )


def _signal_by_pipe(pid: int, number: int) -> None:
    """Make the kernel send a signal to `pid` when a pipe has something to read."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, pid)
    fcntl.fcntl(reader, F_SETSIG, number)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"x")


def read_others(payload: bytes, send: Send) -> None:
    """`payload` as of `signal_others`."""
    attempts: dict[str, Attempt] = {}
    buffer = ctypes.create_string_buffer(64)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
    for pid in [*json.loads(payload), os.getppid(), 1]:
        attempts |= {
            f"memory of {pid}": Path(f"/proc/{pid}/mem").open,
            f"environment of {pid}": Path(f"/proc/{pid}/environ").read_bytes,
            f"descriptors of {pid}": Path(f"/proc/{pid}/fd/1").open,
            f"root of {pid}": Path("/proc", str(pid), "root", "etc", "passwd").read_bytes,
            f"process_vm_readv {pid}": checked("process_vm_readv", pid, vector, 1, vector, 1, 0),
            f"process_vm_writev {pid}": checked("process_vm_writev", pid, vector, 1, vector, 1, 0),
            f"ptrace attach {pid}": checked("ptrace", PTRACE_ATTACH, pid, None, None),
            f"ptrace seize {pid}": checked("ptrace", PTRACE_SEIZE, pid, None, None),
            f"kcmp {pid}": raw((312, 272), pid, os.getpid(), 0, 0, 0),
            f"process_madvise {pid}": raw((440, 440), 3, vector, 1, 4, 0),
            f"pidfd_getfd {pid}": raw((438, 438), 3, 0, 0),
        }
    report(attempts, send)


def open_sockets(payload: bytes, send: Send) -> None:
    kinds = [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK]
    attempts: dict[str, Attempt] = {kind.name: partial(socket.socket, kind, socket.SOCK_DGRAM) for kind in kinds}
    attempts |= {
        "raw system call": raw((41, 198), socket.AF_INET, socket.SOCK_STREAM, 0),
        "C library": checked("socket", socket.AF_INET, socket.SOCK_STREAM, 0),
        "socketpair": socket.socketpair,
        "connect over the channel": checked("connect", 3, ctypes.create_string_buffer(16), 16),
        "listen on the channel": checked("listen", 3, 1),
        "descriptors over the channel": checked("sendmsg", 3, ctypes.create_string_buffer(56), 0),
        "io_uring": raw((425, 425), 8, ctypes.create_string_buffer(120)),
    }
    report(attempts, send)


def environment(payload: bytes, send: Send) -> None:
    """What Python and what the C library have of it, and the files that would show it."""
    variables = ctypes.POINTER(ctypes.c_char_p).in_dll(LIBC, "environ")
    entries: list[str] = []
    while variables[len(entries)] is not None:
        entries.append(variables[len(entries)].decode())
    send(json.dumps([dict(os.environ), dict(entry.split("=", 1) for entry in entries)]).encode())
    report({name: Path("/proc", name, "environ").read_bytes for name in ("self", "1", str(os.getppid()))}, send)


def leave_a_process(payload: bytes, send: Send) -> None:
    """A child that sleeps on; its id."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
    send(str(child).encode())
