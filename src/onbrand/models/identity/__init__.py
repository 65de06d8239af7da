"""How an identity reaches a picture: three ways, each a class with the same face.

attended     keys and values of its own beside the words' (IP-Adapter)     attended.py
tokens       a few more words                                              tokens.py
modulation   a shift of what the network knows of time                     modulation.py

way = open_way(model, "tokens", embedding_dim=128, seed=7)   # untrained, on the model
way.show(who_nd)                                             # whom sampling shows from now on
"""

from __future__ import annotations

from onbrand.models.identity.attended import AttendedWay
from onbrand.models.identity.files import (
    IDENTITY_FILE,
    check_followed,
    check_way,
    load_adapter,
    load_way,
    open_way,
    save_way,
)
from onbrand.models.identity.modulation import ModulationWay
from onbrand.models.identity.tokens import TokensWay
from onbrand.models.identity.way import IdentityWay, detach_identity

__all__ = [
    "IDENTITY_FILE",
    "AttendedWay",
    "IdentityWay",
    "ModulationWay",
    "TokensWay",
    "check_followed",
    "check_way",
    "detach_identity",
    "load_adapter",
    "load_way",
    "open_way",
    "save_way",
]
