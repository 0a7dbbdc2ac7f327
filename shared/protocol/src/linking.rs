//! How a new device joins an account without trusting the service.
//!
//! A device that can sign the account's list makes a [`LinkOffer`] and shows it as a QR code. The new device scans it,
//! makes its keys and sends them through the service, with its name sealed and a proof that it read the code. The first
//! device checks the proof, shows the name to the user, and on a yes signs a list with the new device on it. The new
//! device looks itself up on that list.
//!
//! The code holds a secret that the service never sees. So the service can neither put another device's keys in place
//! of the new one's, nor read or change its name, nor hand the new device a list of somebody else's account.
//! `docs/accounts.md`, "Linking a device", has the bytes.

mod name;

use std::fmt;

use rand::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use name::{DeviceName, MAX_NAME_BYTES, NameError};

use crate::{
    codec::{LengthError, Reader},
    device_list::{ACCOUNT_BYTES, DeviceListError, ExpectedKey, MAX_REGISTRATION, SignedDeviceList},
    keys::{AccountKey, KeyError, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, TheirDevice},
    labels,
    primitives::{HASH_BYTES, NONCE_BYTES, Prk, SECRET_BYTES, Secret, TAG_BYTES, open, seal},
    qr,
};

/// Bytes of the token by which the service knows an offer.
pub const TOKEN_BYTES: usize = 16;

/// How long an offer stands, in milliseconds: time to walk from one device to the other, and short for a code that
/// somebody photographed.
pub const LINK_LIFE_MILLIS: u64 = 5 * 60 * 1000;

/// By how much the clocks of two devices may differ, in milliseconds, before a code is taken for one made in advance.
pub const MAX_CLOCK_SKEW_MILLIS: u64 = 60 * 1000;

/// Bytes of what a new device sends the other one through the service: its name, sealed, and the proof.
pub const SEALED_LINK_BYTES: usize = SEALED_NAME_BYTES + HASH_BYTES;

/// Nonce, name with its length in front and zeros behind, tag.
const SEALED_NAME_BYTES: usize = NONCE_BYTES + name::ENCODED_BYTES + TAG_BYTES;

/// What begins the text of a code.
const SCHEME: &str = "waxwing:link?";

/// First byte of a code.
const VERSION: u8 = 1;

/// Bytes of a code: version, token, secret, account, account key, end.
const CODE_BYTES: usize = 1 + TOKEN_BYTES + SECRET_BYTES + ACCOUNT_BYTES + PUBLIC_KEY_BYTES + 8;

/// A place for one new device: what the QR code says.
#[derive(Clone)]
pub struct LinkOffer {
    token: [u8; TOKEN_BYTES],
    secret: Secret,
    account: [u8; ACCOUNT_BYTES],
    account_key: AccountKey,
    expires_at_millis: u64,
}

/// Why a code is no offer to be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkCodeError {
    /// Not the code of an offer.
    #[error("not the code of a new device")]
    Code,
    /// The code is of another version. One of the two devices has to update.
    #[error("a code of version {0}")]
    Version(u8),
    /// Its account key is no key.
    #[error("account key: {0}")]
    AccountKey(#[source] KeyError),
    /// The offer has ended.
    #[error("the code has expired")]
    Expired,
    /// The offer ends later than any offer can: made in advance, or a clock is wrong.
    #[error("the code is valid for too long")]
    TooLong,
}

/// Why a step of linking failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A registration lies outside 1 to [`MAX_REGISTRATION`].
    #[error("registration out of range")]
    Registration,
    /// The offer has ended.
    #[error("the offer has expired")]
    Expired,
    /// What the new device sent has another length than [`SEALED_LINK_BYTES`].
    #[error("wrong length")]
    Length,
    /// Whoever sent these keys has not read this code, or the keys were changed on their way.
    #[error("the proof is not of this code and these keys")]
    Proof,
    /// Who read the code gave itself something else than a name.
    #[error("name: {0}")]
    Name(#[source] NameError),
    /// The list is not one of the offer's account.
    #[error("device list: {0}")]
    List(#[source] DeviceListError),
    /// The list has no device with this registration and these keys.
    #[error("the device is not on the list")]
    NotListed,
}

impl LinkOffer {
    /// An offer for one new device of our account. The token is random and known to the service.
    pub fn new(
        rng: &mut impl CryptoRng,
        token: [u8; TOKEN_BYTES],
        account: [u8; ACCOUNT_BYTES],
        account_key: &AccountKey,
        expires_at_millis: u64,
    ) -> Self {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill_bytes(secret.as_mut());
        Self {
            token,
            secret: Secret::copy_of(&secret),
            account,
            account_key: account_key.clone(),
            expires_at_millis,
        }
    }

    /// The text of the QR code, and the offer's form in our own store. Whoever reads it can take up the offer.
    pub fn code(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(CODE_BYTES));
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.token);
        bytes.extend_from_slice(self.secret.as_bytes());
        bytes.extend_from_slice(&self.account);
        bytes.extend_from_slice(&self.account_key.to_bytes());
        bytes.extend_from_slice(&self.expires_at_millis.to_be_bytes());
        Zeroizing::new(qr::encode(SCHEME, &bytes))
    }

    /// Reads a code that was scanned, on the new device.
    ///
    /// # Errors
    /// [`LinkCodeError`].
    pub fn scan(code: &str, now_millis: u64) -> Result<Self, LinkCodeError> {
        let offer = Self::read(code)?;
        let latest = now_millis.saturating_add(LINK_LIFE_MILLIS + MAX_CLOCK_SKEW_MILLIS);
        if offer.expires_at_millis > latest {
            return Err(LinkCodeError::TooLong);
        }
        if offer.expires_at_millis.saturating_add(MAX_CLOCK_SKEW_MILLIS) <= now_millis {
            return Err(LinkCodeError::Expired);
        }
        Ok(offer)
    }

    /// Reads a code from our own store, whenever it ends.
    ///
    /// # Errors
    /// [`LinkCodeError`], but for the time.
    pub fn read(code: &str) -> Result<Self, LinkCodeError> {
        let bytes = qr::decode(SCHEME, code).map_err(|_| LinkCodeError::Code)?;
        match bytes.split_first() {
            None => Err(LinkCodeError::Code),
            Some((&VERSION, fields)) => Self::parse(fields),
            Some((&version, _)) => Err(LinkCodeError::Version(version)),
        }
    }

    /// By which the service knows the offer.
    pub fn token(&self) -> [u8; TOKEN_BYTES] {
        self.token
    }

    /// Which account the new device joins.
    pub fn account(&self) -> [u8; ACCOUNT_BYTES] {
        self.account
    }

    /// The key of that account.
    pub fn account_key(&self) -> &AccountKey {
        &self.account_key
    }

    /// When the offer ends, in milliseconds of Unix time.
    pub fn expires_at_millis(&self) -> u64 {
        self.expires_at_millis
    }

    /// On the new device: what goes to the other device with our keys. It proves that we read the code, and holds our
    /// name, which only the other device can read.
    ///
    /// # Errors
    /// [`LinkError::Registration`].
    pub fn request(
        &self,
        rng: &mut impl CryptoRng,
        registration: u32,
        keys: &TheirDevice,
        name: &DeviceName,
    ) -> Result<[u8; SEALED_LINK_BYTES], LinkError> {
        if !(1..=MAX_REGISTRATION).contains(&registration) {
            return Err(LinkError::Registration);
        }
        let keyed = self.keys();
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let mut text = name.encode();
        let tag = seal(&keyed.name, &nonce, &[], text.as_mut());
        let sealed_name = [nonce.as_slice(), text.as_ref(), &tag].concat();
        let proof = keyed.prove(registration, keys, &sealed_name);
        let mut sealed = [0; SEALED_LINK_BYTES];
        sealed.copy_from_slice(&[sealed_name.as_slice(), proof.as_bytes()].concat());
        Ok(sealed)
    }

    /// On the device that made the offer: checks that these keys come from whoever read the code, and gives the name to
    /// show before anything is signed.
    ///
    /// # Errors
    /// [`LinkError::Expired`], [`LinkError::Registration`], [`LinkError::Length`], [`LinkError::Proof`] or
    /// [`LinkError::Name`].
    pub fn accept(
        &self,
        now_millis: u64,
        sealed: &[u8],
        registration: u32,
        keys: &TheirDevice,
    ) -> Result<DeviceName, LinkError> {
        if self.expires_at_millis <= now_millis {
            return Err(LinkError::Expired);
        }
        if !(1..=MAX_REGISTRATION).contains(&registration) {
            return Err(LinkError::Registration);
        }
        let sealed: &[u8; SEALED_LINK_BYTES] = sealed.try_into().map_err(|_| LinkError::Length)?;
        let (sealed_name, proof) = sealed.split_at(SEALED_NAME_BYTES);
        let keyed = self.keys();
        let expected = keyed.prove(registration, keys, sealed_name);
        if !bool::from(expected.as_bytes().as_slice().ct_eq(proof)) {
            return Err(LinkError::Proof);
        }
        keyed.open_name(sealed_name)
    }

    /// On the new device, once the service says that it is in the account: checks the list and finds this device on it.
    /// Gives the list and our number.
    ///
    /// # Errors
    /// [`LinkError::List`] or [`LinkError::NotListed`].
    pub fn confirm(
        &self,
        list: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
        registration: u32,
        keys: &TheirDevice,
    ) -> Result<(SignedDeviceList, u8), LinkError> {
        let expected = ExpectedKey::Known(&self.account_key);
        let list =
            SignedDeviceList::verify(list, signature, &self.account, expected).map_err(LinkError::List)?;
        let number = list
            .devices()
            .iter()
            .find(|device| device.registration() == registration && device.keys() == keys)
            .ok_or(LinkError::NotListed)?
            .number();
        Ok((list, number))
    }

    /// Reads all but the version.
    fn parse(fields: &[u8]) -> Result<Self, LinkCodeError> {
        let mut reader = Reader::new(fields);
        let token = *reader.array()?;
        let secret = Secret::copy_of(reader.array()?);
        let account = *reader.array()?;
        let account_key = *reader.array::<PUBLIC_KEY_BYTES>()?;
        let expires_at_millis = reader.u64()?;
        reader.finish()?;
        Ok(Self {
            token,
            secret,
            account,
            account_key: AccountKey::from_bytes(&account_key).map_err(LinkCodeError::AccountKey)?,
            expires_at_millis,
        })
    }

    /// What both devices derive from the code. Each key depends on all the code says.
    fn keys(&self) -> LinkKeys {
        let prk = Prk::extract(labels::LINK, self.secret.as_bytes());
        let derive = |label: &[u8]| {
            prk.expand(&[
                label,
                &self.token,
                &self.account,
                &self.account_key.to_bytes(),
                &self.expires_at_millis.to_be_bytes(),
            ])
        };
        LinkKeys {
            name: derive(labels::LINK_NAME),
            proof: derive(labels::LINK_PROOF),
        }
    }
}

impl From<LengthError> for LinkCodeError {
    fn from(_: LengthError) -> Self {
        Self::Code
    }
}

impl fmt::Debug for LinkOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkOffer")
            .field("expires_at_millis", &self.expires_at_millis)
            .finish_non_exhaustive()
    }
}

struct LinkKeys {
    name: Secret,
    proof: Secret,
}

impl LinkKeys {
    /// HKDF-Expand to 32 bytes is HMAC-SHA-256 of its info and one byte 01 (RFC 5869, section 2.3), and so a MAC.
    fn prove(&self, registration: u32, keys: &TheirDevice, sealed_name: &[u8]) -> Secret {
        Prk::from_key(&self.proof).expand(&[
            labels::LINK_REQUEST,
            &registration.to_be_bytes(),
            &keys.to_bytes(),
            sealed_name,
        ])
    }

    fn open_name(&self, sealed: &[u8]) -> Result<DeviceName, LinkError> {
        let mut reader = Reader::new(sealed);
        let nonce = reader.array()?;
        let mut text = Zeroizing::new(*reader.array()?);
        let tag = reader.array()?;
        open(&self.name, nonce, &[], text.as_mut(), tag).map_err(|_| LinkError::Proof)?;
        DeviceName::decode(&text).map_err(LinkError::Name)
    }
}

impl From<LengthError> for LinkError {
    fn from(_: LengthError) -> Self {
        Self::Length
    }
}

#[cfg(test)]
mod tests;
