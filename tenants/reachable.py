"""Which addresses webhooks may be sent to: public ones, and those of RATEGUARD["WEBHOOK_NETWORKS"].

A name says nothing: what counts is the address that a connection really goes to. So the sender asks here at each connect; what the address
of an endpoint says by itself is told at once where somebody sets it. Source: IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from rateguard.conf import conf

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's service for its machines
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, Teredo: another address inside
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: another address inside
        "3fff::/20",  # documentation
    )
)
_OF_NAT64 = IPv6Network("64:ff9b::/96")


def may_reach(text: str, *, is_plain: bool = False) -> bool:
    """Whether a message may go to the address of a socket. is_plain: by http, which is for allowed networks alone."""
    found = [_parsed(text)]
    found += [inner] if (inner := _inside(found[0])) is not None else []
    if any(address in network for address in found for network in _allowed(conf().webhook_networks) if address.version == network.version):
        return True
    return not is_plain and _is_public(found[-1])


def literal(host: str) -> str | None:
    """The address that a host of a URL is, in any way of writing one (`127.1`, `0x7f000001`, `[::1]`); None for a name."""
    if host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return str(IPv4Address(socket.inet_aton(host)))
    except (OSError, ValueError):
        return None


def _parsed(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _inside(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return None
    if address in _OF_NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


@functools.lru_cache(maxsize=4)
def _allowed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)
