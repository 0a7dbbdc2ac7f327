"""docs/protocol.md, "Post-quantum steps": what one side knows of the next step.

When a sender asks, and how much of a key or an answer it puts into a message, is its own choice; so these come in.
"""

from .primitives import Refused, decapsulate, expand, kem_public, sha256

BLOCK = 32
KEY, ANSWER = 1, 2
BYTES = {KEY: 1184, ANSWER: 1120}


def derive(shared, kem_key, ciphertext):
    """The secret of a step and the confirmation that goes with its ciphertext."""
    bound = sha256(kem_key + ciphertext)
    return (
        expand(shared, b"Waxwing v1 ratchet kem secret\0" + bound),
        expand(shared, b"Waxwing v1 ratchet kem confirmation\0" + bound),
    )


def split_chunk(padded):
    """The padded content, and the chunk behind it: kind, attempt, first block, blocks. None, if there is none."""
    if not padded or padded[-1] not in (KEY, ANSWER):
        return padded, None
    if len(padded) < 4:
        raise Refused("Padding")
    first, count, attempt, kind = padded[-4:]
    start = len(padded) - 4 - count * BLOCK
    if count == 0 or (first + count) * BLOCK > BYTES[kind] or start < 0:
        raise Refused("Padding")
    return padded[:start], (kind, attempt, first, padded[start:-4])


class KemSteps:
    """The state between two steps; a new one begins with each."""

    def __init__(self):
        self.attempt = 0
        self.seed = None
        self.outgoing = None
        self.blocks = {}
        self.heard_key = None
        self.secret = None

    def ask(self, seed):
        """We ask with a fresh key pair."""
        self.seed = seed
        self.outgoing = (KEY, kem_public(seed))

    def answer(self, ciphertext, shared):
        """We answer the key we heard. The encapsulation's outcome comes in."""
        self.secret, confirmation = derive(shared, self.heard_key, ciphertext)
        self.outgoing = (ANSWER, ciphertext + confirmation)

    def chunk(self, first, count):
        """The bytes of a chunk with so many blocks of what we send."""
        kind, data = self.outgoing
        return data[first * BLOCK : (first + count) * BLOCK] + bytes([first, count, self.attempt, kind])

    def take_in(self, chunk, asks):
        kind, attempt, first, data = chunk
        if kind == KEY and not asks:
            self.hear(attempt, first, data)
        if kind == ANSWER and asks and self.seed and attempt == self.attempt:
            self.collect(first, data)

    def hear(self, attempt, first, data):
        if attempt > self.attempt:
            self.__init__()
            self.attempt = attempt
        if attempt < self.attempt or self.heard_key:
            return
        self.heard_key = self.put(KEY, first, data)

    def collect(self, first, data):
        answer = self.put(ANSWER, first, data)
        if answer is None:
            return
        ciphertext, confirmation = answer[:1088], answer[1088:]
        secret, expected = derive(decapsulate(self.seed, ciphertext), kem_public(self.seed), ciphertext)
        attempt = self.attempt
        self.__init__()
        if confirmation == expected:
            self.secret, self.attempt = secret, attempt
        else:
            self.attempt = attempt + 1

    def put(self, kind, first, data):
        """Keeps blocks; gives the whole once all are there."""
        for at in range(0, len(data), BLOCK):
            self.blocks[first + at // BLOCK] = data[at : at + BLOCK]
        if len(self.blocks) < BYTES[kind] // BLOCK:
            return None
        whole = b"".join(self.blocks[at] for at in sorted(self.blocks))
        self.blocks = {}
        return whole
