"""Hosts that requests may name, as a protection from DNS rebinding.

The owner of a domain can let its name point to this machine. Browsers then take a page of that domain for a page of
this server and let it read answers. Its requests name the domain in the header `Host`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from .settings import Settings

ANY = "*"
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


class Hosts:
    """Decides which hosts a request may name. Addresses and `localhost` are always allowed: DNS cannot change them.

    Args:
        settings: `allowed_hosts`, and `origins`, whose hosts are allowed too.

    Attributes:
        local: True if the server listens at a loopback address. Hosts are checked only then, or with `allowed_hosts`.
    """

    def __init__(self, settings: Settings) -> None:
        self.local = False
        self._given = bool(settings.allowed_hosts)
        origins = (_parsed(origin.partition("://")[2].encode())[0] for origin in settings.origins)
        self._names = frozenset(["localhost", *(name.lower() for name in settings.allowed_hosts), *origins])

    def refusal(self, header: bytes) -> str | None:
        """Returns why a request is refused; None if it is allowed.

        Args:
            header: value of `Host`; empty without one, which browsers always send.
        """
        if ANY in self._names or not (self.local or self._given) or not header:
            return None
        host, is_address = _parsed(header)
        if is_address or host in self._names:
            return None
        return f"requests may not name the host {host!r:.120}; the operator can allow it with --allowed-host"


@lru_cache(64)
def is_host(header: bytes) -> bool:
    """Returns whether a value of `Host` is a host with or without a port."""
    if not _HOST.fullmatch(header):
        return False
    try:
        port = urlsplit("//" + header.decode("ascii")).port
    except ValueError:  # no possible address or port
        return False
    return port is None or port > 0


@lru_cache(64)
def _parsed(header: bytes) -> tuple[str, bool]:
    """Returns the host of a header without its port, and whether it is an IP address."""
    text = header.decode("latin-1")
    try:
        host = (urlsplit(f"//{text}").hostname or text).rstrip(".")
    except ValueError:  # brackets without an address
        return text, False
    try:
        ip_address(host)
    except ValueError:
        return host, False
    return host, True
