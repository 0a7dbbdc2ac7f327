//! Keys from what people can remember: Argon2id, version 1.3 (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};

use super::secret::{SECRET_BYTES, Secret};

/// Memory in KiB: 64 MiB, as RFC 9106, section 4, recommends where memory is scarce. Any phone has that; a machine
/// that guesses needs it once for each guess under way.
const MEMORY_KIB: u32 = 64 * 1024;

/// Passes over the memory, as RFC 9106 recommends with that much of it.
const PASSES: u32 = 3;

/// Lanes: one, because a phone's other cores are busy and the code runs on one.
const LANES: u32 = 1;

/// The memory cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// Stretches a password to a key, slowly. The salt has at least 8 bytes.
pub(crate) fn stretch(password: &[u8], salt: &[u8]) -> Result<Secret, NoMemory> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(SECRET_BYTES)).map_err(|_| NoMemory)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Secret::zero();
    argon2
        .hash_password_into(password, salt, key.as_mut())
        .map_err(|_| NoMemory)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};

    use super::*;
    use crate::testing::{hex, unhex};

    #[test]
    fn rfc_9106_section_5_3() {
        let params = ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(AssociatedData::new(&[4; 12]).unwrap())
            .build()
            .unwrap();
        let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let mut tag = [0; 32];
        argon2.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
        let published = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659";
        assert_eq!(hex(&tag), published);
    }

    #[test]
    fn the_parameters_are_those_of_the_documentation() {
        // Made with another implementation (OpenSSL's): password "1", salt of 32 letters a.
        let expected = unhex("dea71a408f8e10c91d1317bba563764b4503b9c7a34cee26f292ba2046ce7e4e");
        assert_eq!(
            stretch(b"1", &[b'a'; 32]).unwrap().as_bytes(),
            expected.as_slice()
        );
    }
}
