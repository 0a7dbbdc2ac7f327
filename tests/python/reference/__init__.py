"""A second implementation of docs/protocol.md and docs/accounts.md, written from those documents alone.

It checks the documents and the vectors beside them. It is no library: it keeps no secret from anybody.
"""
