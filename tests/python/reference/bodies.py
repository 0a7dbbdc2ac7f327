"""docs/protocol.md, "Content": bodies that are not for people to read. A body is a dictionary, with bytes in hexadecimal."""

from .primitives import Reader, Refused, u8, u32, u64


def u16(number):
    return number.to_bytes(2, "big")


def encode(row):
    """The kind and the body."""
    return u8(row["kind"]) + ENCODERS[row["kind"]](row)


def decode(data):
    reader = Reader(data, "Body")
    kind = reader.number(1)
    if kind not in DECODERS:
        raise Refused("Kind")
    row = {"kind": kind} | DECODERS[kind](reader)
    reader.finish()
    return row


def flag(reader, allowed):
    flags = reader.number(1)
    if flags & ~allowed:
        raise Refused("Body")
    return flags


def one_of(reader, choices):
    number = reader.number(1)
    if number not in choices:
        raise Refused("Body")
    return number


def text(reader, length):
    try:
        return reader.take(length).decode()
    except UnicodeDecodeError:
        raise Refused("Body") from None


def until_the_end(reader, most, read):
    rows = []
    while reader.data:
        if len(rows) == most:
            raise Refused("Body")
        rows.append(read(reader))
    return rows


def encode_name(row):
    return u8(row["device"]) + bytes.fromhex(row["message"])


def decode_name(reader):
    return {"device": reader.number(1), "message": reader.take(16).hex()}


def encode_receipt(row):
    return u8(row["stage"]) + b"".join(map(encode_name, row["messages"]))


def decode_receipt(reader):
    stage = one_of(reader, (1, 2))
    messages = until_the_end(reader, 35, decode_name)
    if not messages:
        raise Refused("Body")
    return {"stage": stage, "messages": messages}


def decode_ask_again(reader):
    first, last = reader.number(8), reader.number(8)
    if not 1 <= first <= last < first + 64:
        raise Refused("Body")
    return {"first": first, "last": last}


def encode_again(row):
    head = u64(row["sequence"]) + bytes.fromhex(row["message"]) + u64(row["sent_at_millis"])
    body = b"\x00" if row["text"] is None else b"\x01" + row["text"].encode()
    return head + bytes.fromhex(row["conversation"]) + body


def decode_again(reader):
    row = {
        "sequence": reader.number(8),
        "message": reader.take(16).hex(),
        "sent_at_millis": reader.number(8),
        "conversation": reader.take(16).hex(),
    }
    has_text = one_of(reader, (0, 1))
    return row | {"text": text(reader, len(reader.data)) if has_text else None}


def decode_ask_for(reader):
    messages = until_the_end(reader, 37, lambda reader: reader.take(16).hex())
    if not messages:
        raise Refused("Body")
    return {"messages": messages}


def encode_history(row):
    head = u8(row["matter"]) + bytes.fromhex(row["history"])
    if row["matter"] == 1:
        return head + u64(row["since_millis"]) + u64(row["count"])
    if row["matter"] == 2:
        return head + u32(row["next"]) + u8(row["wish"])
    flags = row["last"] | row["newer"] << 1
    return head + u32(row["number"]) + u8(flags) + b"".join(map(encode_past, row["messages"]))


def decode_history(reader):
    matter = one_of(reader, (1, 2, 3))
    row = {"matter": matter, "history": reader.take(16).hex()}
    if matter == 1:
        return row | {"since_millis": reader.number(8), "count": reader.number(8)}
    if matter == 2:
        return row | {"next": reader.number(4), "wish": one_of(reader, (1, 2, 3))}
    number, flags = reader.number(4), flag(reader, 3)
    messages = until_the_end(reader, 64, decode_past)
    return row | {"number": number, "last": flags & 1 != 0, "newer": flags & 2 != 0, "messages": messages}


def encode_past(row):
    unconfirmed, body = row["unconfirmed"], row["text"].encode()
    flags = row["own"] | row["late"] << 1 | row["read"] << 2 | (unconfirmed is not None) << 3
    encoded = u8(flags) + encode_name(row) + bytes.fromhex(row["conversation"])
    encoded += u64(row["sent_at_millis"]) + u8(row["state"])
    if row["state"] == 5:
        encoded += u8(len(row["reason"].encode())) + row["reason"].encode()
    return encoded + bytes.fromhex(unconfirmed or "") + u16(len(body)) + body


def decode_past(reader):
    flags = flag(reader, 15)
    row = {"own": flags & 1 != 0, "late": flags & 2 != 0, "read": flags & 4 != 0} | decode_name(reader)
    row["conversation"] = reader.take(16).hex()
    row["sent_at_millis"] = reader.number(8)
    row["state"] = one_of(reader, (1, 2, 3, 4, 5))
    row["reason"] = text(reader, reader.number(1)) if row["state"] == 5 else None
    row["unconfirmed"] = reader.take(66).hex() if flags & 8 else None
    row["text"] = text(reader, reader.number(2))
    if row["read"] if row["own"] else row["state"] != 1:
        raise Refused("Body")
    return row


def encode_person(row):
    flags = row["delivered_receipts"] | row["read_receipts"] << 1
    return u64(row["receipts_set_at"]) + u8(flags) + b"".join(map(bytes.fromhex, row["contacts"]))


def decode_person(reader):
    set_at, flags = reader.number(8), flag(reader, 3)
    contacts = until_the_end(reader, 256, lambda reader: reader.take(16).hex())
    return {
        "receipts_set_at": set_at,
        "delivered_receipts": flags & 1 != 0,
        "read_receipts": flags & 2 != 0,
        "contacts": contacts,
    }


ENCODERS = {
    2: lambda row: u8(row["reason"]),
    3: lambda row: b"",
    4: encode_receipt,
    5: lambda row: u64(row["first"]) + u64(row["last"]),
    6: lambda row: bytes.fromhex(row["conversation"]) + encode_name(row["until"]),
    7: encode_history,
    8: encode_again,
    9: encode_person,
    10: lambda row: b"".join(map(bytes.fromhex, row["messages"])),
}
DECODERS = {
    2: lambda reader: {"reason": one_of(reader, (1, 2))},
    3: lambda reader: {},
    4: decode_receipt,
    5: decode_ask_again,
    6: lambda reader: {"conversation": reader.take(16).hex(), "until": decode_name(reader)},
    7: decode_history,
    8: decode_again,
    9: decode_person,
    10: decode_ask_for,
}
