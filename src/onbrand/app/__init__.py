"""What people touch: the command line (later the portal, the REST interface, the server)."""

from __future__ import annotations

__all__: list[str] = []
