"""A bucket as its server sees it, past DVC."""

from tests.s3.account import Account


class Bucket:
    """Made anew."""

    def __init__(self, account: Account, name: str) -> None:
        self.name = name
        self._client = account.client()
        self._client.create_bucket(Bucket=name)

    def objects(self) -> dict[str, bytes]:
        """Content of every object, by key."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {item["Key"]: self.read(item["Key"]) for page in pages for item in page.get("Contents", [])}

    def read(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)
