"""Checks docs/vectors/protocol.json with the reference implementation beside this file.

It makes every handshake and every message again, on both sides, and opens what the other side made.

Usage: check_protocol.py PROTOCOL_JSON
Prints one JSON line: how many vectors of each kind were right. The first wrong one ends it.
"""

import json
import sys

from reference import bodies, ephemeral, handshake, messages, primitives
from reference.primitives import Refused
from reference.ratchet import Session


def same(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def unhex(row, *names):
    return [bytes.fromhex(row[name]) for name in names]


def is_refused(call, *arguments):
    try:
        call(*arguments)
    except Refused:
        return True
    return False


class Device:
    """A device of the vectors: what others see of it, and its private keys."""

    def __init__(self, row):
        signing, identity = row["signing_key"], row["identity_key"]
        prekey, one_time = row["signed_prekey"], row["one_time_prekey"]
        for pair in (signing, identity, prekey, one_time):
            same(primitives.public(*unhex(pair, "private")), *unhex(pair, "public"), "public key")
        kem_key, kem_seed = unhex(prekey, "kem_key", "kem_seed")
        same(primitives.kem_public(kem_seed), kem_key, "encapsulation key")
        self.public = {
            "address": bytes.fromhex(row["address"]),
            "signing_key": bytes.fromhex(signing["public"]),
            "identity_key": bytes.fromhex(identity["public"]),
            "identity_signature": bytes.fromhex(identity["signature"]),
            "signed_prekey": (prekey["id"], bytes.fromhex(prekey["public"]), kem_key),
        }
        self.one_time = (one_time["id"], bytes.fromhex(one_time["public"]))
        self.private = {
            "identity_key": bytes.fromhex(identity["private"]),
            "signed_prekey": bytes.fromhex(prekey["private"]),
            "one_time_prekey": bytes.fromhex(one_time["private"]),
            "kem_seed": kem_seed,
        }
        key = self.public["signing_key"]
        handshake.check_identity(key, self.public["identity_key"], self.public["identity_signature"])
        handshake.check_signed_prekey(key, *self.public["signed_prekey"], *unhex(prekey, "signature"))


def check_conversation(a, b, conversation):
    row = conversation["handshake"]
    base_private, base_key = unhex(row["base_key"], "private", "public")
    kem_ciphertext, kem_secret = unhex(row["kem"], "ciphertext", "secret")
    same(primitives.public(base_private), base_key, "base key")
    one_time = b.one_time if len(row["dh"]) == 4 else None
    made = handshake.initiate(
        a.public, b.public, a.private, base_private, base_key, kem_ciphertext, kem_secret, one_time
    )
    answered = handshake.respond(a.public, b.public, b.private, base_key, kem_ciphertext, one_time)
    same(answered, made, "handshake of both sides")
    same([dh.hex() for dh in made["dh"]], row["dh"], "DH")
    same(made["bound"].hex(), row["transcript_input"], "what the transcript hashes")
    same(made["transcript"].hex(), row["transcript"], "transcript")
    same(made["root"].hex(), row["root_key"], "root key")
    same([key.hex() for key in made["ephemeral"]], row["ephemeral_keys"], "ephemeral keys")
    for message in conversation["ephemeral"]:
        check_ephemeral(made, message)
    opening = {
        "signed_prekey_id": b.public["signed_prekey"][0],
        "one_time_prekey_id": one_time[0] if one_time else 0,
        "base_key": base_key,
        "kem_ciphertext": kem_ciphertext,
    } | {name: a.public[name] for name in ("signing_key", "identity_key", "identity_signature")}
    sessions = {
        conversation["initiator"]: Session(
            made["transcript"], 1, made["root"], opening=opening, theirs=b.public["signed_prekey"][1]
        ),
        conversation["responder"]: Session(
            made["transcript"], 2, made["root"], ours=b.private["signed_prekey"]
        ),
    }
    for turn in turns(conversation["messages"]):
        sender = turn[0]["from"]
        (receiver,) = (session for name, session in sessions.items() if name != sender)
        for message in turn:
            check_encrypt(sessions[sender], message)
        for message in reversed(turn):
            check_decrypt(receiver, message)


def check_ephemeral(made, row):
    salt, content, message = unhex(row, "salt", "content", "message")
    direction = row["direction"]
    key, other = made["ephemeral"][direction - 1], made["ephemeral"][2 - direction]
    same(ephemeral.message_key(key, salt).hex(), row["message_key"], "key of an ephemeral message")
    same(ephemeral.seal_message(key, made["transcript"], direction, salt, content), message, "ephemeral message")
    opened = ephemeral.open_message(key, made["transcript"], direction, message)
    same(ephemeral.encode(*opened), content, "ephemeral content")
    arguments = (made["transcript"], direction, message)
    same(is_refused(ephemeral.open_message, other, *arguments), True, "key of the other direction")
    damaged = message[:-1] + bytes([message[-1] ^ 1])
    same(is_refused(ephemeral.open_message, key, *arguments[:2], damaged), True, "damaged ephemeral message")


def turns(rows):
    """What one side writes before the other answers."""
    grouped = []
    for row in rows:
        if not grouped or grouped[-1][0]["from"] != row["from"]:
            grouped.append([])
        grouped[-1].append(row)
    return grouped


def check_encrypt(session, row):
    nonce, content, message = unhex(row, "nonce", "content", "message")
    private, chunk = row["new_private_ratchet_key"], row["chunk"]
    prepare(session, row["prepared"] or {})
    made, made_with = session.encrypt(
        private and bytes.fromhex(private), nonce, content, chunk and (chunk["first"], chunk["count"])
    )
    for name, value in made_with.items():
        same(value.hex(), row[name], name)
    same(session.epoch, row["epoch"], "epoch")
    same(made, message, "message")


def prepare(session, row):
    """What a side does before a message of a step: it makes a key pair, or answers the key it heard."""
    if "kem_seed" in row:
        same(session.asks(), True, "whose turn it is to ask")
        session.kem.ask(*unhex(row, "kem_seed"))
        same(session.kem.outgoing[1].hex(), row["kem_key"], "key of a step")
    if "ciphertext" in row:
        ciphertext, confirmation, secret, shared = unhex(row, "ciphertext", "confirmation", "secret", "shared")
        session.kem.answer(ciphertext, shared)
        same((session.kem.secret, session.kem.outgoing[1]), (secret, ciphertext + confirmation), "answer of a step")


def check_decrypt(session, row):
    content, message = unhex(row, "content", "message")
    for at in {0, 1, 2, 40, len(message) // 2, len(message) - 1}:
        damaged = message[:at] + bytes([message[at] ^ 4]) + message[at + 1 :]
        same(is_refused(session.decrypt, damaged), True, f"damaged byte {at}")
    same(session.decrypt(message), content, "content")
    same(is_refused(session.decrypt, message), True, "repeated message")


def check_content(row):
    (conversation,) = unhex(row, "conversation")
    fields = (row["sequence"], row["sent_at_millis"], conversation, row["text"])
    same(messages.encode_text(*fields).hex(), row["encoded"], "content")
    same(messages.decode_text(bytes.fromhex(row["encoded"])), fields, "content")
    for length in row["lengths"]:
        encoded = messages.encode_text(*fields[:3], "x" * length["text_bytes"])
        same(len(encoded), length["encoded_bytes"], "length of content")
        same(messages.bucket(len(encoded) + 1), length["padded_bytes"], "bucket")


def check_body(row):
    (encoded,) = unhex(row, "encoded")
    fields = {name: value for name, value in row.items() if name != "encoded"}
    same(bodies.encode(fields).hex(), row["encoded"], f"body of kind {row['kind']}")
    same(bodies.decode(encoded), fields, f"body of kind {row['kind']}")
    for length in range(len(encoded)):
        # What is left may be another body; it is never this one.
        try:
            same(bodies.decode(encoded[:length]) == fields, False, "a shorter body")
        except Refused:
            pass


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    for row in vectors["points"]:
        same(not is_refused(primitives.point, *unhex(row, "bytes")), row["valid"], row["comment"])
    for row in vectors["signatures"]:
        fields = unhex(row, "key", "message", "signature")
        same(not is_refused(primitives.verify, *fields), row["valid"], row["comment"])
    devices = {name.capitalize(): Device(row) for name, row in vectors["devices"].items()}
    for conversation in vectors["conversations"]:
        a, b = devices[conversation["initiator"]], devices[conversation["responder"]]
        check_conversation(a, b, conversation)
    check_content(vectors["content"])
    for row in vectors["bodies"]:
        check_body(row)
    counts = {kind: len(vectors[kind]) for kind in ("points", "signatures")}
    counts["bodies"] = len(vectors["bodies"])
    counts["kinds_of_bodies"] = len({row["kind"] for row in vectors["bodies"]})
    counts["handshakes"] = len(vectors["conversations"])
    rows = [row for conversation in vectors["conversations"] for row in conversation["messages"]]
    counts["messages"] = len(rows)
    counts["ephemeral"] = sum(len(conversation["ephemeral"]) for conversation in vectors["conversations"])
    counts["post_quantum_steps"] = sum(row["mixed_kem_secret"] is not None for row in rows)
    print(json.dumps(counts))


main(sys.argv[1])
