from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bogv.sources.addresses import is_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.100.100.200", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("2002:808:808::", True),
        ("::ffff:0:7f00:1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b:1::1", False),
        ("2001:0:808:808::1", False),
        ("2001:db8::1", False),
        ("fd12:3456::1", False),
        ("ff02::1", False),
        ("100.64.0.1", False),
        ("172.31.255.255", False),
        ("192.0.0.1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("3fff::1", False),
        ("3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("3fff:1000::1", True),
        ("5f00::1", False),
        ("100::1", False),
        ("100:0:0:1::1", False),
        ("2001:2::1", False),
        ("2001:1ff::1", False),
        ("2001:200::1", True),
        ("2620:fe::fe", True),
        ("4000::1", False),
        ("1fff::1", False),
        ("64:ff9b::5db8:d822", True),
        ("192.88.99.1", False),
        ("198.19.255.255", False),
        ("198.20.0.1", True),
    ],
)
def test_only_global_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@given(st.ip_addresses() | st.ip_addresses(network="2000::/3"))
def test_no_address_that_python_considers_private_is_public(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Each version knows other blocks; none of them knows one more than the list."""
    if not (ip.is_global and not ip.is_multicast):
        carried = ip.version == 6 and (ip.sixtofour or str(ip).startswith("64:ff9b::"))
        assert carried or not is_public(str(ip))
