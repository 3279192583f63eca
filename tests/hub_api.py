"""The part of the Hub's HTTP API that `huggingface_hub` and `datasets` call."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tests.hub_card_rules import problems
from tests.hub_repositories import (
    MissingFileError,
    RefusedError,
    Repositories,
    Repository,
    Stored,
    is_lfs,
    pointer,
)

READ_TOKEN = "hf_read"
WRITE_TOKEN = "hf_write"
KNOWN_TOKENS = frozenset({READ_TOKEN, WRITE_TOKEN})
EPOCH = "2026-01-01T00:00:00.000Z"
REPOSITORY = "/api/{kind:models|datasets}/{owner}/{name}"


class MissingRepositoryError(Exception):
    """No such repository, or none that this token may see: the Hub does not tell which."""

    def __init__(self, status: int) -> None:
        super().__init__("Repository not found")
        self.status = status


def failure(status: int, message: str, code: str | None = None, **headers: str) -> web.Response:
    """An error as the Hub gives it: in JSON and in headers."""
    named = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | headers
    return web.json_response({"error": message}, status=status, headers=named)


class Api:
    """Answers requests from `repositories`; `page_size` is the most entries of one page of a tree."""

    def __init__(self, repositories: Repositories) -> None:
        self.repositories = repositories
        self.page_size = 1000

    def routes(self) -> list[web.RouteDef]:
        """Every route; the name of its handler is the name of the call."""
        objects = "{owner}/{name}.git/info/lfs/objects/batch"
        resolve = "{owner}/{name}/resolve/{revision}/{path:.+}"
        return [
            web.get("/api/whoami-v2", self.whoami),
            web.post("/api/repos/create", self.create),
            web.post("/api/validate-yaml", self.validate_yaml),
            web.get(REPOSITORY, self.info),
            web.get(REPOSITORY + "/revision/{revision}", self.info),
            web.get(REPOSITORY + "/refs", self.refs),
            web.get(REPOSITORY + "/commits/{revision}", self.commits),
            web.get(REPOSITORY + "/tree/{revision}", self.tree),
            web.get(REPOSITORY + "/tree/{revision}/{path:.+}", self.tree),
            web.post(REPOSITORY + "/paths-info/{revision}", self.paths_info),
            web.post(REPOSITORY + "/preupload/{revision}", self.preupload),
            web.post(REPOSITORY + "/commit/{revision}", self.commit),
            web.post(REPOSITORY + "/tag/{revision}", self.tag),
            web.delete(REPOSITORY + "/tag/{revision}", self.untag),
            web.post(f"/{{kind:datasets}}/{objects}", self.lfs_batch),
            web.post(f"/{objects}", self.lfs_batch),
            web.put("/lfs/{sha256}", self.lfs_upload),
            web.post("/lfs/{sha256}/verify", self.lfs_verify),
            web.get(f"/{{kind:datasets}}/{resolve}", self.resolve),
            web.get(f"/{resolve}", self.resolve),
        ]

    async def whoami(self, request: web.Request) -> web.Response:
        token = token_of(request)
        if token not in KNOWN_TOKENS:
            return failure(401, "Invalid username or password.")
        return web.json_response({"type": "user", "name": "tester", "orgs": [], "auth": {"type": "access_token"}})

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        kind, name = f"{body.get('type', 'model')}s", f"{body.get('organization') or 'tester'}/{body['name']}"
        if token_of(request) != WRITE_TOKEN:
            return failure(403, "You don't have the rights to create a repo under this namespace")
        url = f"{origin(request)}/{'' if kind == 'models' else kind + '/'}{name}"
        private = body.get("visibility") == "private" or body.get("private") is True
        try:
            self.repositories.create(kind, name, private=private)
        except RefusedError as refused:
            return web.json_response({"error": str(refused), "url": url}, status=refused.status)
        return web.json_response({"url": url, "name": name})

    async def validate_yaml(self, request: web.Request) -> web.Response:
        errors, warnings = problems((await request.json())["content"])
        told = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
        return web.json_response(told, status=400 if errors else 200)

    async def info(self, request: web.Request) -> web.Response:
        found = self._repository(request)
        oid = found.commit_of(request.match_info.get("revision", "main"))
        told = {
            "_id": oid[:24],
            "id": found.name,
            "author": found.name.split("/")[0],
            "sha": oid,
            "lastModified": EPOCH,
            "createdAt": EPOCH,
            "private": found.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in found.files(oid)],
        }
        return web.json_response(told)

    async def refs(self, request: web.Request) -> web.Response:
        found = self._repository(request)
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": oid} for n, oid in found.branches.items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": oid} for n, oid in found.tags.items()]
        return web.json_response({"branches": branches, "converts": [], "tags": tags, "pullRequests": []})

    async def commits(self, request: web.Request) -> web.Response:
        found = self._repository(request)
        told = [
            {"id": oid, "title": commit.message, "message": "", "date": EPOCH, "authors": [{"user": "tester"}]}
            for oid, commit in found.history(request.match_info["revision"])
        ]
        return web.json_response(told)

    async def tree(self, request: web.Request) -> web.Response:
        files = self._repository(request).files(request.match_info["revision"])
        folder = request.match_info.get("path", "").strip("/")
        inside = {path: stored for path, stored in files.items() if not folder or path.startswith(f"{folder}/")}
        if folder and not inside:
            raise MissingFileError(folder)
        entries = list(_entries(inside, folder, recursive=request.query.get("recursive", "").lower() in {"true", "1"}))
        start = int(request.query.get("cursor", 0))
        rest = start + self.page_size
        headers = {}
        if rest < len(entries):
            following = request.url.update_query(cursor=rest)
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(entries[start:rest], headers=headers)

    async def paths_info(self, request: web.Request) -> web.Response:
        files = self._repository(request).files(request.match_info["revision"])
        if request.content_type == "application/json":
            wanted = (await request.json())["paths"]
        else:
            wanted = (await request.post()).getall("paths", [])
        told = [_file(path, files[path]) for path in wanted if path in files]
        folders = [path for path in wanted if path not in files and any(f.startswith(f"{path}/") for f in files)]
        return web.json_response([*told, *(_folder(path) for path in folders)])

    async def preupload(self, request: web.Request) -> web.Response:
        found = self._repository(request, write=True)
        files = found.files(request.match_info["revision"])
        told = []
        for item in (await request.json())["files"]:
            path, old = item["path"], files.get(item["path"])
            mode = "lfs" if is_lfs(path, item["size"]) or b"\0" in base64.b64decode(item["sample"]) else "regular"
            oid = old and (old.sha256 if old.lfs else old.oid)
            told.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return web.json_response({"files": told})

    async def commit(self, request: web.Request) -> web.Response:
        found = self._repository(request, write=True)
        header: dict[str, Any] = {}
        added: dict[str, Stored] = {}
        deleted = []
        for line in (await request.read()).splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                header = value
            elif item["key"] == "file":
                content = base64.b64decode(value["content"])
                added[value["path"]] = self.repositories.stored_text(content)
            elif item["key"] == "lfsFile":
                if not self.repositories.blob(value["oid"]).exists():
                    return failure(400, "Your push was rejected because an LFS pointer pointed to a missing file")
                added[value["path"]] = self.repositories.stored_lfs(value["oid"])
            else:
                deleted.append(value["path"].rstrip("/") + ("/" if item["key"] == "deletedFolder" else ""))
        if "README.md" in added:
            errors, _ = problems(self.repositories.blob(added["README.md"].sha256).read_text())
            if errors:
                return failure(400, "; ".join(errors))
        branch, parent = request.match_info["revision"], header.get("parentCommit")
        oid = self.repositories.commit(found, header["summary"], added, deleted, parent=parent, branch=branch)
        url = f"{origin(request)}/{found.kind}/{found.name}/commit/{oid}"
        return web.json_response({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    async def tag(self, request: web.Request) -> web.Response:
        found = self._repository(request, write=True)
        self.repositories.tag(found, (await request.json())["tag"], request.match_info["revision"])
        return web.json_response({})

    async def untag(self, request: web.Request) -> web.Response:
        self.repositories.untag(self._repository(request, write=True), request.match_info["revision"])
        return web.json_response({})

    async def lfs_batch(self, request: web.Request) -> web.Response:
        self._repository(request, write=True)
        objects = []
        for item in (await request.json())["objects"]:
            told: dict[str, Any] = {"oid": item["oid"], "size": item["size"], "authenticated": True}
            if not self.repositories.blob(item["oid"]).exists():
                href = f"{origin(request)}/lfs/{item['oid']}"
                told["actions"] = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            objects.append(told)
        return web.json_response({"transfer": "basic", "objects": objects})

    async def lfs_upload(self, request: web.Request) -> web.Response:
        content = await request.read()
        kept = self.repositories.keep(content)
        wrong = kept != request.match_info["sha256"]
        return web.Response(status=400 if wrong else 200)

    async def lfs_verify(self, request: web.Request) -> web.Response:
        exists = self.repositories.blob(request.match_info["sha256"]).exists()
        return web.json_response({}, status=200 if exists else 404)

    async def resolve(self, request: web.Request) -> web.Response:
        found = self._repository(request)
        oid, path = found.commit_of(request.match_info["revision"]), request.match_info["path"]
        headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes"}
        if path not in found.files(oid):
            return failure(404, "Entry not found", "EntryNotFound", **headers)
        stored = found.files(oid)[path]
        headers["ETag"] = f'"{stored.sha256 if stored.lfs else stored.oid}"'
        if stored.lfs:
            headers |= {"X-Linked-ETag": f'"{stored.sha256}"', "X-Linked-Size": str(stored.size)}
        content, status = self.repositories.read(found, path, oid), 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), int(wanted[2] or stored.size - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{stored.size}"
            content, status = content[first : last + 1], 206
        return web.Response(body=content, status=status, headers=headers)

    def _repository(self, request: web.Request, *, write: bool = False) -> Repository:
        match = request.match_info
        found = self.repositories.all.get((match.get("kind", "models"), f"{match['owner']}/{match['name']}"))
        token = token_of(request)
        if found is None or (found.private and token not in KNOWN_TOKENS):
            raise MissingRepositoryError(404 if token in KNOWN_TOKENS else 401)
        if write and token != WRITE_TOKEN:
            raise RefusedError(403, "Forbidden: you must use a write token to upload to a repository.")
        return found


def token_of(request: web.Request) -> str | None:
    """The bearer token of a request."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ") or None


def origin(request: web.Request) -> str:
    return str(request.url.origin())


def _entries(files: dict[str, Stored], folder: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    depth = folder.count("/") + 1 if folder else 0
    seen = set()
    for path, stored in files.items():
        parts = path.split("/")
        for end in range(depth + 1, len(parts) if recursive else min(len(parts), depth + 2)):
            parent = "/".join(parts[:end])
            if parent not in seen:
                seen.add(parent)
                yield _folder(parent)
        if recursive or len(parts) == depth + 1:
            yield _file(path, stored)


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}


def _file(path: str, stored: Stored) -> dict[str, Any]:
    told = {"type": "file", "oid": stored.oid, "size": stored.size, "path": path}
    size = len(pointer(stored.sha256, stored.size))
    return told | ({"lfs": {"oid": stored.sha256, "size": stored.size, "pointerSize": size}} if stored.lfs else {})
