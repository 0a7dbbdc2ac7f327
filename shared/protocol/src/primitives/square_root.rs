//! The y-coordinate that belongs to an x-coordinate of P-256.
//!
//! Each message that begins a chain brings a compressed point, and the square root is what decoding it costs: 12 µs
//! by the general exponentiation of the crate `p256`, as much as six messages on a chain. An addition chain on limbs,
//! with a reduction made for this prime, takes a third of that.
//!
//! What comes out is a *proposal*. The caller has `p256` check that both coordinates make a point of the curve, so
//! whatever went wrong here could refuse a point, never accept a wrong one. Everything here is public.

/// A number below 2²⁵⁶, least significant limb first; in Montgomery form (times 2²⁵⁶) where it is calculated with.
type Limbs = [u64; 4];

/// p = 2²⁵⁶ − 2²²⁴ + 2¹⁹² + 2⁹⁶ − 1 (SEC 2, section 2.4.2).
const P: Limbs = [
    0xffff_ffff_ffff_ffff,
    0x0000_0000_ffff_ffff,
    0x0000_0000_0000_0000,
    0xffff_ffff_0000_0001,
];

/// 2⁵¹² mod p: brings a number into Montgomery form.
const R2: Limbs = [
    0x0000_0000_0000_0003,
    0xffff_fffb_ffff_ffff,
    0xffff_ffff_ffff_fffe,
    0x0000_0004_ffff_fffd,
];

/// The curve's b, in Montgomery form; its a is −3.
const B: Limbs = [
    0xd89c_df62_29c4_bddf,
    0xacf0_05cd_7884_3090,
    0xe5a2_20ab_f721_2ed6,
    0xdc30_061d_0487_4834,
];

/// The y that goes with x and is odd or even as told, if there is one; any number if not. Both are big-endian.
pub(super) fn proposed_y(x: &[u8; 32], odd: bool) -> [u8; 32] {
    let x = reduce(&multiply(&from_bytes(x), &R2));
    let cube = reduce(&multiply(&square(&x), &x));
    let three_x = add_mod(&add_mod(&x, &x), &x);
    let y = square_root(&add_mod(&subtract_mod(&cube, &three_x), &B));
    let y = reduce(&multiply(&y, &[1, 0, 0, 0]));
    let [low, ..] = y;
    if (low & 1 == 1) == odd {
        to_bytes(&y)
    } else {
        to_bytes(&subtract_mod(&P, &y))
    }
}

/// n to the power of (p + 1) / 4 = 2²⁵⁴ − 2²²² + 2¹⁹⁰ + 2⁹⁴: a square root, if n has one.
fn square_root(n: &Limbs) -> Limbs {
    let ones_2 = multiply(&square(n), n);
    let ones_4 = multiply(&squares(&ones_2, 2), &ones_2);
    let ones_8 = multiply(&squares(&ones_4, 4), &ones_4);
    let ones_16 = multiply(&squares(&ones_8, 8), &ones_8);
    let ones_32 = multiply(&squares(&ones_16, 16), &ones_16);
    let head = multiply(&squares(&ones_32, 32), n);
    squares(&multiply(&squares(&head, 96), n), 94)
}

fn squares(n: &Limbs, times: usize) -> Limbs {
    (0..times).fold(*n, |n, _| square(&n))
}

fn square(n: &Limbs) -> Limbs {
    multiply(n, n)
}

/// Montgomery multiplication, a·b·2⁻²⁵⁶ mod p, a limb of b at a time. As p is −1 modulo 2⁶⁴, the multiple of p that
/// clears the lowest limb m is m·p itself: m·(2²⁵⁶ − 2²²⁴ + 2¹⁹² + 2⁹⁶), less the limb it clears. Takes and gives
/// numbers below 2²⁵⁶ that need not be below p.
fn multiply(a: &Limbs, b: &Limbs) -> Limbs {
    let [a0, a1, a2, a3] = *a;
    let [_, _, _, p3] = P;
    let (mut t0, mut t1, mut t2, mut t3, mut t4) = (0, 0, 0, 0, 0);
    for &digit in b {
        let (m, carry) = multiply_add(a0, digit, t0, 0);
        let (s1, carry) = multiply_add(a1, digit, t1, carry);
        let (s2, carry) = multiply_add(a2, digit, t2, carry);
        let (s3, carry) = multiply_add(a3, digit, t3, carry);
        let (s4, s5) = add(t4, carry, 0);

        let (r1, carry) = add(s1, m << 32, 0);
        let (r2, carry) = add(s2, m >> 32, carry);
        let (r3, high) = multiply_add(m, p3, s3, carry);
        let (r4, carry) = add(s4, high, 0);
        (t0, t1, t2, t3, t4) = (r1, r2, r3, r4, s5 + carry);
    }
    // Below 2²⁵⁷: p once less is below 2²⁵⁶. Without a branch, because nobody could predict it.
    let excess = P.map(|limb| limb & t4.wrapping_neg());
    subtract_limbs(&[t0, t1, t2, t3], &excess).0
}

/// The sum of two numbers below p, below p.
fn add_mod(a: &Limbs, b: &Limbs) -> Limbs {
    subtract_mod(a, &subtract_limbs(&P, b).0)
}

/// The difference of two numbers that are not above p, below p unless it is p.
fn subtract_mod(a: &Limbs, b: &Limbs) -> Limbs {
    let (difference, borrow) = subtract_limbs(a, b);
    if borrow == 0 {
        return difference;
    }
    let ([d0, d1, d2, d3], [p0, p1, p2, p3]) = (difference, P);
    let (r0, carry) = add(d0, p0, 0);
    let (r1, carry) = add(d1, p1, carry);
    let (r2, carry) = add(d2, p2, carry);
    let (r3, _) = add(d3, p3, carry);
    [r0, r1, r2, r3]
}

/// A number below 2²⁵⁶, brought below p.
fn reduce(n: &Limbs) -> Limbs {
    let (less, borrow) = subtract_limbs(n, &P);
    if borrow == 0 { less } else { *n }
}

fn subtract_limbs(a: &Limbs, b: &Limbs) -> (Limbs, u64) {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (*a, *b);
    let (r0, borrow) = subtract(a0, b0, 0);
    let (r1, borrow) = subtract(a1, b1, borrow);
    let (r2, borrow) = subtract(a2, b2, borrow);
    let (r3, borrow) = subtract(a3, b3, borrow);
    ([r0, r1, r2, r3], borrow)
}

/// a·b + c + d: low limb, high limb. It cannot overflow.
#[inline(always)]
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    halves(u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d))
}

/// a + b + carry: limb, carry.
#[inline(always)]
fn add(a: u64, b: u64, carry: u64) -> (u64, u64) {
    halves(u128::from(a) + u128::from(b) + u128::from(carry))
}

/// a − b − borrow: limb, borrow.
#[inline(always)]
fn subtract(a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let (low, high) = halves(u128::from(a).wrapping_sub(u128::from(b) + u128::from(borrow)));
    (low, high & 1)
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of a u128")]
#[inline(always)]
fn halves(wide: u128) -> (u64, u64) {
    (wide as u64, (wide >> 64) as u64)
}

fn from_bytes(bytes: &[u8; 32]) -> Limbs {
    let mut limbs = [0; 4];
    let (chunks, _) = bytes.as_chunks::<8>();
    for (limb, chunk) in limbs.iter_mut().rev().zip(chunks) {
        *limb = u64::from_be_bytes(*chunk);
    }
    limbs
}

fn to_bytes(limbs: &Limbs) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, limb) in chunks.iter_mut().zip(limbs.iter().rev()) {
        *chunk = limb.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use p256::elliptic_curve::sec1::ToSec1Point;
    use proptest::prelude::*;

    use crate::{primitives::agreement::Point, testing::unhex};

    /// What `p256` makes of a compressed point.
    fn decoded(x: &[u8; 32], odd: bool) -> Option<Vec<u8>> {
        let encoded = [&[2 | u8::from(odd)], x.as_slice()].concat();
        let point = p256::PublicKey::from_sec1_bytes(&encoded).ok()?;
        Some(point.to_sec1_point(false).as_bytes().to_vec())
    }

    fn same(x: &[u8; 32], odd: bool) -> bool {
        let encoded = [&[2 | u8::from(odd)], x.as_slice()].concat();
        let ours = Point::from_bytes(&encoded).ok();
        let ours = ours.map(|point| point.to_stored_bytes().to_vec());
        assert_eq!(ours, decoded(x, odd), "{x:02x?}");
        ours.is_some()
    }

    #[test]
    fn x01_small_and_large_x_decode_as_p256_decodes_them() {
        let p = unhex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
        let p: [u8; 32] = p.try_into().unwrap();
        let mut points = 0;
        for near in 0..=255 {
            let mut small = [0; 32];
            small[31] = near;
            let mut around_p = p;
            around_p[31] = near;
            let (mut large, mut above) = ([0xff; 32], p);
            large[31] = near;
            above[0..4].fill(0xff);
            above[7] = 2;
            above[31] = near;
            for x in [small, around_p, large, above] {
                points += usize::from(same(&x, false)) + usize::from(same(&x, true));
            }
        }
        assert!(points > 400, "only {points} points");
    }

    proptest! {
        #[test]
        fn x01_any_x_decodes_as_p256_decodes_it(x: [u8; 32], odd: bool) {
            same(&x, odd);
        }
    }
}
