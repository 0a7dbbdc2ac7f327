//! Every label of the protocol: what separates one use of a hash, a key or a signature from all others.
//!
//! No label is the beginning of another, and each ends with a zero byte where variable data follows a hash
//! or key derivation, so no two uses can ever see the same input.

/// First input of the hash over what a handshake binds. Names the version and the whole suite.
pub(crate) const TRANSCRIPT: &[u8] = b"Waxwing v1 transcript P-256 ML-KEM-768 HKDF-SHA-256 AES-256-GCM\0";

/// Salt of the extraction from a handshake's shared secrets.
pub(crate) const HANDSHAKE: &[u8] = b"Waxwing v1 handshake X3DH ML-KEM-768\0";

/// The first root key of a session, from a handshake.
pub(crate) const SESSION_ROOT: &[u8] = b"Waxwing v1 session root\0";

/// The keys of a session's ephemeral messages, from a handshake.
pub(crate) const EPHEMERAL_KEY: &[u8] = b"Waxwing v1 ephemeral key\0";

/// The key of one ephemeral message, from the key of its direction.
pub(crate) const EPHEMERAL_MESSAGE_KEY: &[u8] = b"Waxwing v1 ephemeral message key\0";

/// First bytes of the associated data of every ephemeral message.
pub(crate) const EPHEMERAL: &[u8] = b"Waxwing v1 ephemeral\0";

/// The next root key, from a ratchet step.
pub(crate) const RATCHET_ROOT: &[u8] = b"Waxwing v1 ratchet root\0";

/// The first key of a chain, from a ratchet step.
pub(crate) const RATCHET_CHAIN: &[u8] = b"Waxwing v1 ratchet chain\0";

/// The next key of a chain, from a chain key.
pub(crate) const CHAIN_NEXT: &[u8] = b"Waxwing v1 chain next\0";

/// The key of one message, from a chain key.
pub(crate) const CHAIN_MESSAGE: &[u8] = b"Waxwing v1 chain message\0";

/// The secret of a post-quantum step, from what the key encapsulation gave.
pub(crate) const RATCHET_KEM_SECRET: &[u8] = b"Waxwing v1 ratchet kem secret\0";

/// What shows that both sides of a post-quantum step have the same secret.
pub(crate) const RATCHET_KEM_CONFIRMATION: &[u8] = b"Waxwing v1 ratchet kem confirmation\0";

/// Before what names an opening that was answered without a one-time prekey.
pub(crate) const ANSWERED_OPENING: &[u8] = b"Waxwing v1 answered opening\0";

/// Before a content, in the digest that shows whether its number was used for another.
pub(crate) const CONTENT_DIGEST: &[u8] = b"Waxwing v1 content digest\0";

/// First bytes of the associated data of every message.
pub(crate) const MESSAGE: &[u8] = b"Waxwing v1 message\0";

/// Before the identity key, under the identity signature.
pub(crate) const IDENTITY_SIGNATURE: &[u8] = b"Waxwing v1 identity key";

/// Before id and both keys, under a signed prekey's signature.
pub(crate) const SIGNED_PREKEY_SIGNATURE: &[u8] = b"Waxwing v1 signed prekey";

/// First bytes of a device list, which the account key signs.
pub(crate) const DEVICE_LIST_SIGNATURE: &[u8] = b"Waxwing v1 device list";

/// First input of every round of a safety number's hash.
pub(crate) const SAFETY_NUMBER: &[u8] = b"Waxwing v1 safety number\0";

/// Salt of the extraction from a link's secret.
pub(crate) const LINK: &[u8] = b"Waxwing v1 link\0";

/// The key that seals a new device's name.
pub(crate) const LINK_NAME: &[u8] = b"Waxwing v1 link name\0";

/// The key that proves that a new device read the link's code.
pub(crate) const LINK_PROOF: &[u8] = b"Waxwing v1 link proof\0";

/// First bytes of what that proof covers.
pub(crate) const LINK_REQUEST: &[u8] = b"Waxwing v1 link request\0";

/// The proof of a registration lock, from what the slow function makes of a PIN.
pub(crate) const REGISTRATION_LOCK: &[u8] = b"Waxwing v1 registration lock\0";

/// The key that seals a secret under a passphrase.
pub(crate) const SEALED_BY_PASSPHRASE: &[u8] = b"Waxwing v1 sealed by passphrase\0";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[&[u8]] = &[
        TRANSCRIPT,
        HANDSHAKE,
        SESSION_ROOT,
        EPHEMERAL_KEY,
        EPHEMERAL_MESSAGE_KEY,
        EPHEMERAL,
        RATCHET_ROOT,
        RATCHET_CHAIN,
        CHAIN_NEXT,
        CHAIN_MESSAGE,
        RATCHET_KEM_SECRET,
        RATCHET_KEM_CONFIRMATION,
        ANSWERED_OPENING,
        CONTENT_DIGEST,
        MESSAGE,
        IDENTITY_SIGNATURE,
        SIGNED_PREKEY_SIGNATURE,
        DEVICE_LIST_SIGNATURE,
        SAFETY_NUMBER,
        LINK,
        LINK_NAME,
        LINK_PROOF,
        LINK_REQUEST,
        REGISTRATION_LOCK,
        SEALED_BY_PASSPHRASE,
    ];

    #[test]
    fn x07_no_label_is_the_beginning_of_another() {
        for (i, label) in ALL.iter().enumerate() {
            for (j, other) in ALL.iter().enumerate() {
                assert!(i == j || !other.starts_with(label), "{i} begins {j}");
            }
        }
    }

    #[test]
    fn x07_every_label_of_the_crate_is_in_the_list() {
        let declared = include_str!("labels.rs").matches(": &[u8] = b\"").count();
        assert_eq!(declared, ALL.len());
    }

    #[test]
    fn x07_a_label_of_a_signature_begins_no_token() {
        // Tokens are signed with the same key; their signed text begins with base64url of `{"`.
        for label in [IDENTITY_SIGNATURE, SIGNED_PREKEY_SIGNATURE] {
            assert!(label.starts_with(b"Waxwing v1 ") && !label.starts_with(b"eyJ"));
        }
    }
}
