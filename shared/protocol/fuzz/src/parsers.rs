//! Everything that reads bytes from elsewhere.

use waxwing_protocol::{
    Content, Message, Session,
    device_list::{ExpectedKey, SignedDeviceList},
    handshake::{PrekeyBundle, PublishedSignedPrekey, initiate},
    keys::{
        IdentityKey, KEM_KEY_BYTES, OneTimePrekey, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SignedPrekey,
        SigningKeyPair, TheirDevice, VerifyingKey,
    },
    linking::LinkOffer,
    management::{ForkWitness, ResetBudget},
};

use crate::fixture::{FIXTURE, NOW, rng};

/// Half of the order of P-256, rounded down: s is not above it.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// A message from the network: what is refused leaves the session as it was; what a stranger says makes no session.
pub fn message(data: &[u8]) -> bool {
    let Ok(message) = Message::parse(data) else {
        return false;
    };
    let _ = format!("{message:?}");
    let fixture = &*FIXTURE;
    for session in [&fixture.alice_session, &fixture.bob_session] {
        let mut session = session.clone();
        let before = session.to_bytes();
        match session.decrypt(&message) {
            Ok(content) => assert_eq!(
                (content.as_slice(), data),
                (&b"pending"[..], &fixture.pending[..])
            ),
            Err(_) => assert!(
                session.to_bytes() == before,
                "a refused message changed the session"
            ),
        }
    }
    if let Some(Ok((_, content))) = fixture.bob.respond(&fixture.alice, &message) {
        assert_eq!((content.as_slice(), data), (&b"first"[..], &fixture.opening[..]));
    }
    true
}

/// What a message says: one encoding for each content.
pub fn content(data: &[u8]) -> bool {
    match Content::decode(data) {
        Ok(content) => {
            // An upper bound of a body holds for the writer; the network never brings more.
            if let Ok(encoded) = content.encode() {
                assert_eq!(encoded, data);
            }
            let _ = format!("{content:?}");
            true
        }
        Err(error) => {
            let _ = (error.sequence(), error.to_string());
            false
        }
    }
}

/// Keys and signatures: one encoding for each key, one form of each signature. A point (33 bytes), a signature (64),
/// then the message; or an encapsulation key; or a private key.
pub fn keys(data: &[u8]) -> bool {
    let mut accepted = false;
    if let Ok(pair) = SigningKeyPair::from_bytes(data) {
        assert_eq!(pair.to_bytes().as_slice(), data);
        assert!(pair.public().verify(data, &pair.sign(data)).is_ok());
        accepted = true;
    }
    if data.len() == KEM_KEY_BYTES {
        let key = FIXTURE.bob.signed.public().to_bytes();
        if let Ok(prekey) = SignedPrekey::from_bytes(1, &key, data) {
            assert_eq!(prekey.kem_key().as_slice(), data);
            accepted = true;
        }
    }
    let (point, rest) = data.split_at(data.len().min(PUBLIC_KEY_BYTES));
    if let Ok(key) = VerifyingKey::from_bytes(point) {
        assert_eq!(key.to_bytes(), point);
        assert!(matches!(point, [2 | 3, ..]));
        assert!(IdentityKey::from_bytes(point).is_ok() && OneTimePrekey::from_bytes(1, point).is_ok());
        let verified = rest
            .split_first_chunk::<SIGNATURE_BYTES>()
            .filter(|(signature, message)| key.verify(message, signature).is_ok());
        if let Some((signature, _)) = verified {
            assert!(signature[32..] <= HALF_ORDER[..], "a signature with a high s");
        }
        accepted |= rest.is_empty() || verified.is_some();
    }
    accepted
}

/// The state of a session, from our own store: whatever is read is written again the same, and does no harm.
pub fn state(data: &[u8]) -> bool {
    let Ok(mut session) = Session::from_bytes(data) else {
        return false;
    };
    assert!(
        session.to_bytes().as_slice() == data,
        "a state with two encodings"
    );
    let fixture = &*FIXTURE;
    for bytes in [&fixture.opening, &fixture.pending] {
        let before = session.to_bytes();
        if let Ok(message) = Message::parse(bytes)
            && session.decrypt(&message).is_err()
        {
            assert!(
                session.to_bytes() == before,
                "a refused message changed the session"
            );
        }
    }
    if let Ok(message) = session.encrypt(&mut rng(1), b"content", NOW) {
        assert!(Message::parse(&message).is_ok());
        assert!(Session::from_bytes(&session.to_bytes()).is_ok());
    }
    true
}

/// What a client remembers about its sessions, from our own store: what is read was written so.
pub fn management(data: &[u8]) -> bool {
    let witness = ForkWitness::from_bytes(data);
    if let Some(mut witness) = witness.clone() {
        assert_eq!(witness.to_bytes(), data);
        for sequence in [0, 1, u64::MAX] {
            witness.observe(sequence, data);
            assert!(ForkWitness::from_bytes(&witness.to_bytes()).is_some());
        }
    }
    let budget = ResetBudget::from_bytes(data);
    if let Some(mut budget) = budget.clone() {
        assert!(ResetBudget::from_bytes(&budget.to_bytes()).as_ref() == Some(&budget));
        for now in [0, NOW, u64::MAX] {
            let _ = budget.take(now);
            assert!(ResetBudget::from_bytes(&budget.to_bytes()).is_some());
        }
    }
    witness.is_some() || budget.is_some()
}

/// What the service hands out to open a session: device (66 bytes), identity signature (64), signed prekey (id 4, key
/// 33, encapsulation key, signature 64), one-time prekey (id 4, key 33; or nothing).
pub fn bundle(data: &[u8]) -> bool {
    read_bundle(data).is_some_and(|bundle| {
        let alice = &FIXTURE.alice;
        let rng = &mut rng(1);
        if let Ok(mut session) = initiate(rng, &alice.keys, alice.address, &bundle, b"somebody") {
            assert_eq!(session.used_one_time_prekey(), bundle.has_one_time_prekey());
            let message = session.encrypt(rng, b"content", NOW).expect("short");
            assert!(Message::parse(&message).is_ok());
        }
        true
    })
}

fn read_bundle(data: &[u8]) -> Option<PrekeyBundle> {
    let (signing_key, data) = data.split_first_chunk::<PUBLIC_KEY_BYTES>()?;
    let (identity_key, data) = data.split_first_chunk::<PUBLIC_KEY_BYTES>()?;
    let (identity_signature, data) = data.split_first_chunk::<SIGNATURE_BYTES>()?;
    let device = TheirDevice::verify(signing_key, identity_key, identity_signature).ok()?;
    let (id, data) = data.split_first_chunk()?;
    let (key, data) = data.split_first_chunk::<PUBLIC_KEY_BYTES>()?;
    let (kem_key, data) = data.split_first_chunk::<KEM_KEY_BYTES>()?;
    let (signature, data) = data.split_first_chunk()?;
    let published = PublishedSignedPrekey {
        id: u32::from_be_bytes(*id),
        key,
        kem_key,
        signature,
    };
    let one_time = data
        .split_first_chunk()
        .map(|(id, key)| (u32::from_be_bytes(*id), key));
    PrekeyBundle::verify(device, published, one_time).ok()
}

/// A device list: its signature (64 bytes), then the list.
pub fn device_list(data: &[u8]) -> bool {
    let Some((signature, list)) = data.split_first_chunk() else {
        return false;
    };
    let fixture = &*FIXTURE;
    let verify = |expected| SignedDeviceList::verify(list, signature, &[1; 16], expected);
    let first_use = verify(ExpectedKey::FirstUse);
    if let Ok(read) = &first_use {
        assert_eq!((read.list_bytes(), &read.signature()), (list, signature));
        assert!(read.devices().is_sorted_by(|a, b| a.number() < b.number()));
        let _ = (fixture.list.advance(read), read.advance(&fixture.list));
    }
    let known = verify(ExpectedKey::Known(fixture.account.public()));
    if let Ok(read) = &known {
        assert!(first_use.as_ref() == Ok(read), "a key that is known accepts more");
    }
    known.is_ok()
}

/// The code of a safety number, and its digits.
pub fn safety_code(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let number = &FIXTURE.safety_number;
    let _ = number.compare_digits(&text);
    number.compare_code(&text).is_ok()
}

/// The code that links a device: one text for each offer.
pub fn link_code(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    let _ = LinkOffer::scan(text, NOW);
    LinkOffer::read(text).is_ok_and(|offer| {
        assert_eq!(offer.code().as_str(), text);
        true
    })
}
