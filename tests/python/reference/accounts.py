"""docs/accounts.md: device lists, safety numbers, linking, registration lock."""

from .primitives import (
    Reader,
    Refused,
    argon2id,
    base64url,
    expand,
    extract,
    from_base64url,
    point,
    seal,
    sha256,
    u8,
    u32,
    u64,
    unseal,
    verify,
)

LIST_LABEL = b"Waxwing v1 device list"


def read_list(data):
    """Reads a list without verifying its signature: all it says, devices by number."""
    if not data.startswith(LIST_LABEL):
        raise Refused("Label")
    reader = Reader(data[len(LIST_LABEL) :])
    version, account, account_key = reader.number(4), reader.take(16), reader.take(33)
    issued_at, count = reader.number(8), reader.number(1)
    if not 1 <= count <= 6:
        raise Refused("Count")
    rows = [(reader.number(1), reader.number(4), reader.take(33), reader.take(33)) for _ in range(count)]
    reader.finish()
    if not 1 <= version < 2**31:
        raise Refused("Version")
    check_point(account_key, "AccountKey")
    known, previous, devices = {account_key[1:]}, 0, {}
    for number, registration, signing_key, identity_key in rows:
        if not 1 <= number <= 127:
            raise Refused("Number")
        if not 1 <= registration < 2**31:
            raise Refused("Registration")
        if number <= previous:
            raise Refused("Order")
        if signing_key == identity_key:
            raise Refused("Device")
        for key in (signing_key, identity_key):
            check_point(key, "Device")
            if key[1:] in known:
                raise Refused("SharedKey")
            known.add(key[1:])
        previous = number
        devices[number] = (registration, signing_key, identity_key)
    return {
        "version": version,
        "account": account,
        "account_key": account_key,
        "issued_at": issued_at,
        "devices": devices,
    }


def check_point(key, refusal):
    try:
        point(key)
    except Refused:
        raise Refused(refusal) from None


def verify_list(data, signature, account, account_key=None):
    read = read_list(data)
    verify(read["account_key"], data, signature)
    if read["account"] != account:
        raise Refused("OtherAccount")
    if account_key not in (None, read["account_key"]):
        raise Refused("AccountKeyChanged")
    return read


def advance(known_data, new_data):
    """What a verified list changes of the one known."""
    known, new = read_list(known_data), read_list(new_data)
    if new["account"] != known["account"]:
        raise Refused("OtherAccount")
    if new["account_key"] != known["account_key"]:
        raise Refused("AccountKeyChanged")
    if new["version"] < known["version"]:
        raise Refused("Rollback")
    if new["version"] == known["version"] and new_data != known_data:
        raise Refused("Equivocation")
    before, after = known["devices"], new["devices"]
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(n for n in after.keys() & before.keys() if after[n] != before[n]),
    }


def fingerprint(account, key):
    value = bytes(32)
    for _ in range(5200):
        value = sha256(b"Waxwing v1 safety number\0" + value + account + key)
    return value


def half(value):
    groups = (int.from_bytes(value[5 * k : 5 * k + 5], "big") % 100_000 for k in range(6))
    return "".join(f"{group:05}" for group in groups)


def safety_digits(one, other):
    return "".join(sorted([half(one), half(other)]))


def safety_code(shows, scans):
    """The text of a code. Each side is an id and a fingerprint."""
    return "waxwing:verify?" + base64url(b"\x01" + b"".join(shows) + b"".join(scans))


def compare_code(text, ours, theirs):
    data = from_base64url(after_scheme(text, "waxwing:verify?"))
    if not data:
        raise Refused("Code")
    if data[0] != 1:
        return "OtherVersion"
    reader = Reader(data[1:], "Code")
    shows = reader.take(16), reader.take(32)
    scans = reader.take(16), reader.take(32)
    reader.finish()
    if (shows[0], scans[0]) != (theirs[0], ours[0]):
        return "OtherPerson"
    return "Match" if (shows, scans) == (theirs, ours) else "Mismatch"


def after_scheme(text, scheme):
    if not text.startswith(scheme):
        raise Refused("Code")
    return text[len(scheme) :]


def read_link_code(text):
    data = from_base64url(after_scheme(text, "waxwing:link?"))
    if not data:
        raise Refused("Code")
    if data[0] != 1:
        raise Refused("Version")
    reader = Reader(data[1:], "Code")
    offer = {
        "token": reader.take(16),
        "secret": reader.take(32),
        "account": reader.take(16),
        "account_key": reader.take(33),
        "expires_at": reader.number(8),
    }
    reader.finish()
    check_point(offer["account_key"], "AccountKey")
    return offer


def link_keys(offer):
    """The key that seals the name, and that of the proof."""
    context = offer["token"] + offer["account"] + offer["account_key"] + u64(offer["expires_at"])
    prk = extract(b"Waxwing v1 link\0", offer["secret"])
    return expand(prk, b"Waxwing v1 link name\0" + context), expand(prk, b"Waxwing v1 link proof\0" + context)


def link_proof(proof_key, registration, signing_key, identity_key, sealed_name):
    covered = u32(registration) + signing_key + identity_key + sealed_name
    return expand(proof_key, b"Waxwing v1 link request\0" + covered)


def link_request(offer, nonce, registration, signing_key, identity_key, name):
    name_key, proof_key = link_keys(offer)
    text = name.encode()
    padded = (u8(len(text)) + text).ljust(65, b"\0")
    sealed = nonce + seal(name_key, nonce, b"", padded)
    return sealed + link_proof(proof_key, registration, signing_key, identity_key, sealed)


def accept_link(offer, request, registration, signing_key, identity_key):
    """The name of the new device, if it read the offer's code."""
    if len(request) != 125:
        raise Refused("Length")
    name_key, proof_key = link_keys(offer)
    sealed, proof = request[:93], request[93:]
    if proof != link_proof(proof_key, registration, signing_key, identity_key, sealed):
        raise Refused("Proof")
    padded = unseal(name_key, sealed[:12], b"", sealed[12:])
    length = padded[0]
    if length > 64 or any(padded[1 + length :]):
        raise Refused("Name")
    return padded[1 : 1 + length].decode()


def lock_proof(pin, salt, account):
    """What Argon2id makes of a PIN, and the proof."""
    stretched = argon2id(pin.encode(), salt + account)
    return stretched, expand(stretched, b"Waxwing v1 registration lock\0")
