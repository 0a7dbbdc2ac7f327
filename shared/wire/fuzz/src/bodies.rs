//! Bodies of HTTP requests and their answers.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use waxwing_wire::{
    Problem,
    answer::{AnswerRequest, Answered},
    challenge::{ChallengeRequest, Challenged},
    check::{CheckRequest, Checked},
    confirm::{ConfirmRequest, Confirmed},
    fetch::Fetched,
    limits::MAX_ONE_TIME_PREKEYS_PER_UPLOAD,
    link::{LinkRequest, LinkStatus},
    lock::{LockRequest, LockSet},
    offer::{OfferRequest, Offered},
    register::{RegisterRequest, Registered},
    revoke::{RevokeRequest, Revoked},
    token::Claims,
    upload::{UploadRequest, Uploaded},
};

use crate::{frames::refuses_well, keeps_its_form};

/// A body: its first byte says of which verb it is, and the rest is JSON. What is read has one form; what the verb's
/// bounds let through is within them.
pub fn body(data: &[u8]) -> bool {
    let Some((verb, json)) = data.split_first() else {
        return false;
    };
    let checked = match verb {
        b'a' => read::<ChallengeRequest>(json).map(|_| Ok(())),
        b'b' => read::<ConfirmRequest>(json).map(|_| Ok(())),
        b'c' => read::<RegisterRequest>(json).map(|request| request.check()),
        b'd' => read::<LockRequest>(json).map(|_| Ok(())),
        b'e' => read::<OfferRequest>(json).map(|_| Ok(())),
        b'f' => read::<LinkRequest>(json).map(|request| request.check()),
        b'g' => read::<AnswerRequest>(json).map(|request| request.check()),
        b'h' => read::<RevokeRequest>(json).map(|request| request.check()),
        b'i' => read::<UploadRequest>(json).map(|request| {
            let checked = request.check();
            let prekeys = request.one_time_prekeys;
            if checked.is_ok() {
                assert!(prekeys.len() <= MAX_ONE_TIME_PREKEYS_PER_UPLOAD);
                assert!(prekeys.is_sorted_by(|one, next| one.id < next.id));
            }
            checked
        }),
        b'j' => read::<CheckRequest>(json).map(|_| Ok(())),
        b'k' => read::<Claims>(json).map(|claims| {
            // Three parts, of which the first is pinned.
            assert_eq!(claims.signing_input().matches('.').count(), 1);
            Ok(())
        }),
        _ => return answer(*verb, json),
    };
    if let Some(Err(problem)) = &checked {
        refuses_well(problem, &String::from_utf8_lossy(json));
    }
    checked.is_some()
}

/// An answer, which a client reads.
fn answer(verb: u8, json: &[u8]) -> bool {
    match verb {
        b'A' => read::<Challenged>(json).is_some(),
        b'B' => read::<Confirmed>(json).is_some(),
        b'C' => read::<Registered>(json).is_some(),
        b'D' => read::<LockSet>(json).is_some(),
        b'E' => read::<Offered>(json).is_some(),
        b'F' => read::<LinkStatus>(json).is_some(),
        b'G' => read::<Answered>(json).is_some(),
        b'H' => read::<Revoked>(json).is_some(),
        b'I' => read::<Uploaded>(json).is_some(),
        b'J' => read::<Checked>(json).is_some(),
        b'K' => read::<Fetched>(json).is_some(),
        b'L' => read::<Problem>(json).is_some(),
        _ => false,
    }
}

fn read<T: Debug + PartialEq + Serialize + DeserializeOwned>(json: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(json).ok()?;
    keeps_its_form(&value);
    Some(value)
}
