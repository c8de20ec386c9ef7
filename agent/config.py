"""The configuration: a TOML file turned into frozen structs.

Every key has a default that works; an unknown key is refused with file, line and the key that was probably meant.
Reads one file and nothing else: where it lies is the command line's concern. Reference: config/doorward.toml.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from agent.core.errors import BadInput, Unavailable
from agent.core.mask import MAX_CORNERS, MAX_MASKS, MIN_CORNERS, Mask


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Doorbell(_Section, frozen=True):
    """Name and place. The place decides which requests concern this home; it never leaves the doorbell."""

    name: Annotated[str, Meta(min_length=1, max_length=64)] = "Front door"
    latitude: Annotated[float, Meta(ge=-90, le=90)] = 0.0
    longitude: Annotated[float, Meta(ge=-180, le=180)] = 0.0


Share = Annotated[float, Meta(ge=0, le=1)]


Corners = Annotated[list[tuple[Share, Share]], Meta(min_length=MIN_CORNERS, max_length=MAX_CORNERS)]


class CameraMask(_Section, frozen=True):
    """A part of the picture that is never recorded: corners as shares of width and height from the top left."""

    corners: Corners


class Camera(_Section, frozen=True):
    """Where video comes from: a live camera, or files to replay, one after the other; and what it must not see.

    Size, rate and bits are those of a Pi's own camera, or of one on USB.
    """

    url: str = ""
    replay: list[str] = []
    realtime: bool = True
    width: Annotated[int, Meta(ge=320, le=1920, multiple_of=2)] = 1920
    height: Annotated[int, Meta(ge=240, le=1920, multiple_of=2)] = 1080
    fps: Annotated[int, Meta(ge=5, le=30)] = 15
    bitrate_kbps: Annotated[int, Meta(ge=250, le=15_000)] = 4000
    rotate: Literal[0, 180] = 0
    masks: Annotated[list[CameraMask], Meta(max_length=MAX_MASKS)] = []


class Audio(_Section, frozen=True):
    """Whether sound is recorded, too: a network camera's own, else that of a microphone by ALSA's name (empty: the
    first there is)."""

    record: bool = False
    microphone: Annotated[str, Meta(max_length=128)] = ""


class MotionZone(_Section, frozen=True):
    """A part of the picture: corners as shares of width and height. `ignore`: what moves there does not count."""

    corners: Corners
    ignore: bool = False
    sensitivity: Annotated[int, Meta(ge=1, le=10)] | None = None


class Motion(_Section, frozen=True):
    """One slider, zones where it is another or nothing counts, and how much is kept around motion (seconds)."""

    sensitivity: Annotated[int, Meta(ge=1, le=10)] = 5
    zones: list[MotionZone] = []
    pre_roll_s: Annotated[float, Meta(ge=0, le=30)] = 5.0
    post_roll_s: Annotated[float, Meta(ge=0, le=60)] = 5.0


class Detector(_Section, frozen=True):
    """Which of `doorward models list` tells people, vehicles and animals apart; empty: none does."""

    model: str = "yolox-nano"


class Button(_Section, frozen=True):
    """The GPIO pin of the doorbell's button (BCM number), pressed: to ground; -1: none."""

    pin: Annotated[int, Meta(ge=-1, le=27)] = -1


class Notify(_Section, frozen=True):
    """What an owner is told of while it happens. `motion`: whatever moves, once a clip.

    `ntfy`: a topic at an ntfy server, empty for none; `page`: what a tap on a notice opens.
    """

    on: tuple[Literal["ring", "person", "vehicle", "animal", "motion"], ...] = ("ring", "person")
    ntfy: str = ""
    ntfy_token: str = ""
    page: str = ""


_MOST_MB = 1_000_000_000  # more than any disk


class RingSize(_Section, frozen=True):
    """The most the ring may take on the disk and the least it leaves free there, in megabytes of 10^6 bytes; how many
    days a clip is kept (0: as long as it fits)."""

    budget_mb: Annotated[int, Meta(ge=10, le=_MOST_MB)] = 8000
    min_free_mb: Annotated[int, Meta(ge=0, le=_MOST_MB)] = 300
    days: Annotated[int, Meta(ge=0, le=3650)] = 14


MIN_UPLOAD_KBIT_S = 100  # at less a block of 64 KiB is under way longer than a requester waits for it


class MqttBroker(_Section, frozen=True):
    """Where an MQTT broker is. Files (PEM): the authority behind its certificate, and a certificate to show with its
    key."""

    url: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""


class Broker(MqttBroker, frozen=True):
    """The broker requests come through; empty: none, and nobody can ask.

    `upload_kbit_s` (1,000 bits a second) is the most that released video takes of the uplink; 0: as much as there is.
    """

    upload_kbit_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class HomeAssistant(MqttBroker, frozen=True):
    """The household's own broker, where Home Assistant finds the doorbell; empty: it is told nothing."""

    discovery_prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=64)] = (
        "homeassistant"
    )


class Requesters(_Section, frozen=True):
    """Who may ask: files with their statements, and a directory of them (a file or a web address) by its key.

    Files are relative to the configuration file.
    """

    pinned: list[str] = []
    directory: str = ""
    directory_key: Annotated[str, Meta(pattern="^([A-Za-z0-9_-]{43})?$")] = ""


class Consent(_Section, frozen=True):
    """How long a yes can be taken back at least before anything leaves, in seconds."""

    undo_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0


class Clock(_Section, frozen=True):
    """Whether this machine's clock is believed though no time server vouches for it."""

    trusted: bool = False


class Http(_Section, frozen=True):
    """Where the owner's page is served: plain on this machine, by HTTPS to everybody else.

    `names`: what phones reach it under; `certificate`, `key`: PEM files, where it has a certificate from elsewhere.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    https_port: Annotated[int, Meta(ge=0, le=65535)] = 8443
    names: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""


class Config(_Section, frozen=True):
    """Everything that can be configured, and what it is when it is not."""

    doorbell: Doorbell = Doorbell()
    camera: Camera = Camera()
    audio: Audio = Audio()
    motion: Motion = Motion()
    detector: Detector = Detector()
    button: Button = Button()
    notify: Notify = Notify()
    ring: RingSize = RingSize()
    broker: Broker = Broker()
    requesters: Requesters = Requesters()
    consent: Consent = Consent()
    home_assistant: HomeAssistant = HomeAssistant()
    clock: Clock = Clock()
    http: Http = Http()


def read_config(path: Path) -> Config:
    """The configuration in `path`; BadInput names file, line and remedy for whatever is wrong in it."""
    return parse_config(path, read_text(path))


def read_text(path: Path) -> str:
    """The file as it is, line ends and all, but for the mark some editors put before UTF-8.

    Unavailable where it is another user's, BadInput where it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except PermissionError as e:
        raise Unavailable(f"the settings in {path} are not yours to read; put 'sudo' before the command") from e
    except OSError as e:
        raise BadInput(f"the settings in {path} cannot be read: {e.strerror}; check the path after --config") from e
    except UnicodeDecodeError as e:
        line = path.read_bytes()[: e.start].count(b"\n") + 1
        raise BadInput(
            f"{path}:{line}: this is not text in UTF-8; save the file as UTF-8, or name another one after --config"
        ) from e


def parse_config(path: Path, text: str) -> Config:
    """The same of a text that stands, or would stand, in `path`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise BadInput(_misspelt(path, text, str(e))) from e
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as e:
        raise BadInput(_explain(path, text, str(e))) from e
    if config.camera.url and config.camera.replay:
        line = _line(text, ["camera"], "url")
        raise BadInput(f"{path}:{line}: camera.url and camera.replay are both set; leave one of them out")
    if config.camera.rotate and (config.camera.replay or config.camera.url.lower().startswith("rtsp:")):
        line = _line(text, ["camera"], "rotate")
        raise BadInput(
            f"{path}:{line}: camera.rotate is for a Pi's camera or one on USB; a network camera has such a setting of "
            "its own, and films stay as they are"
        )
    asked = config.requesters
    if bool(asked.directory) != bool(asked.directory_key):
        line = _line(text, ["requesters"], "directory" if asked.directory else "directory_key")
        raise BadInput(f"{path}:{line}: requesters.directory and requesters.directory_key go together; set both")
    if 0 < config.broker.upload_kbit_s < MIN_UPLOAD_KBIT_S:
        line = _line(text, ["broker"], "upload_kbit_s")
        raise BadInput(f"{path}:{line}: broker.upload_kbit_s is at least {MIN_UPLOAD_KBIT_S}, or 0 for no limit")
    if config.http.port and config.http.port == config.http.https_port:
        line = _line(text, ["http"], "port")
        raise BadInput(f"{path}:{line}: http.port and http.https_port are the same; each needs its own")
    home = path.parent
    directory = asked.directory if "://" in asked.directory else str(home / asked.directory)
    return msgspec.structs.replace(
        config,
        broker=_beside(home, config.broker),
        home_assistant=_beside(home, config.home_assistant),
        http=_beside(home, config.http),
        camera=msgspec.structs.replace(config.camera, replay=[str(home / f) for f in config.camera.replay]),
        requesters=msgspec.structs.replace(
            asked,
            pinned=[str(home / f) for f in asked.pinned],
            directory=directory if asked.directory else "",
        ),
    )


WithFiles = TypeVar("WithFiles", Broker, HomeAssistant, Http)


def camera_masks(config: Config) -> tuple[Mask, ...]:
    """What the camera must not see."""
    return tuple(Mask(tuple(mask.corners)) for mask in config.camera.masks)


def _beside(home: Path, section: WithFiles) -> WithFiles:
    named = {name: getattr(section, name, "") for name in ("ca", "certificate", "key")}
    return msgspec.structs.replace(section, **{name: str(home / file) for name, file in named.items() if file})


_SLIPS = {
    r"=\s*[+-]?\d+,\d": "a number has a point, not a comma: 48.2",
    r"=\s*[+-]?0\d": "a number begins with no 0",
    r"=\s*(?i:yes|no|on|off|true|false)\s*(#|$)": "this is written true or false",
    r"[“”„«»‘’]": 'a text stands in straight "quotes"',
    r"^\s*\w+\s*:": "a name and its value have = between them",
    r"^[^#]*=[^#]*\s\w+\s*=": "each setting has a line of its own",
}
"""What people write that is no TOML, and what to say of it."""


def _misspelt(path: Path, text: str, error: str) -> str:
    """tomllib's words for what is no TOML, with the line first; better ones where the slip is a usual one."""
    what, _, line = error.partition(" (at line ")
    place = f"{path}:{line.split(',')[0]}" if line else str(path)
    if what.startswith(("Cannot overwrite a value", "Cannot declare")):
        return f"{place}: this stands there twice; take one of them out"
    if line:
        wrong = text.splitlines()[int(line.split(",")[0]) - 1]
        for slip, says in _SLIPS.items():
            if re.search(slip, wrong):
                return f"{place}: {says}"
    return f'{place}: {what}; does a text lack its "quotes", or a bracket its other half?'


def _explain(path: Path, text: str, error: str) -> str:
    """msgspec's words, with the line they are about."""
    place = re.search(r"at `\$\.?([\w.]*)([^`]*)", error)
    keys = place.group(1).split(".") if place and place.group(1) else []
    inside = place.group(2) if place else ""
    unknown = re.search(r"unknown field `([^`]*)`", error)
    if unknown:
        name = unknown.group(1)
        line = _line(text, keys, name) if not inside else _line_inside(text, keys, name)
        return f"{path}:{line}: there is no setting '{name}'{_meant(keys, name, inside=bool(inside))}"
    what = _plain(keys, error.split(" - at")[0])
    subject = ".".join(keys)
    if inside:
        parts = ["an entry"] if inside.endswith("]") else []
        parts += [f"'{name}'" for name in re.findall(r"[a-z_]+", inside)[-1:]]
        subject += f": {' of '.join(parts)}"
    return f"{path}:{_line(text, keys[:-1], keys[-1] if keys else '')}: {subject} {what}"


def _meant(keys: list[str], name: str, *, inside: bool) -> str:
    """What was probably meant by the unknown `name` below `keys`, or `inside` an entry of the list they name."""
    sections = msgspec.structs.fields(Config)
    if not keys:
        homes = [f"[{s.name}]" for s in sections if name.lower() in (f.name for f in msgspec.structs.fields(s.type))]
        if homes:
            return f" up here; it stands below {' or '.join(homes)}"
    known = Config if not keys else next(s.type for s in sections if s.name == keys[0])
    if inside:
        known = {"masks": CameraMask, "zones": MotionZone}[keys[-1]]
    near = difflib.get_close_matches(name.lower(), [f.name for f in msgspec.structs.fields(known)], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


_WORDS = {
    "str": ('a text in "quotes"', "character"),
    "int": ("a whole number", ""),
    "float": ("a number", ""),
    "bool": ("true or false", ""),
    "array": ("a list in [brackets]", "entry"),
    "object": ("settings of its own, in {braces}", ""),
}
_SEVERAL = {"character": "characters", "entry": "entries"}
_BOUNDS = {
    ">=": "of at least",
    "<=": "of at most",
    "that's a multiple of": "divisible by",
}
_BOUND = "|".join(map(re.escape, [*_BOUNDS, "matching regex"]))
_FORMS = {
    "requesters.directory_key": "the key that 'doorward directory init' prints, 43 characters long",
    "home_assistant.discovery_prefix": "a text of letters, digits, - and _, with / between parts",
}


def _plain(keys: list[str], error: str) -> str:
    """What msgspec says of a value, for who has never written a program."""
    expected = re.fullmatch(rf"Expected `(\w+)`(?: (of length )?({_BOUND}) (.*)|, got `\w+`)?", error)
    if expected and expected.group(1) in _WORDS:
        kind, part = _WORDS[expected.group(1)]
        _, length, bound, limit = expected.groups()
        if bound is None:
            section = expected.group(1) == "object" and len(keys) == 1
            return f"has to be [{keys[0]}] on a line of its own, its settings below" if section else f"has to be {kind}"
        if bound == "matching regex":
            return f"has to be {_FORMS['.'.join(keys)]}"
        parts = f" {part if limit == '1' else _SEVERAL[part]}" if length else ""
        return f"has to be {kind} {_BOUNDS[bound]} {limit.removesuffix('.0')}{parts}"
    missing = re.fullmatch(r"Object missing required field `(\w+)`", error)
    if missing:
        return f"lacks '{missing.group(1)}'"
    wrong = re.fullmatch(r"Invalid enum value (.*)", error)
    if wrong:
        *others, last = [msgspec.json.encode(choice).decode() for choice in _choices(keys)]
        return f"cannot be {wrong.group(1)}; write {', '.join(others)} or {last}"
    return error


def _choices(keys: list[str]) -> tuple[object, ...]:
    """The values a setting can have, where they can be told."""
    kind: Any = Config
    for key in keys:
        kind = get_type_hints(kind)[key]
    while get_origin(kind) is not Literal:
        kind = get_args(kind)[0]
    return get_args(kind)


def _line_inside(text: str, keys: list[str], name: str) -> int:
    """The line where `name` stands in an entry of the list that `keys` name: in its braces, or below [[its name]]."""
    first = _line(text, keys[:-1], keys[-1])
    for number, line in enumerate(text.splitlines()[first - 1 :], first):
        if re.search(rf"\b{re.escape(name)}\b\"?\s*=", line.partition("#")[0]):
            return number
    return first


def _line(text: str, section: list[str], key: str) -> int:
    """The line where `key` of `section` stands, or the section's, or 1."""
    current, best = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([\w.]+)\s*\]", line)
        if header:
            current = header.group(1)
            if current in (".".join(section), key, ".".join([*section, key])):
                best = number
        elif current == ".".join(section) and re.match(rf"\s*\"?{re.escape(key)}\"?\s*[=.]", line):
            return number
    return best
