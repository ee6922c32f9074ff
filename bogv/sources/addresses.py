"""Classification of IP addresses as public or not.

By a list of our own, because `ipaddress.is_global` differs between versions of Python (3.10
considers 3fff::/20 and 5f00::/16 global).

Source: IANA's special-purpose address registries, RFC 6890, as of October 2025:
https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry.
Blocks with a few globally reachable addresses (192.0.0.0/24, 2001::/23) count as special as a
whole: none of those serves images.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SPECIAL_4 = [
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared; some clouds' metadata service
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; most clouds' metadata service
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
# The rest is unassigned or not public: unique local, link-local, multicast, SRv6 SIDs.
_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = [
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is public: not private, loopback, link-local, shared, multicast or
    reserved. An IPv6 address that embeds an IPv4 one (mapped, 6to4, NAT64) counts as that one."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or _nat64(ip)
        if embedded is None:
            return ip in _GLOBAL_6 and not any(ip in block for block in _SPECIAL_6)
        ip = embedded
    return not any(ip in block for block in _SPECIAL_4)


def _nat64(ip: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
