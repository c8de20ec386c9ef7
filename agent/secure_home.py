"""Where phones in the home find the owner's page, and the certificate it has there.

Owns the choice: on this machine alone, plain; in the home's network with a certificate of the doorbell's own authority,
or with the one the configuration names. Source: docs/design/https.md.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from agent.adapters.secure_page import SecureContext, Steps
from agent.config import Config
from agent.core.errors import BadInput, DoorwardError
from agent.store.home_certificate import HomeCertificate, authority_code, authority_hash, general_name
from agent.store.state import StateDirectory

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 600.0


def stays_here(host: str) -> bool:
    """Whether only this machine can reach what is served at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SecureHome:
    """The page's HTTPS address in the home. BadInput where what is configured for it cannot be used."""

    def __init__(self, config: Config, state: StateDirectory) -> None:
        http = config.http
        if bool(http.certificate) != bool(http.key):
            raise BadInput("http.certificate and http.key belong together: name both, or neither")
        self._name = config.doorbell.name
        self.names = http.names or (f"{socket.gethostname().partition('.')[0]}.local",)
        for name in self.names:
            general_name(name)
        self._port = http.https_port
        self._own = None if http.certificate else HomeCertificate(state.root / "tls", self._name, self.names)
        chain, key = (self._own.chain, self._own.key) if self._own else (Path(http.certificate), Path(http.key))
        self._context = SecureContext(chain, key)
        self.context = self._context.context

    def origin(self, port: int | None = None) -> str:
        """What a phone opens; `port` where another one than the configured is in use."""
        host = f"[{self.names[0]}]" if ":" in self.names[0] else self.names[0]
        return f"https://{host}:{port or self._port}"

    def authority_hash(self) -> bytes:
        """For the pairing link; empty where browsers know the certificate already."""
        return authority_hash(self._own.authority()) if self._own else b""

    def authority_code(self) -> str:
        """What a person compares; empty likewise."""
        return authority_code(self._own.authority()) if self._own else ""

    def renew(self, now_ns: int) -> None:
        """Make or renew what is due, and serve with it. `now_ns` in UTC."""
        if self._own is not None and self._own.renew(datetime.fromtimestamp(now_ns / 1e9, UTC)):
            log.info("the owner's page has a new certificate")
        self._context.follow()

    def look_after(self, now_ns: int) -> None:
        """`renew` while it is served: what fails is said, and the page goes on with what it has."""
        try:
            self.renew(now_ns)
        except DoorwardError as e:
            log.error("the page's certificate cannot be renewed: %s", e)

    async def keep_fresh(self, now: Callable[[], int]) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look_after(now())

    def steps(self, port: int) -> Steps:
        """What the plain address shows; `port`: where the page is served by HTTPS."""
        template = files("agent").joinpath("web/steps.html").read_text(encoding="utf-8")
        if self._own is None:
            return Steps(template, self._name, self.origin(port))
        authority = self._own.authority()
        return Steps(template, self._name, self.origin(port), authority, authority_code(authority))
