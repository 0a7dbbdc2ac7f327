//! How this device proves who it is: a token it signs itself, made anew for each connection and request.

use waxwing_protocol::keys::SigningKeyPair;
use waxwing_wire::{
    RegisteredDevice, Signature,
    limits::{MAX_CLOCK_SKEW_SECONDS, MAX_TOKEN_LIFE_SECONDS},
    token::{Claims, assemble},
};

/// Seconds a token lives: for one request, made now. Half of what is allowed, so that a clock that is off by
/// a little on either side does no harm.
const TOKEN_LIFE_SECONDS: u64 = MAX_TOKEN_LIFE_SECONDS / 2;
const _: () = assert!(TOKEN_LIFE_SECONDS > 2 * MAX_CLOCK_SKEW_SECONDS);

/// What a device makes its tokens from.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) key: SigningKeyPair,
    pub(crate) device: RegisteredDevice,
    pub(crate) audience: String,
}

impl Credentials {
    /// The value of the header `Authorization`. Secret for as long as the token lives: never logged.
    pub(crate) fn bearer(&self, now_millis: u64) -> String {
        let now = now_millis / 1000;
        let claims = Claims {
            aud: self.audience.clone(),
            sub: self.device.address.account,
            device: self.device.address.device,
            registration: self.device.registration,
            iat: now,
            exp: now + TOKEN_LIFE_SECONDS,
        };
        let input = claims.signing_input();
        let signature = Signature::new(self.key.sign(input.as_bytes()));
        format!("Bearer {}", assemble(&input, &signature))
    }
}

/// Whether a token made at `now` is in time for a service whose clock says `theirs`, both in seconds of Unix time.
pub(crate) fn is_in_time(now: u64, theirs: u64) -> bool {
    now <= theirs.saturating_add(MAX_CLOCK_SKEW_SECONDS)
        && theirs < now.saturating_add(TOKEN_LIFE_SECONDS + MAX_CLOCK_SKEW_SECONDS)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use waxwing_wire::{AccountId, DeviceAddress, DeviceId, RegistrationId, bytes::from_base64, limits};

    use super::*;

    #[test]
    fn a_token_names_the_device_and_is_signed_by_its_key() {
        let mut rng = StdRng::seed_from_u64(1);
        let key = SigningKeyPair::generate(&mut rng);
        let device = RegisteredDevice {
            address: DeviceAddress {
                account: AccountId::random(&mut rng),
                device: DeviceId::new(2).unwrap(),
            },
            registration: RegistrationId::random(&mut rng),
        };
        let credentials = Credentials {
            key: key.clone(),
            device,
            audience: "waxwing".to_owned(),
        };
        let header = credentials.bearer(1_700_000_000_999);
        let token = header.strip_prefix("Bearer ").unwrap();
        assert!(token.len() <= limits::MAX_TOKEN_BYTES);
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = from_base64(signature).unwrap().try_into().unwrap();
        key.public().verify(input.as_bytes(), &signature).unwrap();
        let claims = from_base64(input.split_once('.').unwrap().1).unwrap();
        let claims: Claims = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims.registered_device(), device);
        assert_eq!(claims.iat, 1_700_000_000);
        assert!(claims.exp - claims.iat <= limits::MAX_TOKEN_LIFE_SECONDS);
    }
}
