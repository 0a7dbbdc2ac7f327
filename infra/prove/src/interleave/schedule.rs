//! A schedule as text: for each step a digit, which of the functions goes next. If several of its calls are under way at
//! once, a letter after it says which: `b` the second, `c` the third; without, the first.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// Which goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The function, by its place among those that are interleaved.
    pub who: usize,
    /// Which of its calls, by age.
    pub call: usize,
}

/// Turns in order. Who has nothing to do when its turn comes is passed over; after the last turn each goes to its end, in
/// the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<Turn>);

/// The text is no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a schedule is digits, each of which a letter may follow: 0110b1")]
pub struct NoSchedule;

impl Schedule {
    /// How often another function goes on than the one before.
    pub fn switches(&self) -> usize {
        let turns = self.0.iter().zip(self.0.iter().skip(1));
        turns.filter(|(one, next)| one.who != next.who).count()
    }
}

impl FromStr for Schedule {
    type Err = NoSchedule;

    fn from_str(text: &str) -> Result<Self, NoSchedule> {
        let mut turns: Vec<Turn> = Vec::new();
        for character in text.chars() {
            match (character.to_digit(10), character) {
                (Some(who), _) => turns.push(Turn {
                    who: usize::try_from(who).map_err(|_| NoSchedule)?,
                    call: 0,
                }),
                (None, 'b'..='z') => {
                    let last = turns.last_mut().filter(|last| last.call == 0).ok_or(NoSchedule)?;
                    last.call =
                        usize::try_from(u32::from(character) - u32::from('a')).map_err(|_| NoSchedule)?;
                }
                (None, _) => return Err(NoSchedule),
            }
        }
        Ok(Self(turns))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for turn in &self.0 {
            write!(f, "{}", turn.who)?;
            let letter = u8::try_from(turn.call)
                .ok()
                .and_then(|call| b'a'.checked_add(call));
            if let (Some(letter), true) = (letter, turn.call > 0) {
                write!(f, "{}", char::from(letter))?;
            }
        }
        Ok(())
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_as_it_is_written() {
        for text in ["", "0", "0110b1", "012c0"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for text in ["b", "0a", "0bb", "0-1"] {
            assert_eq!(text.parse::<Schedule>(), Err(NoSchedule), "{text}");
        }
        assert_eq!("0011b0".parse::<Schedule>().unwrap().switches(), 2);
    }
}
