"""A transfer through a cluster of three RabbitMQ nodes goes on when the node of either end is killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.conftest import doorward_json, is_run_of, packet_hashes
from tests.slow.doorbells import Neighbourhood, until
from tests.slow.rabbitmq import NODES, Balancer, RabbitCluster, cluster_of_three

pytestmark = pytest.mark.slow

UPLINK = "upload_kbit_s = 6000"  # or it would be over before anybody could be killed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    with cluster_of_three(tmp_path_factory.mktemp("rabbitmq")) as running:
        yield running


def balanced(cluster: RabbitCluster, first: int) -> Balancer:
    """The cluster's address for somebody who hangs on the node `first`."""
    return Balancer([cluster.mqtt_ports[(first + i) % NODES] for i in range(NODES)])


def received_share(out: Path) -> float:
    """How much of the transfer has come, 0 to 1; the file is as long as the whole from its beginning, with holes."""
    for partial in out.glob("*/bundle.part"):
        found = partial.stat()
        return found.st_blocks * 512 / found.st_size if found.st_size else 0.0
    return 0.0


@pytest.mark.parametrize("killed", ["the doorbell's", "the requester's"])
def test_a_transfer_survives_the_loss_of_a_node(
    killed: str, cluster: RabbitCluster, tmp_path: Path, scene: Path
) -> None:
    victim = 0 if killed == "the doorbell's" else 1
    with balanced(cluster, 0) as at_home, balanced(cluster, 1) as at_office:
        front = at_home if victim == 0 else at_office
        street = Neighbourhood(tmp_path, at_home.url, scene)
        config = street.config.read_text()
        street.config.write_text(config.replace("[broker]\n", f"[broker]\n{UPLINK}\n"))
        street.broker = at_office.url
        street.pair_before_recording()
        with street.running():
            street.wait_for_clips(2)
            request = street.ask()
            street.wait_for_request(request)
            receiving = street.receiving()
            try:
                assert street.own("share", request)["state"] == "agreed"
                until(lambda: received_share(street.out), lambda share: share > 0.15)
                before = len(front.led_to)
                assert front.led_to[-1] == cluster.mqtt_ports[victim]
                cluster.kill(victim)
                assert received_share(street.out) < 0.6, "it has to be killed in the middle"
                until(lambda: street.own("requests")[0]["state"], lambda state: state == "delivered", 60)
            finally:
                receiving.send_signal(signal.SIGINT)
                assert receiving.wait(20) == 0
        assert len(front.led_to) > before
        assert front.led_to[-1] != cluster.mqtt_ports[victim]
        (folder,) = (path.parent for path in street.out.glob("*/receipt.jws"))
        assert doorward_json("requester", "verify", folder)["verified"] is True
        films = sorted(folder.glob("clip-*.mp4"))
        assert len(films) >= 2
        for film in films:
            assert is_run_of(packet_hashes(film), packet_hashes(scene))
    cluster.start(victim)
