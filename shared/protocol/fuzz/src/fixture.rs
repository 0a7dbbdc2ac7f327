//! Two devices and what they have to do with each other, always the same.

use std::sync::LazyLock;

use rand::{SeedableRng, rngs::StdRng};
use waxwing_protocol::{
    Message, Session,
    device_list::{ListedDevice, SignedDeviceList},
    handshake::{OneTime, PrekeyBundle, PublishedSignedPrekey, RespondError, initiate, respond},
    keys::{AccountKeyPair, DeviceKeys, OneTimePrekeyPair, SignedPrekeyPair},
    linking::LinkOffer,
    safety_number::{AccountIdentity, SafetyNumber},
};

/// A time in milliseconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000_000;

/// Everything that is made once.
pub(crate) struct Fixture {
    pub(crate) alice: Device,
    pub(crate) bob: Device,
    /// A session after a message each way.
    pub(crate) alice_session: Session,
    pub(crate) bob_session: Session,
    /// Alice's first message, and one of hers that Bob has not decrypted.
    pub(crate) opening: Vec<u8>,
    pub(crate) pending: Vec<u8>,
    pub(crate) account: AccountKeyPair,
    pub(crate) list: SignedDeviceList,
    pub(crate) safety_number: SafetyNumber,
    /// The code that Bob's device shows Alice's.
    pub(crate) safety_code: String,
    pub(crate) offer: LinkOffer,
}

/// A device and its address.
pub(crate) struct Device {
    pub(crate) keys: DeviceKeys,
    pub(crate) address: &'static [u8],
    pub(crate) signed: SignedPrekeyPair,
    pub(crate) one_time: OneTimePrekeyPair,
}

/// The fixture.
pub(crate) static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

/// A random source that gives the same every time.
pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

impl Device {
    fn new(seed: u64, address: &'static [u8]) -> Self {
        let rng = &mut rng(seed);
        Self {
            keys: DeviceKeys::generate(rng),
            address,
            signed: SignedPrekeyPair::generate(7, rng).expect("a good id"),
            one_time: OneTimePrekeyPair::generate(9, rng).expect("a good id"),
        }
    }

    pub(crate) fn bundle(&self) -> PrekeyBundle {
        let published = PublishedSignedPrekey {
            id: self.signed.id(),
            key: &self.signed.public().to_bytes(),
            kem_key: self.signed.public().kem_key(),
            signature: &self.signed.sign(self.keys.signing()),
        };
        let one_time = (self.one_time.id(), self.one_time.public().to_bytes());
        PrekeyBundle::verify(
            self.keys.public(),
            published,
            Some((one_time.0, one_time.1.as_slice())),
        )
        .expect("a good bundle")
    }

    pub(crate) fn initiate(&self, rng: &mut StdRng, to: &Self) -> Session {
        initiate(rng, &self.keys, self.address, &to.bundle(), to.address).expect("a good bundle")
    }

    /// Answers a prekey message, whoever wrote it. A message that does not name the one-time prekey is refused.
    pub(crate) fn respond(
        &self,
        from: &Self,
        message: &Message,
    ) -> Option<Result<(Session, Vec<u8>), RespondError>> {
        let Message::Prekey(message) = message else {
            return None;
        };
        let sender = message.sender().ok()?;
        let one_time = OneTime::Prekey(&self.one_time);
        Some(respond(
            &self.keys,
            self.address,
            &self.signed,
            one_time,
            &sender,
            from.address,
            message,
        ))
    }
}

impl Fixture {
    fn new() -> Self {
        let (alice, bob) = (Device::new(1, b"alice.1"), Device::new(2, b"bob.1"));
        let rng = &mut rng(3);
        let mut alice_session = alice.initiate(rng, &bob);
        let opening = alice_session.encrypt(rng, b"first", NOW).expect("short");
        let (mut bob_session, _) = bob
            .respond(&alice, &parse(&opening))
            .and_then(Result::ok)
            .expect("a good opening");
        let answer = bob_session.encrypt(rng, b"answer", NOW).expect("short");
        alice_session.decrypt(&parse(&answer)).expect("a good answer");
        let pending = alice_session.encrypt(rng, b"pending", NOW).expect("short");

        let (account, other) = (AccountKeyPair::generate(rng), AccountKeyPair::generate(rng));
        let listed = [(1, &alice), (3, &bob)].map(|(number, device)| {
            ListedDevice::new(number, 1, device.keys.public()).expect("a good number")
        });
        let list = SignedDeviceList::sign(&account, [1; 16], 5, NOW, listed.to_vec()).expect("a good list");
        let identity = |id, key: &AccountKeyPair| AccountIdentity {
            id: [id; 16],
            key: key.public().clone(),
        };
        let (ours, theirs) = (identity(1, &account), identity(2, &other));
        let numbers = |a, b| SafetyNumber::new(a, b).expect("two people");
        let offer = LinkOffer::new(rng, [8; 16], [1; 16], account.public(), NOW);
        Self {
            alice,
            bob,
            alice_session,
            bob_session,
            opening,
            pending,
            account,
            list,
            safety_code: numbers(&theirs, &ours).code(),
            safety_number: numbers(&ours, &theirs),
            offer,
        }
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Message {
    Message::parse(bytes).expect("one of our messages")
}
