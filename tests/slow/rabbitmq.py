"""Three RabbitMQ nodes on loopback as one cluster, whose nodes can be killed, and the balancer in front of it.

The nodes have ports, names, cookie and databases of their own in one folder: nothing of them meets a RabbitMQ that
runs on this machine. Source: the RabbitMQ guides "Clustering", "Cluster Formation" and "MQTT Plugin".
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.slow.conftest import free_port, needed, wait_for_port

NODES = 3
START_S = 90.0
PROGRAMS = Path("/usr/lib/rabbitmq/bin")  # those in the PATH insist on the account and the folders of Debian's service


class RabbitCluster:
    """Three nodes in one cluster while entered. Anybody on this machine may connect by MQTT."""

    def __init__(self, folder: Path) -> None:
        needed("rabbitmq-server")
        self.mqtt_ports = [free_port() for _ in range(NODES)]
        self._folder = folder
        self._epmd_port = free_port()
        self._names: subprocess.Popen[bytes] | None = None
        self._nodes: list[subprocess.Popen[bytes] | None] = [None] * NODES
        self._between = [free_port() for _ in range(NODES)]
        for node in range(NODES):
            self._configure(node, free_port())

    def _configure(self, node: int, amqp_port: int) -> None:
        home = self._folder / f"node-{node}"
        home.mkdir()
        peers = "".join(f"cluster_formation.classic_config.nodes.{n} = n{n}@localhost\n" for n in range(NODES))
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{amqp_port}\n"
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.mqtt_ports[node]}\n"
            "mqtt.allow_anonymous = true\n"
            f"cluster_formation.peer_discovery_backend = classic_config\n{peers}"
            "cluster_formation.discovery_retry_limit = 1\n"  # the first has nobody to wait for
        )
        (home / "plugins").write_text("[rabbitmq_mqtt].\n")

    def _environment(self, node: int) -> dict[str, str]:
        home = self._folder / f"node-{node}"
        here = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return here | {
            "HOME": str(self._folder),  # where the cookie is
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"n{node}@localhost",
            "RABBITMQ_DIST_PORT": str(self._between[node]),
            "RABBITMQ_MNESIA_BASE": str(home),
            "RABBITMQ_LOG_BASE": str(home),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "environment"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            # Erlang's schedulers spin while they wait, as if nobody else needed the processor.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def start(self, node: int) -> None:
        """Start a node, for the first time or again; returns when it takes MQTT connections."""
        with (self._folder / f"node-{node}" / "out.log").open("ab") as log:
            process = subprocess.Popen(
                [PROGRAMS / "rabbitmq-server"],
                env=self._environment(node),
                stdout=log,
                stderr=log,
                start_new_session=True,  # a script with the node below it: killed as one
            )
        self._nodes[node] = process
        wait_for_port(self.mqtt_ports[node], process, START_S)

    def kill(self, node: int) -> None:
        """As when its machine loses power."""
        process = self._nodes[node]
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        self._nodes[node] = None

    def running(self) -> list[str]:
        """The names of the nodes that run, as one that does sees it."""
        asked = next(node for node, process in enumerate(self._nodes) if process is not None)
        done = subprocess.run(
            [PROGRAMS / "rabbitmqctl", "cluster_status", "--formatter", "json"],
            env=self._environment(asked),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        status: dict[str, Any] = json.loads(done.stdout)
        return sorted(status["running_nodes"])

    def __enter__(self) -> RabbitCluster:
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text("BISCUIT")
        cookie.chmod(0o400)
        where = ["-address", "127.0.0.1", "-port", str(self._epmd_port)]
        with (self._folder / "names.log").open("wb") as log:
            self._names = subprocess.Popen([needed("epmd"), *where], stdout=log, stderr=log)
        wait_for_port(self._epmd_port, self._names)
        try:
            for node in range(NODES):
                self.start(node)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node, process in enumerate(self._nodes):
            if process is not None:
                self.kill(node)
        assert self._names is not None
        self._names.kill()
        self._names.wait(10)


class Balancer:
    """The one address of a cluster: a connection goes to the first of `ports` that takes it, and breaks with it.

    Use as a context manager. `led_to` has the port of each connection, in the order they came.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.led_to: list[int] = []
        led_to = self.led_to

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                for port in ports:
                    with contextlib.suppress(ConnectionRefusedError):
                        node = socket.create_connection(("127.0.0.1", port))
                        break
                else:
                    return
                led_to.append(port)
                with node:
                    back = threading.Thread(target=_pass_on, args=(node, self.request))
                    back.start()
                    _pass_on(self.request, node)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Balancer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.socket.close()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Bytes as they come, until either end is gone; then both are."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cluster_of_three(folder: Path) -> Iterator[RabbitCluster]:
    """A cluster in which all three know each other."""
    with RabbitCluster(folder) as cluster:
        assert cluster.running() == [f"n{node}@localhost" for node in range(NODES)]
        yield cluster
