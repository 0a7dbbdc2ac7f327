"""The functions of docs/protocol.md, "Notation", "Signatures" and docs/accounts.md, on the package `cryptography`."""

import base64
import hashlib
import hmac
import re

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CURVE = ec.SECP256R1()


class Refused(Exception):
    """What the documents say must be refused. The first argument is the name they give it."""


def u8(number):
    return number.to_bytes(1, "big")


def u32(number):
    return number.to_bytes(4, "big")


def u64(number):
    return number.to_bytes(8, "big")


class Reader:
    """Takes fields from the front of bytes."""

    def __init__(self, data, refusal="Length"):
        self.data = data
        self.refusal = refusal

    def take(self, count):
        if len(self.data) < count:
            raise Refused(self.refusal)
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def finish(self):
        if self.data:
            raise Refused(self.refusal)


def sha256(data):
    return hashlib.sha256(data).digest()


def extract(salt, secret):
    return hmac.new(salt, secret, hashlib.sha256).digest()


def expand(key, info, length=32):
    return HKDFExpand(hashes.SHA256(), length, info).derive(key)


def point(data):
    """Checks a public key as it crosses the network and gives it decoded."""
    if len(data) != 33 or data[0] not in (2, 3):
        raise Refused("Encoding")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, data)
    except ValueError:
        raise Refused("Curve") from None


def private(data):
    return ec.derive_private_key(int.from_bytes(data, "big"), CURVE)


def public(data):
    """The public key of a private key."""
    form = serialization.PublicFormat.CompressedPoint
    return private(data).public_key().public_bytes(serialization.Encoding.X962, form)


def ecdh(ours, theirs):
    secret = private(ours).exchange(ec.ECDH(), point(theirs))
    if secret == bytes(32):
        raise Refused("ZeroSecret")
    return secret


def decapsulate(seed, ciphertext):
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def kem_public(seed):
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def sign(key, message):
    der = private(key).sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(32, "big") + min(s, N - s).to_bytes(32, "big")


def verify(key, message, signature):
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if len(signature) != 64 or not 1 <= r < N or not 1 <= s <= (N - 1) // 2:
        raise Refused("Signature")
    try:
        point(key).verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused("Signature") from None


def seal(key, nonce, associated_data, plaintext):
    return AESGCM(key).encrypt(nonce, plaintext, associated_data)


def unseal(key, nonce, associated_data, ciphertext):
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated_data)
    except InvalidTag:
        raise Refused("Authentication") from None


def argon2id(password, salt):
    return Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=64 * 1024).derive(password)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text):
    """Each value has one text: no padding, no other alphabet, unused bits zero."""
    if not re.fullmatch("[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise Refused("Code")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(data) != text:
        raise Refused("Code")
    return data
