"""Checks docs/vectors/accounts.json with the reference implementation beside this file.

Usage: check_accounts.py ACCOUNTS_JSON
Prints one JSON line: how many vectors of each kind were right. The first wrong one ends it.
"""

import json
import sys

from reference import accounts
from reference.primitives import Refused, public, sign


def refusal(call, *arguments):
    """The name under which a call refuses its arguments; none, if it takes them."""
    try:
        call(*arguments)
    except Refused as refused:
        return refused.args[0]
    return None


def same(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")


def unhex(row, *names):
    return [bytes.fromhex(row[name]) for name in names]


def check_lists(vectors, private_keys):
    for row in vectors["valid"]:
        comment = row["comment"]
        data, signature, account, account_key = unhex(row, "list", "signature", "account", "account_key")
        read = accounts.verify_list(data, signature, account, account_key)
        same((read["version"], read["issued_at"]), (row["version"], row["issued_at"]), comment)
        devices = {
            device["number"]: (device["registration"], *unhex(device, "signing_key", "identity_key"))
            for device in row["devices"]
        }
        same(read["devices"], devices, comment)
        same(sign(private_keys[account_key], data), signature, comment)
    for row in vectors["invalid"]:
        found = refusal(accounts.verify_list, *unhex(row, "list", "signature", "account"))
        same(found, row["refusal"], row["comment"])
    for row in vectors["advance"]:
        known, new, signature = unhex(row, "known", "new", "new_signature")
        accounts.verify_list(new, signature, accounts.read_list(new)["account"])
        try:
            outcome = accounts.advance(known, new)
        except Refused as refused:
            outcome = {"refusal": refused.args[0]}
        same(outcome, row["outcome"], row["comment"])


def check_safety_numbers(vectors):
    for row in vectors["numbers"]:
        sides = []
        for side in (row["ours"], row["theirs"]):
            account, key, fingerprint = unhex(side, "id", "key", "fingerprint")
            same(accounts.fingerprint(account, key), fingerprint, "fingerprint")
            sides.append((account, fingerprint))
        digits = accounts.safety_digits(sides[0][1], sides[1][1])
        same(digits, row["digits"], "digits")
        same(" ".join(digits[at : at + 5] for at in range(0, 60, 5)), row["shown"], "groups")
        same(accounts.safety_code(*sides), row["code"], "code")
    alice, bob = [unhex(vectors["numbers"][0][side], "id", "fingerprint") for side in ("ours", "theirs")]
    for row in vectors["bob_scans"]:
        try:
            outcome = accounts.compare_code(row["scanned"], tuple(bob), tuple(alice))
        except Refused as refused:
            outcome = refused.args[0]
        same(outcome, row["outcome"], row["comment"])


def check_linking(row):
    offer = accounts.read_link_code(row["code"])
    names = ("token", "secret", "account", "account_key")
    same([offer[name] for name in names], unhex(row, *names), "what the code says")
    same(offer["expires_at"], row["expires_at"], "what the code says")
    same(list(accounts.link_keys(offer)), unhex(row, "name_key", "proof_key"), "keys of a link")
    keys = unhex(row, "signing_key", "identity_key")
    sealed, nonce = unhex(row, "sealed", "nonce")
    request = accounts.link_request(offer, nonce, row["registration"], *keys, row["name"])
    same(request, sealed, "request")
    same(accounts.accept_link(offer, sealed, row["registration"], *keys), row["name"], "name")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        same(refusal(accounts.accept_link, offer, changed, row["registration"], *keys), "Proof", f"byte {at}")


def check_locks(vectors):
    for row in vectors:
        salt, account, stretched, proof = unhex(row, "salt", "account", "stretched", "proof")
        same(accounts.lock_proof(row["pin"], salt, account), (stretched, proof), "PIN")


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    private_keys = {}
    for account in vectors["accounts"].values():
        private_key, public_key = unhex(account, "private_key", "public_key")
        same(public(private_key), public_key, "account key")
        private_keys[public_key] = private_key
    check_lists(vectors["device_lists"], private_keys)
    check_safety_numbers(vectors["safety_numbers"])
    check_linking(vectors["linking"])
    check_locks(vectors["registration_lock"])
    lists, numbers = vectors["device_lists"], vectors["safety_numbers"]
    counts = {kind: len(rows) for kind, rows in lists.items()}
    counts |= {kind: len(rows) for kind, rows in numbers.items()}
    print(json.dumps(counts | {"linking": 1, "registration_lock": len(vectors["registration_lock"])}))


main(sys.argv[1])
