//! Ids as API Gateway makes them: `L0SM9cOFvHcCIhw=`.

use base64::{Engine, engine::general_purpose::URL_SAFE};

/// Bytes of an id. 88 random bits: nobody guesses one, and none ever comes twice.
const ID_BYTES: usize = 11;

/// An id of a connection, a request or a message, from random bytes.
pub(super) fn id(random: [u8; ID_BYTES]) -> String {
    URL_SAFE.encode(random)
}

/// An id that no one had before.
pub(super) fn fresh() -> String {
    id(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_one_of_api_gateways() {
        let id = id([0xFB; ID_BYTES]);
        assert_eq!((id.len(), id.ends_with('=')), (16, true));
        assert!(!id.contains(['/', '+']), "{id} has to fit into a path");
    }
}
