"""Who is let in: hosts, origins, and who counts as being on this machine."""

from __future__ import annotations

import pytest

from node.rpc.access import Access, is_local

LOOPBACK = "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", LOOPBACK),
        ("localhost:8545", LOOPBACK),
        ("LocalHost:8545", LOOPBACK),
        ("127.0.0.1:8545", LOOPBACK),
        ("127.0.0.9", LOOPBACK),
        ("[::1]:8545", "::1"),
        ("192.168.1.7:8545", "192.168.1.7"),
    ],
)
def test_hosts_that_are_this_machine(host: str, local: str) -> None:
    assert Access().refusal({"Host": host}, local) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example:8545",
        "evil.example@localhost.",
        "192.168.1.8",
        "",
        "[::1",
        "127.0.0.1.nip.io",
        "0x7f.1",
    ],
)
def test_hosts_that_are_not(host: str) -> None:
    refusal = Access().refusal({"Host": host}, "192.168.1.7")
    assert refusal is not None
    assert "--allow-host" in refusal
    assert Access(hosts=frozenset({"*"})).refusal({"Host": host}, LOOPBACK) is None


def test_a_host_can_be_allowed() -> None:
    access = Access(hosts=frozenset({"node.example"}))
    assert access.refusal({"Host": "node.example:8545"}, LOOPBACK) is None
    assert access.refusal({"Host": "other.example"}, LOOPBACK) is not None
    assert access.refusal({}, LOOPBACK) is not None


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:80"])
def test_origins_on_this_machine(origin: str) -> None:
    assert Access().refusal({"Host": "localhost", "Origin": origin}, LOOPBACK) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://localhost.evil.example",
        "chrome-extension://abc",
        "http://[bad",
        "file://",
    ],
)
def test_origins_elsewhere(origin: str) -> None:
    refusal = Access().refusal({"Host": "localhost", "Origin": origin}, LOOPBACK)
    assert refusal is not None
    assert "--allow-origin" in refusal
    for allowed in ("*", origin):
        assert Access(origins=frozenset({allowed})).refusal({"Host": "localhost", "Origin": origin}, LOOPBACK) is None


def test_developers_are_on_this_machine_at_both_ends() -> None:
    assert Access().may_develop("127.0.0.1", "127.0.0.1")
    assert Access().may_develop("::1", "::1")
    assert not Access().may_develop("192.168.1.7", "192.168.1.9")
    assert not Access().may_develop("127.0.0.1", "192.168.1.9")
    assert not Access().may_develop("", "")
    assert Access(developer=True).may_develop("192.168.1.7", "192.168.1.9")


def test_mapped_addresses_are_what_they_map() -> None:
    assert is_local("::ffff:127.0.0.1")
    assert not is_local("::ffff:8.8.8.8")
