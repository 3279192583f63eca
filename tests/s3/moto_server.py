"""An S3 server in a process of its own: the server of `moto`, which checks signatures and keeps objects in memory."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.s3.account import Account

_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@contextlib.contextmanager
def moto_server(folder: Path) -> Iterator[Account]:
    """Start the server on a free port, with one account; its log is in the folder."""
    # Signatures are checked after the three actions of `_account`: somebody has to make the first one.
    env = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "3"}
    words = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", "0"]
    log = folder / "moto.log"
    with log.open("w") as told:
        server = subprocess.Popen(words, env=env, stderr=told, start_new_session=True)
    try:
        yield _account(_port(server, log))
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + 60
    while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "the server did not come up in 60 s"
        time.sleep(0.1)
    return int(found[1])


def _account(port: int) -> Account:
    import boto3  # noqa: PLC0415  # takes half a second

    url = f"http://127.0.0.1:{port}"
    iam = boto3.client("iam", "us-east-1", endpoint_url=url, aws_access_key_id="-", aws_secret_access_key="-")
    iam.create_user(UserName="dvc")
    key = iam.create_access_key(UserName="dvc")["AccessKey"]
    iam.put_user_policy(UserName="dvc", PolicyName="s3", PolicyDocument=json.dumps(_POLICY))
    return Account(port, key["AccessKeyId"], key["SecretAccessKey"])
