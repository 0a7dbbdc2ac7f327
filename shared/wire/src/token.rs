//! How a device proves who it is: a short-lived JSON Web Token it signs itself (RFC 7519; ES256, RFC 7518,
//! section 3.4), in the header `Authorization: Bearer …`. It is never part of a URL.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::{Signature, to_base64},
    ids::{AccountId, DeviceAddress, DeviceId, RegisteredDevice, RegistrationId},
};

/// The one header a token has: algorithm and type are pinned, there is no key id to confuse.
pub const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Which deployment it is for.
    pub aud: String,
    /// The account.
    pub sub: AccountId,
    /// The device.
    pub device: DeviceId,
    /// The registration of the device: a token ends with it.
    pub registration: RegistrationId,
    /// When it was made, in seconds of Unix time.
    pub iat: u64,
    /// When it ends, in seconds of Unix time; at most
    /// [`MAX_TOKEN_LIFE_SECONDS`](crate::limits::MAX_TOKEN_LIFE_SECONDS) after `iat`.
    pub exp: u64,
}

impl Claims {
    /// The device that the token says it is.
    pub fn registered_device(&self) -> RegisteredDevice {
        let address = DeviceAddress {
            account: self.sub,
            device: self.device,
        };
        RegisteredDevice {
            address,
            registration: self.registration,
        }
    }

    /// The bytes to sign (RFC 7515, section 5.1).
    pub fn signing_input(&self) -> String {
        // A struct of strings and numbers always serialises.
        let claims = serde_json::to_vec(self).unwrap_or_default();
        format!("{}.{}", to_base64(HEADER.as_bytes()), to_base64(&claims))
    }
}

/// Joins what was signed and its signature into a token (RFC 7515, section 3.1).
pub fn assemble(signing_input: &str, signature: &Signature) -> String {
    format!("{signing_input}.{}", to_base64(signature.as_bytes()))
}
