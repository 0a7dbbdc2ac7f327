"""End-to-end encrypted messages: the client library of Waxwing.

    client = await Client.open(StoreLocation.kept_by("alice.db", keychain), Endpoints(...))
    client.connect()
    await client.send_text(bob, "Hello")
    events = await client.events()
    while event := await events.next():
        ...
        await events.handled()

Everything is generated from the Rust library, its documentation too: `help(waxwing.Client)`.
"""

from ._bindings import *  # noqa: F403
from ._bindings import __all__  # noqa: F401
