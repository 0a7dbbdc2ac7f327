//! Reading fixed binary layouts: numbers are big-endian, nothing is skipped, nothing may be left over.

/// The bytes end before the value does, or go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LengthError;

/// What is still to be read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], LengthError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(LengthError)?;
        self.0 = rest;
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, LengthError> {
        self.array().map(|&[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, LengthError> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, LengthError> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, LengthError> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// The next so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], LengthError> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(LengthError)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<(), LengthError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(LengthError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_and_every_byte_is_accounted_for() {
        let mut reader = Reader::new(&[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 4, 5, 6]);
        assert_eq!((reader.u8(), reader.u32(), reader.u64()), (Ok(1), Ok(2), Ok(3)));
        assert_eq!(reader.array(), Ok(&[4, 5]));
        assert_eq!(reader.u32(), Err(LengthError));
        assert_eq!(reader.u8(), Ok(6));
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(Reader::new(&[0]).finish(), Err(LengthError));
        assert_eq!(Reader::new(&[7, 8]).rest(), [7, 8]);
    }
}
