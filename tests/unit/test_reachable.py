"""Where webhooks may go: no way of writing an address leads to one that is not public."""

import socket

import pytest

from rateguard.conf import parse
from rateguard.engine.errors import ConfigurationError
from rateguard.worker.webhooks import Unreachable, checked_socket
from tenants.reachable import literal, may_reach

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")
NOT_PUBLIC = (
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "2001::1",
    "2001:db8::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached(address):
    assert may_reach(address)
    assert not may_reach(address, is_plain=True)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_not_reached(address):
    assert not may_reach(address)


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.0.0.1", "[::1]", "localhost", "LOCALHOST.", "a.localhost"]
)
def test_this_machine_is_known_in_every_way_of_writing_it(host):
    assert not may_reach(literal(host))


def test_a_name_is_no_address():
    assert literal("example.com") is None
    assert literal("10.example.com") is None


def test_an_allowed_network_is_reached_whichever_way_it_is_written(settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "WEBHOOK_NETWORKS": ["10.0.0.0/8", "fd00::/8"]}
    assert all(may_reach(address, is_plain=True) for address in ("10.9.9.9", "::ffff:10.9.9.9", "fd00::1"))
    assert not may_reach("192.168.0.1")


@pytest.mark.parametrize("networks", [["10.0.0.1/8"], ["somewhere"], "10.0.0.0/8", [7]])
def test_a_network_that_is_none_is_refused(networks):
    with pytest.raises(ConfigurationError, match="WEBHOOK_NETWORKS"):
        parse({"WEBHOOK_NETWORKS": networks})


def test_no_socket_is_made_for_an_address_that_is_not_public():
    with pytest.raises(Unreachable):
        checked_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("169.254.169.254", 80)))
    checked_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 443))).close()
