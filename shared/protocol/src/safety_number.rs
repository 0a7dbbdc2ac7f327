//! What two people compare to know that nobody stands between them.
//!
//! A service that hands out false account keys can read along. Two people who compare a *safety number* notice: 60
//! digits, read out or typed, or a QR code that one shows and the other scans. Both come from the ids and account keys
//! of the two; the account keys vouch for everything below them.
//!
//! Each side has a fingerprint of 32 bytes: a hash repeated [`ROUNDS`] times over its id and key. Thirty digits come
//! from each fingerprint, the smaller thirty first, so both people see the same sixty. The code holds both
//! fingerprints in full. `docs/accounts.md`, "Safety number", has the bytes.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use crate::{
    codec::{LengthError, Reader},
    device_list::ACCOUNT_BYTES,
    keys::AccountKey,
    labels,
    primitives::{HASH_BYTES, hash},
    qr,
};

/// Rounds of the hash. Thirty digits hold 99.7 bits; 5,200 ≈ 2^12.3 rounds for each key tried make it 2^112 hashes to
/// find another key with the same digits, the least that NIST SP 800-57 part 1 (table 2) calls secure. It takes a
/// phone a few milliseconds.
pub const ROUNDS: u32 = 5_200;

/// Digits of a safety number.
pub const DIGITS: usize = 60;

/// What begins the text of a code.
const SCHEME: &str = "waxwing:verify?";

/// First byte of a code.
const VERSION: u8 = 1;

/// Digits of one group, as people read them.
const GROUP_DIGITS: usize = 5;

/// Bytes that one group comes from: 2^40 is so far above 100,000 that no digit is likelier than another by 2^-23.
const GROUP_BYTES: usize = 5;

/// Groups of one side.
const GROUPS: usize = 6;

/// An account as others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountIdentity {
    /// Its id.
    pub id: [u8; ACCOUNT_BYTES],
    /// Its key.
    pub key: AccountKey,
}

/// What two people compare.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetyNumber {
    ours: Side,
    theirs: Side,
    digits: String,
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both know each other's true keys.
    Match,
    /// The keys differ: somebody may stand between the two.
    Mismatch,
    /// The code is about other people: of somebody else, for somebody else, or one's own.
    OtherPerson,
    /// The code is of another version. One of the two has to update.
    OtherVersion,
}

/// Why there is no safety number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SafetyNumberError {
    /// Both are the same account.
    #[error("both are the same account")]
    SameAccount,
    /// Two accounts have one key, which no honest client makes.
    #[error("two accounts with one key")]
    SameKey,
}

/// Why what was scanned or typed could not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not the code of a safety number.
    #[error("not the code of a safety number")]
    Code,
    /// Not 60 digits.
    #[error("a safety number has {DIGITS} digits")]
    Digits,
}

impl SafetyNumber {
    /// The safety number of our account and another.
    ///
    /// # Errors
    /// [`SafetyNumberError`].
    pub fn new(ours: &AccountIdentity, theirs: &AccountIdentity) -> Result<Self, SafetyNumberError> {
        if ours.id == theirs.id {
            return Err(SafetyNumberError::SameAccount);
        }
        if ours.key == theirs.key {
            return Err(SafetyNumberError::SameKey);
        }
        let (ours, theirs) = (Side::new(ours), Side::new(theirs));
        let mut halves = [ours.digits(), theirs.digits()];
        halves.sort();
        let digits = halves.concat();
        Ok(Self { ours, theirs, digits })
    }

    /// The 60 digits. Both people have the same. [`Display`](fmt::Display) sets them in groups of five.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// The text of the QR code we show.
    pub fn code(&self) -> String {
        qr::encode(SCHEME, &self.code_bytes())
    }

    /// Compares a code that the other person shows.
    ///
    /// # Errors
    /// [`CodeError::Code`], if it is something else than a code of a safety number.
    pub fn compare_code(&self, scanned: &str) -> Result<Comparison, CodeError> {
        let bytes = qr::decode(SCHEME, scanned).map_err(|_| CodeError::Code)?;
        match bytes.split_first() {
            None => Err(CodeError::Code),
            Some((&VERSION, sides)) => {
                let (shows, scans) = read_sides(sides).map_err(|_| CodeError::Code)?;
                let people = shows.id_is(&self.theirs) & scans.id_is(&self.ours);
                let keys = shows.fingerprint_is(&self.theirs) & scans.fingerprint_is(&self.ours);
                Ok(match (people.into(), keys.into()) {
                    (true, true) => Comparison::Match,
                    (true, false) => Comparison::Mismatch,
                    (false, _) => Comparison::OtherPerson,
                })
            }
            Some(_) => Ok(Comparison::OtherVersion),
        }
    }

    /// Compares digits that the other person read out or sent by another way. White space and hyphens between them
    /// are left out.
    ///
    /// # Errors
    /// [`CodeError::Digits`].
    pub fn compare_digits(&self, typed: &str) -> Result<Comparison, CodeError> {
        let typed: String = typed
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .collect();
        if typed.len() != DIGITS || !typed.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CodeError::Digits);
        }
        let same: bool = typed.as_bytes().ct_eq(self.digits.as_bytes()).into();
        Ok(if same {
            Comparison::Match
        } else {
            Comparison::Mismatch
        })
    }

    /// Version, who shows it, who scans it.
    fn code_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for side in [&self.ours, &self.theirs] {
            bytes.extend_from_slice(&side.id);
            bytes.extend_from_slice(&side.fingerprint);
        }
        bytes
    }
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, digit) in self.digits.chars().enumerate() {
            if at > 0 && at % GROUP_DIGITS == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyNumber({self})")
    }
}

/// One of the two people.
#[derive(Clone, PartialEq, Eq)]
struct Side {
    id: [u8; ACCOUNT_BYTES],
    fingerprint: [u8; HASH_BYTES],
}

impl Side {
    fn new(account: &AccountIdentity) -> Self {
        let key = account.key.to_bytes();
        let mut fingerprint = [0; HASH_BYTES];
        for _ in 0..ROUNDS {
            fingerprint = hash(&[labels::SAFETY_NUMBER, &fingerprint, &account.id, &key]);
        }
        Self {
            id: account.id,
            fingerprint,
        }
    }

    /// 30 digits from the first 30 bytes.
    fn digits(&self) -> String {
        let groups = self.fingerprint.chunks_exact(GROUP_BYTES).take(GROUPS);
        let number = |group: &[u8]| {
            group
                .iter()
                .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
        };
        groups
            .map(|group| format!("{:0GROUP_DIGITS$}", number(group) % 100_000))
            .collect()
    }

    fn id_is(&self, other: &Self) -> Choice {
        self.id.ct_eq(&other.id)
    }

    fn fingerprint_is(&self, other: &Self) -> Choice {
        self.fingerprint.ct_eq(&other.fingerprint)
    }
}

fn read_sides(bytes: &[u8]) -> Result<(Side, Side), LengthError> {
    let mut reader = Reader::new(bytes);
    let mut side = || {
        Ok(Side {
            id: *reader.array()?,
            fingerprint: *reader.array()?,
        })
    };
    let sides = (side()?, side()?);
    reader.finish()?;
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::{
        keys::AccountKeyPair,
        testing::{negated, rng},
    };

    fn account(id: u8, seed: u64) -> AccountIdentity {
        let key = AccountKeyPair::generate(&mut rng(seed)).public().clone();
        AccountIdentity { id: [id; 16], key }
    }

    fn number(ours: &AccountIdentity, theirs: &AccountIdentity) -> SafetyNumber {
        SafetyNumber::new(ours, theirs).unwrap()
    }

    #[test]
    fn x53_both_people_see_the_same_sixty_digits() {
        let (alice, bob) = (account(1, 1), account(2, 2));
        let (hers, his) = (number(&alice, &bob), number(&bob, &alice));
        assert_eq!(hers.digits(), his.digits());
        assert_eq!(hers.to_string(), his.to_string());
        assert_eq!(hers.digits().len(), DIGITS);
        assert!(hers.digits().bytes().all(|byte| byte.is_ascii_digit()));
        let groups: Vec<_> = hers.to_string().split(' ').map(str::to_owned).collect();
        assert_eq!(groups.len(), 12);
        assert!(groups.iter().all(|group| group.len() == 5));
        assert_eq!(groups.concat(), hers.digits());
    }

    #[test]
    fn x53_any_other_id_or_key_gives_other_digits_and_another_code() {
        let (alice, bob) = (account(1, 1), account(2, 2));
        let twin = |account: &AccountIdentity| AccountIdentity {
            id: account.id,
            key: AccountKey::from_bytes(&negated(account.key.to_bytes())).unwrap(),
        };
        let swapped_keys = (
            AccountIdentity {
                id: alice.id,
                key: bob.key.clone(),
            },
            AccountIdentity {
                id: bob.id,
                key: alice.key.clone(),
            },
        );
        let pairs = [
            (alice.clone(), bob.clone()),
            (account(3, 1), bob.clone()),
            (alice.clone(), account(3, 2)),
            (account(1, 3), bob.clone()),
            (alice.clone(), account(2, 3)),
            // x03: the other point with the same x-coordinate is another key.
            (twin(&alice), bob.clone()),
            (alice.clone(), twin(&bob)),
            swapped_keys,
        ];
        let numbers: Vec<_> = pairs.iter().map(|(ours, theirs)| number(ours, theirs)).collect();
        for (i, one) in numbers.iter().enumerate() {
            for other in &numbers[..i] {
                assert_ne!(one.digits(), other.digits());
                assert_ne!(one.code(), other.code());
            }
        }
    }

    #[test]
    fn x53_x35_an_id_made_from_a_key_gives_no_other_account_s_number() {
        // Ids of 16 bytes and keys of 33 have fixed places, so no id can run into a key.
        let (alice, bob) = (account(1, 1), account(2, 2));
        let mut crafted = account(0, 3);
        crafted.id.copy_from_slice(&alice.key.to_bytes()[1..17]);
        assert_ne!(number(&crafted, &bob).digits(), number(&alice, &bob).digits());
        let crafted_from_fingerprint = AccountIdentity {
            id: *Side::new(&alice).fingerprint.first_chunk().unwrap(),
            key: crafted.key,
        };
        assert_ne!(
            number(&crafted_from_fingerprint, &bob).digits(),
            number(&alice, &bob).digits()
        );
    }

    #[test]
    fn x53_a_code_matches_exactly_the_person_it_is_meant_for() {
        let (alice, bob, carol) = (account(1, 1), account(2, 2), account(3, 3));
        let his = number(&bob, &alice);
        let compare = |code: &str| his.compare_code(code).unwrap();
        assert_eq!(compare(&number(&alice, &bob).code()), Comparison::Match);
        // Somebody stands between them: one of them has another key of the other, or both.
        let false_bob = account(2, 9);
        assert_eq!(compare(&number(&alice, &false_bob).code()), Comparison::Mismatch);
        let false_alice = account(1, 9);
        assert_eq!(compare(&number(&false_alice, &bob).code()), Comparison::Mismatch);
        // Alice's code for Carol, Carol's for Bob, and Bob's own.
        assert_eq!(compare(&number(&alice, &carol).code()), Comparison::OtherPerson);
        assert_eq!(compare(&number(&carol, &bob).code()), Comparison::OtherPerson);
        assert_eq!(compare(&his.code()), Comparison::OtherPerson);
    }

    #[test]
    fn x53_a_code_of_another_version_is_told_from_a_false_one() {
        let (alice, bob) = (account(1, 1), account(2, 2));
        let (hers, his) = (number(&alice, &bob), number(&bob, &alice));
        for version in [0, 2, 255] {
            let mut bytes = hers.code_bytes();
            bytes[0] = version;
            let code = qr::encode(SCHEME, &bytes);
            assert_eq!(his.compare_code(&code), Ok(Comparison::OtherVersion));
            let code = qr::encode(SCHEME, &bytes[..1]);
            assert_eq!(his.compare_code(&code), Ok(Comparison::OtherVersion));
        }
    }

    #[test]
    fn x53_every_bit_of_a_code_counts() {
        let (alice, bob) = (account(1, 1), account(2, 2));
        let (hers, his) = (number(&alice, &bob), number(&bob, &alice));
        for at in 0..97 {
            let mut bytes = hers.code_bytes();
            bytes[at] ^= 0x10;
            let outcome = his.compare_code(&qr::encode(SCHEME, &bytes)).unwrap();
            let expected = match at {
                0 => Comparison::OtherVersion,
                1..=16 | 49..=64 => Comparison::OtherPerson,
                _ => Comparison::Mismatch,
            };
            assert_eq!(outcome, expected, "byte {at}");
        }
    }

    #[test]
    fn something_else_than_a_code_is_not_compared() {
        let (alice, bob) = (account(1, 1), account(2, 2));
        let (hers, his) = (number(&alice, &bob), number(&bob, &alice));
        let bytes = hers.code_bytes();
        let longer = [bytes.as_slice(), &[0]].concat();
        for code in [
            String::new(),
            SCHEME.to_owned(),
            "https://example.com".to_owned(),
            hers.digits().to_owned(),
            qr::encode("waxwing:link?", &bytes),
            qr::encode(SCHEME, &bytes[..96]),
            qr::encode(SCHEME, &longer),
            hers.code() + "=",
        ] {
            assert_eq!(his.compare_code(&code), Err(CodeError::Code), "{code}");
        }
    }

    #[test]
    fn x53_digits_are_compared_however_they_are_written() {
        let (alice, bob) = (account(1, 1), account(2, 2));
        let (hers, his) = (number(&alice, &bob), number(&bob, &alice));
        for typed in [
            hers.digits().to_owned(),
            hers.to_string(),
            hers.to_string().replace(' ', "-\n"),
        ] {
            assert_eq!(his.compare_digits(&typed), Ok(Comparison::Match));
        }
        let last = hers.digits().as_bytes()[59];
        let other = format!("{}{}", &hers.digits()[..59], (last - b'0' + 1) % 10);
        assert_eq!(his.compare_digits(&other), Ok(Comparison::Mismatch));
        for typed in [
            "",
            "12345",
            &hers.digits()[..59],
            &format!("{}0", hers.digits()),
            &"x".repeat(60),
            &"１".repeat(20),
        ] {
            assert_eq!(his.compare_digits(typed), Err(CodeError::Digits), "{typed}");
        }
    }

    #[test]
    fn nobody_has_a_safety_number_with_oneself() {
        let alice = account(1, 1);
        assert_eq!(
            SafetyNumber::new(&alice, &account(1, 2)).err(),
            Some(SafetyNumberError::SameAccount)
        );
        assert_eq!(
            SafetyNumber::new(&alice, &account(2, 1)).err(),
            Some(SafetyNumberError::SameKey)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_comparison_panic(text in "(waxwing:verify\\?)?[A-Za-z0-9_=-]{0,140}", any in ".*") {
            static NUMBER: LazyLock<SafetyNumber> = LazyLock::new(|| number(&account(1, 1), &account(2, 2)));
            for text in [&text, &any] {
                let _ = NUMBER.compare_code(text);
                let _ = NUMBER.compare_digits(text);
            }
        }
    }
}
