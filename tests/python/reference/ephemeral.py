"""docs/protocol.md, "Ephemeral messages"."""

from .primitives import Reader, Refused, expand, seal, u8, unseal, u64


def associated_data(transcript, direction, salt):
    return b"Waxwing v1 ephemeral\0" + transcript + u8(direction) + b"\x01" + salt


def message_key(key, salt):
    return expand(key, b"Waxwing v1 ephemeral message key\0" + salt)


def encode(kind, conversation, time):
    return u8(kind) + conversation + u64(time) + bytes(23)


def seal_message(key, transcript, direction, salt, content):
    data = associated_data(transcript, direction, salt)
    return b"\x01" + salt + seal(message_key(key, salt), bytes(12), data, content)


def open_message(key, transcript, direction, message):
    reader = Reader(message)
    if len(message) != 97 or reader.take(1) != b"\x01":
        raise Refused("Version")
    salt = reader.take(32)
    data = associated_data(transcript, direction, salt)
    content = Reader(unseal(message_key(key, salt), bytes(12), data, reader.data))
    kind, conversation, time = content.number(1), content.take(16), content.number(8)
    if kind not in range(1, 6) or any(content.data):
        raise Refused("Content")
    return kind, conversation, time
