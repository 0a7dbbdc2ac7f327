"""docs/protocol.md, "Keys", "Signatures" and "Handshake"."""

from .primitives import decapsulate, ecdh, expand, extract, sha256, u8, u32, verify


def check_identity(signing_key, identity_key, signature):
    verify(signing_key, b"Waxwing v1 identity key" + identity_key, signature)


def check_signed_prekey(signing_key, prekey_id, key, kem_key, signature):
    verify(signing_key, b"Waxwing v1 signed prekey" + u32(prekey_id) + key + kem_key, signature)


def side(device):
    return u8(len(device["address"])) + device["address"] + device["signing_key"] + device["identity_key"]


def transcript_input(a, b, base_key, kem_ciphertext, one_time):
    """What both sides bind. `a` and `b` are public devices; `one_time` is id and key, or none."""
    prekey_id, prekey, kem_key = b["signed_prekey"]
    return b"".join(
        [
            b"Waxwing v1 transcript P-256 ML-KEM-768 HKDF-SHA-256 AES-256-GCM\0",
            side(a),
            side(b),
            base_key,
            u32(prekey_id) + prekey + kem_key,
            b"\x01" + u32(one_time[0]) + one_time[1] if one_time else b"\x00",
            kem_ciphertext,
        ]
    )


def respond(a, b, b_private, base_key, kem_ciphertext, one_time):
    """B's side: DH1 to DH4, the encapsulated secret, what the transcript hashes, transcript and root key."""
    dh = [
        ecdh(b_private["signed_prekey"], a["identity_key"]),
        ecdh(b_private["identity_key"], base_key),
        ecdh(b_private["signed_prekey"], base_key),
    ]
    if one_time:
        dh.append(ecdh(b_private["one_time_prekey"], base_key))
    return finish(a, b, base_key, kem_ciphertext, one_time, dh, decapsulate(b_private["kem_seed"], kem_ciphertext))


def initiate(a, b, a_private, base_private, base_key, kem_ciphertext, kem_secret, one_time):
    """A's side. The encapsulation's outcome comes in: no package encapsulates with randomness it is given."""
    dh = [
        ecdh(a_private["identity_key"], b["signed_prekey"][1]),
        ecdh(base_private, b["identity_key"]),
        ecdh(base_private, b["signed_prekey"][1]),
    ]
    if one_time:
        dh.append(ecdh(base_private, one_time[1]))
    return finish(a, b, base_key, kem_ciphertext, one_time, dh, kem_secret)


def finish(a, b, base_key, kem_ciphertext, one_time, dh, kem_secret):
    bound = transcript_input(a, b, base_key, kem_ciphertext, one_time)
    transcript = sha256(bound)
    prk = extract(b"Waxwing v1 handshake X3DH ML-KEM-768\0", b"".join(dh) + kem_secret)
    root = expand(prk, b"Waxwing v1 session root\0" + transcript)
    ephemeral = [expand(prk, b"Waxwing v1 ephemeral key\0" + transcript + u8(side)) for side in (1, 2)]
    return {"ephemeral": ephemeral, "dh": dh, "kem_secret": kem_secret, "bound": bound, "transcript": transcript, "root": root}
