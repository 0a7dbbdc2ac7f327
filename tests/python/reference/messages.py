"""docs/protocol.md, "Messages on the wire", "Padding" and "Content"."""

from .primitives import Reader, Refused, u8, u32, u64

MAX_MESSAGE_BYTES = 12_800
OPENING = [
    ("signed_prekey_id", 4),
    ("one_time_prekey_id", 4),
    ("signing_key", 33),
    ("identity_key", 33),
    ("identity_signature", 64),
    ("base_key", 33),
    ("kem_ciphertext", 1088),
]
HEADER = [("ratchet_key", 33), ("epoch", 4), ("previous_length", 4), ("n", 4), ("nonce", 12)]
NUMBERS = {"signed_prekey_id", "one_time_prekey_id", "epoch", "previous_length", "n"}
POINTS = {"signing_key", "identity_key", "base_key", "ratchet_key"}


def read_fields(reader, layout):
    fields = {}
    for name, length in layout:
        value = reader.take(length)
        if name in POINTS and value[0] not in (2, 3):
            raise Refused("Encoding")
        fields[name] = int.from_bytes(value, "big") if name in NUMBERS else value
    return fields


def parse(data):
    """Opening (none in a ratchet message), header, all bytes before the ciphertext, ciphertext with its tag."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise Refused("Length")
    reader = Reader(data)
    version, kind = reader.number(1), reader.number(1)
    if version != 1:
        raise Refused("Version")
    if kind not in (1, 2):
        raise Refused("Type")
    opening = read_fields(reader, OPENING) if kind == 1 else None
    if opening and not (1 <= opening["signed_prekey_id"] < 2**31 and opening["one_time_prekey_id"] < 2**31):
        raise Refused("PrekeyId")
    header = read_fields(reader, HEADER)
    ciphertext = reader.data
    if len(ciphertext) < 16:
        raise Refused("Length")
    return opening, header, data[: len(data) - len(ciphertext)], ciphertext


def write(opening, header):
    """All bytes before the ciphertext."""
    fields = [(name, opening[name]) for name, _ in OPENING] if opening else []
    fields += [(name, header[name]) for name, _ in HEADER]
    return bytes([1, 1 if opening else 2]) + b"".join(
        u32(value) if name in NUMBERS else value for name, value in fields
    )


def bucket(length):
    """The bucket for so many bytes, the byte 80 included."""
    if length <= 638:
        return 638
    if length <= 1025:
        return 1025
    size = 638 + 1024 * -(-(length - 638) // 1024)
    if size > 10_878:
        raise Refused("TooLong")
    return size


def encode_text(sequence, sent_at, conversation, text):
    return b"\x01\x01" + u64(sequence) + u64(sent_at) + conversation + text.encode()


def decode_text(data):
    reader = Reader(data)
    if reader.take(2) != b"\x01\x01":
        raise Refused("Kind")
    return reader.number(8), reader.number(8), reader.take(16), reader.data.decode()
