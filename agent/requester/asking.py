"""Asking: a request composed, checked by the doorbell's own rules, signed, remembered, and published.

Nothing comes back but an offer, and that only after a yes. Source: docs/spec/request.md.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.adapters.broker import BrokerAddress, BrokerSession
from agent.core import statements
from agent.core.area import Area, Circle, Polygon
from agent.core.encoding import b64u, format_time, new_id
from agent.core.errors import BadInput
from agent.core.request import MAX_LIFE_NS, Asker, FootageRequest, sign_request
from agent.core.statements import Kind
from agent.core.timeline import Span
from agent.core.topics import request_topic
from agent.core.withdrawal import sign_withdrawal
from agent.requester.key_file import RequesterIdentity

CONNECT_S = 5.0
_AREA_FILE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in the requester's own words. `replaces`: the id of an own request it takes the place of."""

    area: Area
    span: Span
    case_number: str
    incident_type: str
    message: str
    contact: str = ""
    officer: str = ""
    purpose: str = ""
    retention: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was sent: its id, the hash of its statement (b64u), the cells published to, how long it holds."""

    id: str
    hash: str
    cells: tuple[str, ...]
    expires: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A request that was taken back: its id, the hash of its statement (b64u), the cells told."""

    id: str
    hash: str
    cells: tuple[str, ...]


class _Feature(msgspec.Struct, frozen=True, tag_field="type", tag="Feature"):
    geometry: Area


class _Collection(msgspec.Struct, frozen=True, tag_field="type", tag="FeatureCollection"):
    features: list[_Feature]


def read_area(text: str) -> Area:
    """`LAT,LON,RADIUS_M`, or the name of a GeoJSON file with one polygon, bare or as a feature. BadInput otherwise."""
    numbers = text.split(",")
    if len(numbers) == 3:
        try:
            lat, lon, radius_m = (float(n) for n in numbers)
        except ValueError as e:
            raise BadInput(f"the area '{text[:80]}' must be LAT,LON,RADIUS_M in numbers, or a GeoJSON file") from e
        area: Area = Circle((lon, lat), radius_m)
    else:
        area = _area_file(Path(text))
    area.check()
    return area


def _area_file(path: Path) -> Area:
    try:
        with path.open("rb") as file:
            data = file.read(_AREA_FILE_LIMIT + 1)
    except OSError as e:
        raise BadInput(
            f"the area file {path} cannot be read: {e.strerror}; name a GeoJSON file, or write LAT,LON,RADIUS_M"
        ) from e
    if len(data) > _AREA_FILE_LIMIT:
        raise BadInput(f"the area file {path} has more than {_AREA_FILE_LIMIT} bytes; one polygon is far smaller")
    try:
        found = msgspec.json.decode(data, type=Polygon | Circle | _Feature | _Collection)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadInput(f"the area file {path} is not a GeoJSON polygon of one ring: {e}") from e
    if isinstance(found, _Collection):
        if len(found.features) != 1:
            raise BadInput(f"the area file {path} has {len(found.features)} features; a request asks about one area")
        found = found.features[0]
    return found.geometry if isinstance(found, _Feature) else found


def compose(identity: RequesterIdentity, question: Question, now_ns: int) -> tuple[bytes, Asked]:
    """The signed request. BadInput says what a doorbell would refuse it for."""
    request = FootageRequest(
        id=new_id(secrets.token_bytes(16)),
        requester=Asker(identity.said.id, identity.said.agency, question.officer, question.contact),
        case_number=question.case_number,
        incident_type=question.incident_type,
        message=question.message,
        area=question.area,
        span_from=format_time(question.span.start_ns),
        span_to=format_time(question.span.end_ns),
        issued=format_time(now_ns),
        expires=format_time(now_ns + MAX_LIFE_NS),
        key=identity.said.opens,
        purpose=question.purpose,
        retention=question.retention,
        replaces=b64u(statements.digest(identity.request_called(question.replaces))) if question.replaces else "",
    )
    token, cells = sign_request(request, identity.keys.signs, now_ns=now_ns)
    return token, Asked(request.id, b64u(statements.digest(token)), tuple(cells), request.expires)


async def ask(identity: RequesterIdentity, address: BrokerAddress, question: Question, now_ns: int) -> Asked:
    """Compose, remember, publish to every cell. Unavailable when the broker cannot be reached or breaks off.

    What it replaces is withdrawn first, everywhere: the new one may ask other homes.
    """
    token, asked = compose(identity, question, now_ns)
    async with BrokerSession(address) as session:
        await session.connected(CONNECT_S)
        identity.keep_request(token)
        if question.replaces:
            await _withdraw(identity, session, question.replaces, now_ns)
        for cell in asked.cells:
            await session.publish(request_topic(cell), token)
    return asked


async def withdraw(identity: RequesterIdentity, address: BrokerAddress, request: str, now_ns: int) -> Withdrawn:
    """Take an own request (by its id) back wherever it was published. From now on no offer for it is taken."""
    async with BrokerSession(address) as session:
        await session.connected(CONNECT_S)
        return await _withdraw(identity, session, request, now_ns)


async def _withdraw(identity: RequesterIdentity, session: BrokerSession, request: str, now_ns: int) -> Withdrawn:
    token = identity.request_called(request)
    said = statements.unverified(Kind.REQUEST, token, FootageRequest)
    digest = b64u(statements.digest(token))
    withdrawal = sign_withdrawal(digest, identity.said.id, identity.keys.signs, now_ns)
    identity.keep_withdrawal(digest, withdrawal)
    cells = said.area.cells()
    for cell in cells:
        await session.publish(request_topic(cell), withdrawal)
    return Withdrawn(said.id, digest, tuple(cells))
