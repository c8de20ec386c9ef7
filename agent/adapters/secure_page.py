"""HTTPS for the owner's page, and what the page's plain address shows instead to whoever is not this machine.

A browser keeps keys only for a page it trusts, so over plain HTTP there is nothing but the steps that make it trust
this one. Owns the TLS context, which follows certificates that are renewed while it runs. Source: docs/design/https.md.
"""

from __future__ import annotations

import html
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from agent.core.errors import BadInput, Unavailable

AUTHORITY_PATH = "/doorward-ca.crt"
_PUBLIC = ("/app/style.css", "/app/icon.svg")


class SecureContext:
    """A context over a certificate chain and its key, read again whenever the files have changed."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._loaded: tuple[int, int] | None = None
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    def follow(self) -> None:
        """BadInput names the file that cannot be used; a connection that stands is not touched."""
        try:
            changed = (self._chain.stat().st_mtime_ns, self._key.stat().st_mtime_ns)
            if changed != self._loaded:
                self.context.load_cert_chain(self._chain, self._key)
                self._loaded = changed
        except ssl.SSLError as e:
            raise BadInput(
                f"http.certificate {self._chain} and http.key {self._key} are no certificate and its key ({e.reason})"
            ) from e
        except OSError as e:
            raise BadInput(f"http.certificate {self._chain} or its key {self._key} cannot be read: {e.strerror}") from e


@dataclass(frozen=True, slots=True)
class Steps:
    """What stands at the plain address: the way to `origin`, and the `authority` (DER) to install first.

    `code`: what the person compares with what the doorbell's terminal says. Without an authority the browser trusts
    the page already, and is sent on.
    """

    template: str
    name: str
    origin: str
    authority: bytes = b""
    code: str = ""

    def answer(self, request: web.Request) -> web.Response:
        """Instead of whatever was asked for."""
        if not self.authority:
            return web.Response(status=307, headers={"Location": f"{self.origin}/"})
        if request.path == AUTHORITY_PATH:
            return web.Response(body=self.authority, content_type="application/x-x509-ca-cert")
        page = self.template
        for mark, text in (("NAME", self.name), ("ORIGIN", self.origin), ("CODE", self.code)):
            page = page.replace(f"{{{mark}}}", html.escape(text))
        return web.Response(text=page, content_type="text/html", status=200 if request.path == "/" else 404)


def is_private(request: web.Request) -> bool:
    """Whether nobody on the network can read along: TLS, or this machine talking to itself."""
    if request.secure or request.path in _PUBLIC:
        return True
    try:
        return ipaddress.ip_address((request.remote or "").partition("%")[0]).is_loopback
    except ValueError as e:
        raise Unavailable("the connection names no address") from e
