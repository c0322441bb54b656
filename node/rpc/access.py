"""Who may ask: hosts, origins, and who counts as being on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

LOCAL_NAMES = frozenset({"localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which hosts and origins are served; `*` stands for all.

    Loopback names and addresses always are. `developer` opens developer methods to other addresses as well.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    developer: bool = False

    def refusal(self, headers: Mapping[str, str], local: str) -> str | None:
        """Return why a request is refused, None if it is not; `local` is the address at which it came in.

        A page in a browser can name any host and so reach this machine (DNS rebinding), but no plain address.
        """
        host = _host_name(headers.get("Host", ""))
        if not self._host_allowed(host, local):
            return f"host {host or '(none)'!s:.100} is not allowed: start with --allow-host to allow it"
        origin = headers.get("Origin")
        if origin is not None and not self.origin_allowed(origin):
            return f"origin {origin:.100} is not allowed: start with --allow-origin to allow it"
        return None

    def _host_allowed(self, host: str, local: str) -> bool:
        return "*" in self.hosts or host in self.hosts or is_local(host) or (host != "" and host == local)

    def origin_allowed(self, origin: str) -> bool:
        """Tell whether pages of an origin may ask."""
        if "*" in self.origins or origin in self.origins:
            return True
        try:
            parts = urlsplit(origin)
            return parts.scheme in ("http", "https") and is_local(parts.hostname or "")
        except ValueError:
            return False

    def may_develop(self, local: str, remote: str) -> bool:
        """Tell whether developer methods are open to a connection: its ends are both on this machine, or all may."""
        return self.developer or (is_local(local) and is_local(remote))


def is_local(host: str) -> bool:
    """Tell whether a name or an address is this machine's own."""
    if host in LOCAL_NAMES:
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _host_name(header: str) -> str:
    """Return the host of a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
