"""Ceph's S3 server, from the packages radosgw, ceph-mon, ceph-osd and ceph-mgr: one node, its objects in memory.

One monitor, one object store, one manager and the gateway, each a daemon that writes its pid file; ports are free ones
of loopback. Authentication between the daemons stays on: without it the gateway of 16.2 never finishes its start.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.s3.account import Account

_CONFIG = """
[global]
fsid = {fsid}
keyring = {folder}/keyring
mon_initial_members = a
mon_host = v2:127.0.0.1:{monitor}
public_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 1073741824
mon_data = {folder}/mon
mgr_data = {folder}/mgr
osd_data = {folder}/osd
rgw_data = {folder}/rgw
run_dir = {folder}
admin_socket = {folder}/$name.socket
pid_file = {folder}/$name.pid
log_file = {folder}/$name.log
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
"""
_ANY = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
_KEYS = {
    "mon.": ["--cap", "mon", "allow *"],
    "client.admin": _ANY,
    "client.rgw.a": _ANY,
    "mgr.a": _ANY,
    "osd.0": ["--cap", "mon", "allow profile osd", "--cap", "mgr", "allow profile osd", "--cap", "osd", "allow *"],
}
_START_S = 120


@contextlib.contextmanager
def radosgw(folder: Path) -> Iterator[Account]:
    """Start the cluster, with one account; its files and logs are in the folder."""
    monitor, gateway = _free_ports(2)
    for name in ("mon", "mgr", "osd", "rgw"):
        (folder / name).mkdir()
    config = folder / "ceph.conf"
    config.write_text(_CONFIG.format(folder=folder, fsid=uuid.uuid4(), monitor=monitor, gateway=gateway))

    def run(*words: str) -> None:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=_START_S)
        assert done.returncode == 0, done.stdout + done.stderr

    def ceph(program: str, *words: str) -> None:
        run(program, "-c", str(config), *words)

    try:
        for name, capabilities in _KEYS.items():
            create = [] if (folder / "keyring").exists() else ["--create-keyring"]
            run("ceph-authtool", "keyring", *create, "--gen-key", "--name", name, *capabilities)
        fsid = config.read_text().split("fsid = ")[1].split()[0]
        run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{monitor}]", "monmap")
        ceph("ceph-mon", "--mkfs", "--id", "a", "--monmap", "monmap", "--keyring", "keyring")
        ceph("ceph-mon", "--id", "a")
        store = str(uuid.uuid4())
        ceph("ceph", "osd", "new", store)
        ceph("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", store)
        ceph("ceph-osd", "--id", "0")
        ceph("ceph-mgr", "--id", "a")
        ceph("radosgw", "--name", "client.rgw.a")
        _wait_for(gateway)
        account = Account(gateway, "key-of-the-test", "secret-of-the-test")
        words = ["user", "create", "--uid", "dvc", "--display-name", "dvc"]
        keys = ["--access-key", account.key, "--secret", account.secret]
        ceph("radosgw-admin", "--name", "client.rgw.a", *words, *keys)
        yield account
    finally:
        for file in folder.glob("*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, f"the gateway did not come up in {_START_S} s"
        time.sleep(0.2)
