"""docs/protocol.md, "Double Ratchet": one side of a session.

Random values come in as arguments, so that the messages of the vectors can be made again to the byte.
"""

import copy

from . import messages
from .kem_steps import KemSteps, split_chunk
from .primitives import Refused, ecdh, expand, extract, public, seal, u8, u32, unseal

MAX_JUMP = 25_000
MAX_SKIPPED_KEYS = 1_000
MAX_KEY_AGE = 2_000
MAX_CHAINS = 5


def step(root, shared, kem_secret, sender, receiver, epoch):
    """The next root key and the first key of the sender's chain. `kem_secret` is empty but in a post-quantum step."""
    prk = extract(root, shared + kem_secret)
    info = sender + receiver + u32(epoch)
    return expand(prk, b"Waxwing v1 ratchet root\0" + info), expand(prk, b"Waxwing v1 ratchet chain\0" + info)


def advance(chain_key):
    """The key of a message and the next chain key."""
    return expand(chain_key, b"Waxwing v1 chain message\0"), expand(chain_key, b"Waxwing v1 chain next\0")


class TheirChain:
    """Messages of the other side under one ratchet key."""

    def __init__(self, ratchet_key, chain_key):
        self.ratchet_key = ratchet_key
        self.chain_key = chain_key
        self.n = 0
        self.skipped = {}
        self.floor = 0

    def skip_to(self, n):
        """Derives the keys of the messages before n. Of one jump only the last ones are kept."""
        floor = n - MAX_SKIPPED_KEYS if n - self.n > MAX_SKIPPED_KEYS else 0
        while self.n < n:
            self.skipped[self.n], self.chain_key = advance(self.chain_key)
            self.n += 1
        self.forget_below(max(floor, n - MAX_KEY_AGE))

    def take(self, n):
        if n in self.skipped:
            return self.skipped.pop(n)
        raise Refused("TooOld" if n < self.floor else "Duplicate")

    def forget_below(self, floor):
        self.floor = max(self.floor, floor)
        self.skipped = {n: key for n, key in self.skipped.items() if n >= self.floor}


class Session:
    """`theirs` is their latest ratchet key, of whoever's turn it is not; `ours` the private half of ours."""

    def __init__(self, transcript, direction, root, opening=None, theirs=None, ours=None):
        self.transcript = transcript
        self.direction = direction
        self.root = root
        self.opening = opening
        self.theirs = theirs
        self.ours = ours
        self.previous_length = 0
        self.chain_key = None
        self.n = 0
        self.chains = []
        self.epoch = 0
        self.kem = KemSteps()

    def asks(self):
        """Whether it is ours to ask for the next step: the initiator asks for the first, then both in turn."""
        return (self.direction == 1) == (self.epoch % 2 == 0)

    def associated_data(self, direction, head):
        return b"Waxwing v1 message\0" + self.transcript + u8(direction) + head

    def begin_chain(self, private):
        """Our next chain. If we asked and have the answer, its secret goes in and the epoch grows."""
        kem_secret = b""
        if self.asks() and self.kem.secret:
            kem_secret = self.kem.secret
            self.epoch, self.kem = self.epoch + 1, KemSteps()
        sender, shared = public(private), ecdh(private, self.theirs)
        self.root, self.chain_key = step(self.root, shared, kem_secret, sender, self.theirs, self.epoch)
        self.ours, self.theirs, self.n = private, None, 0

    def encrypt(self, new_private, nonce, content, chunk=None):
        """The message, and what it was made with. `new_private` begins a chain, if one is to begin; `chunk` is the
        first block and the number of blocks of a step to send along."""
        if self.theirs is not None:
            self.begin_chain(new_private)
        elif new_private is not None:
            raise ValueError("no chain begins here")
        made_with = {"root_key": self.root, "chain_key": self.chain_key, "nonce": nonce}
        key, self.chain_key = advance(self.chain_key)
        header = {
            "ratchet_key": public(self.ours),
            "epoch": self.epoch,
            "previous_length": self.previous_length,
            "n": self.n,
            "nonce": nonce,
        }
        head = messages.write(self.opening, header)
        associated_data = self.associated_data(self.direction, head)
        carried = self.kem.chunk(*chunk) if chunk else b""
        size = messages.bucket(len(content) + 1 + len(carried))
        plaintext = (content + b"\x80").ljust(size - len(carried), b"\0") + carried
        self.n += 1
        made_with |= {"message_key": key, "associated_data": associated_data}
        return head + seal(key, nonce, associated_data, plaintext), made_with

    def decrypt(self, data):
        """The content. What is refused changes nothing."""
        after = copy.deepcopy(self)
        content = after.read(data)
        self.__dict__ = after.__dict__
        return content

    def read(self, data):
        opening, header, head, ciphertext = messages.parse(data)
        key = self.message_key(header)
        associated_data = self.associated_data(3 - self.direction, head)
        plaintext = unseal(key, header["nonce"], associated_data, ciphertext)
        self.opening = None
        padded, chunk = split_chunk(plaintext)
        content = padded.rstrip(b"\0")
        if not content.endswith(b"\x80") or messages.bucket(len(plaintext)) != len(plaintext):
            raise Refused("Padding")
        if not chunk and messages.bucket(len(content)) != len(plaintext):
            raise Refused("Padding")
        if chunk and header["epoch"] == self.epoch:
            self.kem.take_in(chunk, self.asks())
        return content[:-1]

    def message_key(self, header):
        sender, n = header["ratchet_key"], header["n"]
        for at, chain in enumerate(self.chains):
            if chain.ratchet_key == sender:
                return self.key_of_known(chain, n, closed=at + 1 < len(self.chains))
        return self.key_of_new(header)

    def key_of_known(self, chain, n, closed):
        if n < chain.n:
            return chain.take(n)
        if closed:
            raise Refused("BeyondEnd")
        return self.key_at(chain, n)

    def key_at(self, chain, n):
        if n - chain.n > MAX_JUMP:
            raise Refused("TooFarAhead")
        chain.skip_to(n)
        key, chain.chain_key = advance(chain.chain_key)
        chain.n += 1
        chain.forget_below(chain.n - MAX_KEY_AGE)
        self.forget_oldest_keys()
        return key

    def key_of_new(self, header):
        sender = header["ratchet_key"]
        if self.theirs is not None:
            raise Refused("UnknownChain")
        if sender == public(self.ours):
            raise Refused("Reflected")
        if self.chains:
            current = self.chains[-1]
            if header["previous_length"] > current.n:
                if header["previous_length"] - current.n > MAX_JUMP:
                    raise Refused("TooFarAhead")
                current.skip_to(header["previous_length"])
            current.chain_key = None
        kem_secret = b""
        if header["epoch"] != self.epoch:
            if header["epoch"] != self.epoch + 1 or self.asks() or not self.kem.secret:
                raise Refused("Epoch")
            kem_secret = self.kem.secret
            self.epoch, self.kem = self.epoch + 1, KemSteps()
        receiver, shared = public(self.ours), ecdh(self.ours, sender)
        self.root, chain_key = step(self.root, shared, kem_secret, sender, receiver, self.epoch)
        chain = TheirChain(sender, chain_key)
        self.chains = (self.chains + [chain])[-MAX_CHAINS:]
        self.previous_length, self.n = self.n, 0
        self.ours, self.theirs, self.chain_key = None, sender, None
        return self.key_at(chain, header["n"])

    def forget_oldest_keys(self):
        """Oldest chain first, lowest number first."""
        surplus = sum(len(chain.skipped) for chain in self.chains) - MAX_SKIPPED_KEYS
        for chain in self.chains:
            while surplus > 0 and chain.skipped:
                chain.forget_below(min(chain.skipped) + 1)
                surplus -= 1
