"""An account at a running S3 server."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    """Credentials that the server checks, and the port on loopback where it listens."""

    port: int
    key: str
    secret: str

    def client(self) -> Any:
        """A boto3 client that talks to the server directly."""
        import boto3  # noqa: PLC0415  # takes half a second

        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )
