"""The owner API and the owner's page over HTTP: routes, limits, headers. No rule of its own.

Every route is in one table (docs/spec/owner-api.md); nothing else is reachable. What it serves comes through the
Protocols below. Streams are Server-Sent Events: Safari refuses WebSockets on certificates it does not know.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from agent.adapters.page import Page
from agent.adapters.secure_page import Steps, is_private
from agent.core.encoding import from_b64u, from_json, to_json
from agent.core.errors import BadInput, Corrupt, DoorwardError, NotThere, Refused, Unavailable
from agent.core.owner_api import (
    AuditPage,
    Challenge,
    Changed,
    ClipDetail,
    ClipSummary,
    DecisionBody,
    Device,
    DirectoryStatement,
    HelloAnswer,
    HelloBody,
    JoinBody,
    JoiningBody,
    JoiningState,
    OwnersBody,
    PairAnswer,
    PairBody,
    RequestDetail,
    RequestRow,
    Requests,
    Session,
    SessionBody,
    SettingsAnswer,
    SettingsBody,
    Status,
    Taken,
    Welcome,
)
from agent.core.settings import Change

BODY_LIMIT = 1024 * 1024
DECISION_LIMIT = 12 * 1024 * 1024  # 64 clips, 4,096 sealed keys each, b64u: an owner's, never a stranger's
_KEEPALIVE_S = 15.0
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'"
)
_SECURITY_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), camera=()",
}
_STATUS_OF_REASON = {
    "no-session": 401,
    "not-asked": 409,
    "changed": 409,
    "recording": 409,
    "promised": 409,
    "taken": 409,
    "stale-owner-set": 409,
    "too-many": 429,
    "too-large": 413,
}

T = TypeVar("T")


class Doorkeeper(Protocol):
    """Pairing and sessions; every method raises Refused by name."""

    def device(self) -> Device: ...
    def hello(self, mac: str) -> HelloAnswer: ...
    def pair(self, owners: str, mac: str) -> PairAnswer: ...
    def challenge(self) -> Challenge: ...
    def open_session(self, proof: str) -> Session: ...
    def owner_of(self, token: str) -> str: ...


class Newcomers(Protocol):
    """Letter boxes for newcomers, and the next owner set."""

    def open(self, slot: str) -> JoiningState: ...
    def look(self, slot: str) -> JoiningState: ...
    def put(self, slot: str, entry: str, mac: str) -> Welcome: ...
    def welcome(self, slot: str) -> Welcome: ...
    def take_over(self, body: OwnersBody) -> Taken: ...


class Bulletin(Protocol):
    """What changes, as it changes."""

    def listen(self) -> AbstractContextManager[asyncio.Queue[Changed]]: ...


class Desk(Protocol):
    """What an owner may look at and do."""

    @property
    def bulletin(self) -> Bulletin: ...

    def status(self) -> Status: ...
    def clips(self, start: str | None, end: str | None, limit: int) -> list[ClipSummary]: ...
    def clip(self, clip: str) -> ClipDetail: ...
    def delete(self, clip: str, owner: str) -> ClipSummary: ...
    def sealed_path(self, clip: str) -> Path: ...
    def requests(self) -> list[RequestRow]: ...
    def request(self, request: str) -> RequestDetail: ...
    async def audit(self, after: int, limit: int) -> AuditPage: ...
    async def decide(self, request: str, decision: bytes, releases: list[bytes]) -> RequestRow: ...
    def undo(self, request: str) -> RequestRow: ...
    def hold(self, request: str) -> RequestRow: ...
    def resume(self, request: str) -> RequestRow: ...
    def stop(self, request: str) -> RequestRow: ...


class Preferences(Protocol):
    """What an owner may set about requests."""

    def show(self) -> SettingsAnswer: ...
    def directory(self) -> DirectoryStatement: ...
    def change(self, owner: str, change: Change) -> SettingsAnswer: ...


class OwnerServer:
    """Serves the page and the API. `start` binds, `stop` ends every connection."""

    def __init__(
        self,
        doorkeeper: Doorkeeper,
        newcomers: Newcomers,
        desk: Desk,
        preferences: Preferences,
        paired: Callable[[], None],
    ) -> None:
        self._doorkeeper = doorkeeper
        self._newcomers = newcomers
        self._desk = desk
        self._preferences = preferences
        self._paired = paired
        self._runner: web.AppRunner | None = None
        self._steps: Steps | None = None
        self._streams: set[asyncio.Task[object]] = set()
        self._page = Page(Path(str(files("agent").joinpath("web"))))

    async def start(self, host: str, port: int) -> int:
        """Listen; the port in use. Unavailable when it is taken."""
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[self._guard])
        self._add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        return await self._listen(self._runner, host, port, None)

    async def start_secure(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listen by TLS as well, after `start`; the port in use. Unavailable when it is taken."""
        assert self._runner is not None, "start comes first"
        return await self._listen(self._runner, host, port, context)

    def show_steps(self, steps: Steps) -> None:
        """From now on the plain address answers with these to everybody but this machine."""
        self._steps = steps

    async def _listen(self, runner: web.AppRunner, host: str, port: int, context: ssl.SSLContext | None) -> int:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError as e:
            await runner.cleanup()
            # asyncio of Python 3.13 leaves the number out where it found no address to listen at.
            if isinstance(e, socket.gaierror) or e.errno in (errno.EADDRNOTAVAIL, None):
                raise Unavailable(
                    f"http.host names {host}, which is no address of this machine; "
                    'put "127.0.0.1" there, or "0.0.0.0" for everybody in the home\'s network'
                ) from e
            if e.errno == errno.EACCES:
                raise Unavailable(
                    f"the owner's page cannot be served at port {port}: those below 1024 are root's; choose another in "
                    "the settings (http.port, http.https_port)"
                ) from e
            raise Unavailable(
                f"port {port} on {host} is not free for the owner's page ({os.strerror(e.errno or 0)}); "
                "stop what uses it, or choose another (http.port, http.https_port in the settings; --port of the demo)"
            ) from e
        return int(runner.addresses[-1][1])

    async def stop(self) -> None:
        """Close streams and connections."""
        for stream in self._streams:
            stream.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def _add_routes(self, app: web.Application) -> None:
        add = app.router.add_route
        for path in ("/", "/pair"):
            add("GET", path, self._index)
        add("GET", "/app/{name:[a-z0-9_./-]+}", self._asset)
        add("GET", "/api/device", self._open(lambda _: self._doorkeeper.device()))
        add("POST", "/api/pair/hello", self._hello)
        add("POST", "/api/pair", self._pair)
        add("POST", "/api/joining", self._joining)
        add("GET", "/api/joining/{slot}", self._closed(lambda r: self._newcomers.look(r.match_info["slot"])))
        add("POST", "/api/join/{slot}", self._join)
        add("GET", "/api/join/{slot}", self._open(lambda r: self._newcomers.welcome(r.match_info["slot"])))
        add("POST", "/api/owners", self._owners)
        add("POST", "/api/session/challenge", self._open(lambda _: self._doorkeeper.challenge()))
        add("POST", "/api/session", self._session)
        add("GET", "/api/status", self._closed(lambda _: self._desk.status()))
        add("GET", "/api/events", self._events)
        add("GET", "/api/clips", self._closed(self._clips))
        add("GET", "/api/clips/{clip}", self._closed(lambda r: self._desk.clip(r.match_info["clip"])))
        add("DELETE", "/api/clips/{clip}", self._delete)
        add("GET", "/api/clips/{clip}/sealed", self._sealed)
        add("GET", "/api/requests", self._closed(lambda _: Requests(self._desk.requests())))
        add("GET", "/api/requests/{id}", self._closed(lambda r: self._desk.request(r.match_info["id"])))
        add("POST", "/api/requests/{id}/decision", self._decide)
        for name in ("undo", "hold", "resume", "stop"):
            add("POST", f"/api/requests/{{id}}/{name}", self._closed(self._step(name)))
        add("GET", "/api/audit", self._audit)
        add("GET", "/api/settings", self._closed(lambda _: self._preferences.show()))
        add("POST", "/api/settings", self._change)
        add("GET", "/api/directory", self._closed(lambda _: self._preferences.directory()))

    # -- around every answer

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            if self._steps is not None and not is_private(request):
                response: web.StreamResponse = self._steps.answer(request)
            else:
                response = await handler(request)
        except DoorwardError as e:
            response = _error(e)
        except web.HTTPException as e:
            reason = {404: "not-found", 405: "not-allowed", 413: "too-large"}.get(e.status, "malformed")
            response = _json({"error": {"reason": reason, "text": e.reason}}, e.status)
        if not response.prepared:
            response.headers.update(_SECURITY_HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _owner(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Refused("no-session", "sign in first")
        return self._doorkeeper.owner_of(token)

    def _open(self, answer: Callable[[web.Request], object]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return _json(answer(request))

        return handle

    def _closed(self, answer: Callable[[web.Request], object]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            self._owner(request)
            return _json(answer(request))

        return handle

    # -- the page

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return self._file(request, "index.html")

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        return self._file(request, request.match_info["name"])

    def _file(self, request: web.Request, name: str) -> web.Response:
        asset = self._page.asset(name)
        headers = {"Content-Type": asset.content_type, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=asset.plain, headers=headers)
        return web.Response(body=asset.packed, headers=headers | {"Content-Encoding": "gzip"})

    # -- coming in

    async def _hello(self, request: web.Request) -> web.Response:
        body = await _body(request, HelloBody)
        return _json(self._doorkeeper.hello(body.mac))

    async def _pair(self, request: web.Request) -> web.Response:
        body = await _body(request, PairBody)
        answer = self._doorkeeper.pair(body.owners, body.mac)
        self._paired()
        return _json(answer)

    async def _session(self, request: web.Request) -> web.Response:
        body = await _body(request, SessionBody)
        return _json(self._doorkeeper.open_session(body.proof))

    async def _joining(self, request: web.Request) -> web.Response:
        self._owner(request)
        body = await _body(request, JoiningBody)
        return _json(self._newcomers.open(body.slot))

    async def _join(self, request: web.Request) -> web.Response:
        body = await _body(request, JoinBody)
        return _json(self._newcomers.put(request.match_info["slot"], body.entry, body.mac))

    async def _owners(self, request: web.Request) -> web.Response:
        self._owner(request)
        return _json(self._newcomers.take_over(await _body(request, OwnersBody)))

    # -- looking

    def _clips(self, request: web.Request) -> object:
        query = request.query
        return {"clips": self._desk.clips(query.get("from"), query.get("to"), _number(query.get("limit"), 100))}

    async def _audit(self, request: web.Request) -> web.Response:
        self._owner(request)
        query = request.query
        return _json(await self._desk.audit(_number(query.get("after"), 0), _number(query.get("limit"), 200)))

    async def _sealed(self, request: web.Request) -> web.StreamResponse:
        self._owner(request)
        path = self._desk.sealed_path(request.match_info["clip"])
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._owner(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        response.headers.update(_SECURITY_HEADERS)
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"
        self._streams.add(task)
        try:
            with self._desk.bulletin.listen() as queue:
                await response.prepare(request)
                await response.write(b": hello\n\n")
                while True:
                    await response.write(await _next_event(queue))
                    self._owner(request)  # a session that ended, or an owner who was removed, hears no more
        except ConnectionResetError:
            return response  # the phone went away: nothing is lost, it asks again when it is back
        finally:
            self._streams.discard(task)

    # -- deciding

    async def _decide(self, request: web.Request) -> web.Response:
        self._owner(request)
        body = await _body(request.clone(client_max_size=DECISION_LIMIT), DecisionBody)
        releases = [from_b64u(text) for text in body.releases]
        return _json(await self._desk.decide(request.match_info["id"], body.decision.encode(), releases))

    async def _delete(self, request: web.Request) -> web.Response:
        return _json(self._desk.delete(request.match_info["clip"], self._owner(request)))

    async def _change(self, request: web.Request) -> web.Response:
        owner = self._owner(request)
        return _json(self._preferences.change(owner, (await _body(request, SettingsBody)).change))

    def _step(self, name: str) -> Callable[[web.Request], object]:
        def take(request: web.Request) -> object:
            step: Callable[[str], RequestRow] = getattr(self._desk, name)
            return step(request.match_info["id"])

        return take


async def _next_event(queue: asyncio.Queue[Changed]) -> bytes:
    try:
        async with asyncio.timeout(_KEEPALIVE_S):
            changed = await queue.get()
    except TimeoutError:
        return b": still here\n\n"
    return b"event: changed\ndata: " + to_json(changed) + b"\n\n"


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 15:
        raise BadInput(f"'{text[:20]}' is not a number")
    return int(text)


async def _body(request: web.BaseRequest, kind: type[T]) -> T:
    return from_json(await request.read(), kind, "the request's body")


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")


def _error(error: DoorwardError) -> web.Response:
    reason, status = "unavailable", 503
    if isinstance(error, Refused):
        reason, status = error.reason, _STATUS_OF_REASON.get(error.reason, 403)
    elif isinstance(error, BadInput | Corrupt):
        reason, status = ("not-found", 404) if isinstance(error, NotThere) else ("malformed", 400)
    return _json({"error": {"reason": reason, "text": str(error)}}, status)
