"""A task that makes system calls that no answer needs, past the C library."""

import ctypes

from tests.shared.kernels.sandbox.hostile_attempts import Send, raw, report

# Number on x86-64, on aarch64; with nulls as arguments each would fail otherwise, or do no harm.
CALLS = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setresuid": (117, 147),
    "setgroups": (116, 159),
    "capset": (126, 91),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "personality": (135, 92),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "fanotify_init": (300, 262),
    "inotify_init1": (294, 26),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "mbind": (237, 235),
    "mlock": (149, 228),
    "mlockall": (151, 230),
    "vmsplice": (278, 75),
    "splice": (275, 76),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "setpriority": (141, 140),
    "sched_setattr": (314, 274),
    "sched_setscheduler": (144, 119),
    "ioprio_set": (251, 30),
    "setsid": (112, 157),
    "truncate": (76, 45),
    "sync": (162, 81),
    "lookup_dcookie": (212, 18),
    "mq_open": (240, 180),
    "shmget": (29, 194),
    "signalfd4": (289, 74),
    "timerfd_create": (283, 85),
    "no such call": (9999, 9999),
    "getpid of x32": (0x40000000 + 39, 9998),
}


def call_everything(payload: bytes, send: Send) -> None:
    nothing = ctypes.c_void_p(None)
    attempts = {name: raw(numbers, *[nothing] * 6) for name, numbers in CALLS.items()}
    attempts["prctl: dumpable"] = raw((157, 167), 4, 1, 0, 0, 0)
    attempts["prctl: signal of the parent's death"] = raw((157, 167), 1, 0, 0, 0, 0)
    attempts["prctl: seccomp"] = raw((157, 167), 22, 0, 0, 0, 0)
    attempts["ioctl: type into a terminal"] = raw((16, 29), 0, 0x5412, ctypes.create_string_buffer(b"x"))
    attempts["fcntl: lease"] = raw((72, 25), 3, 1024, 0)
    attempts["thread in new namespaces"] = raw((56, 220), ctypes.c_long(0x3D0F00 | 0x10000000), 0, 0, 0, 0)
    report(attempts, send)
