//! The design, small enough to be tried to its end: every order of every step, every crash.
//!
//! Three models: `delivery`, `directory` and `prekeys`. Each mirrors the functions of `backend` call by call and
//! names them, and each exists in wrong variants, which must be caught: a model that cannot fail proves nothing. The
//! checker is `stateright`, which searches breadth first, so that what it finds is shortest.

mod delivery;
mod directory;
mod prekeys;
mod set;

use std::{fmt::Debug, hash::Hash};

use serde::Serialize;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

use self::{delivery::Delivery, directory::Directory, prekeys::OneTimePrekeys};

/// What came out of checking one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The model's name.
    pub model: &'static str,
    /// How large: messages and faults, where there is a choice.
    pub size: String,
    /// What was made wrong on purpose, if anything was.
    pub wrong: Option<Wrong>,
    /// Different states that were reached.
    pub states: usize,
    /// Steps of the longest history, or of the one that broke a promise.
    pub depth: usize,
    /// Every property.
    pub properties: Vec<CheckedProperty>,
}

/// A variant that must be caught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// What is wrong.
    pub variant: String,
    /// The promise that it must be seen to break.
    pub breaks: &'static str,
}

/// What came out for one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedProperty {
    /// What it says, with the promise's id in front if it is one.
    pub name: &'static str,
    /// Whether it is to hold in every state, or has to be reached in one.
    pub is_always: bool,
    /// The shortest history that breaks it, or reaches it.
    pub history: Option<Vec<String>>,
}

impl CheckedProperty {
    /// Whether it is this promise.
    pub fn is_promise(&self, id: &str) -> bool {
        is_promise(self.name, id)
    }

    /// Whether all is as it should be.
    pub fn holds(&self) -> bool {
        self.history.is_none() == self.is_always
    }
}

impl Checked {
    /// The promise that was broken: of a wrong variant, the one it was made to break.
    pub fn broken(&self) -> Option<&CheckedProperty> {
        let mut broken = self
            .properties
            .iter()
            .filter(|property| property.is_always && !property.holds());
        match &self.wrong {
            Some(wrong) => broken.find(|property| property.is_promise(wrong.breaks)),
            None => broken.next(),
        }
    }

    /// Whether this is as it should be: a wrong variant is caught by the promise it breaks, and nothing else fails.
    pub fn is_as_expected(&self) -> bool {
        match &self.wrong {
            Some(_) => self.broken().is_some(),
            None => self.properties.iter().all(CheckedProperty::holds),
        }
    }
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Some millions of states.
    Small,
    /// Some ten millions: a message and a fault more at once. Takes minutes and some gigabytes.
    Full,
}

impl Size {
    /// Messages and faults in one history of the model of delivery, each pair checked to its end.
    fn of_delivery(self) -> &'static [(u8, u8)] {
        match self {
            Self::Small => &[(2, 0), (1, 2)],
            Self::Full => &[(2, 0), (1, 2), (1, 3), (2, 1)],
        }
    }
}

/// The size at which wrong variants of delivery are caught.
const ENOUGH_TO_CATCH: (u8, u8) = (2, 1);

/// Checks every model to its end. `tell` hears of each.
pub fn check_design(size: Size, threads: usize, mut tell: impl FnMut(&Checked)) -> Vec<Checked> {
    let mut all = Vec::new();
    let mut note = |checked: Checked| {
        tell(&checked);
        all.push(checked);
    };
    for bounds in size.of_delivery() {
        let model = delivery(delivery::Variant::AsBuilt, *bounds);
        note(check("delivery", size_of(*bounds), None, model, threads));
    }
    let variant = directory::Variant::AsBuilt;
    note(check(
        "directory",
        String::new(),
        None,
        Directory { variant },
        threads,
    ));
    let variant = prekeys::Variant::AsBuilt;
    note(check(
        "prekeys",
        String::new(),
        None,
        OneTimePrekeys { variant },
        threads,
    ));
    all
}

/// Checks every wrong variant until it is caught. `tell` hears of each. Single-threaded, so that each counterexample is
/// the shortest there is.
pub fn check_wrong(mut tell: impl FnMut(&Checked)) -> Vec<Checked> {
    let mut all = Vec::new();
    let mut note = |checked: Checked| {
        tell(&checked);
        all.push(checked);
    };
    let wrong = |variant: &dyn Debug, breaks| {
        let variant = format!("{variant:?}");
        Some(Wrong { variant, breaks })
    };
    for (variant, breaks) in delivery::Variant::WRONG {
        let model = delivery(variant, ENOUGH_TO_CATCH);
        let size = size_of(ENOUGH_TO_CATCH);
        note(check("delivery", size, wrong(&variant, breaks), model, 1));
    }
    for (variant, breaks) in directory::Variant::WRONG {
        let model = Directory { variant };
        note(check(
            "directory",
            String::new(),
            wrong(&variant, breaks),
            model,
            1,
        ));
    }
    for (variant, breaks) in prekeys::Variant::WRONG {
        let model = OneTimePrekeys { variant };
        note(check("prekeys", String::new(), wrong(&variant, breaks), model, 1));
    }
    all
}

fn delivery(variant: delivery::Variant, (messages, faults): (u8, u8)) -> Delivery {
    Delivery {
        variant,
        messages,
        faults,
    }
}

fn size_of((messages, faults): (u8, u8)) -> String {
    format!("messages {messages}, faults {faults}")
}

fn check<M>(name: &'static str, size: String, wrong: Option<Wrong>, model: M, threads: usize) -> Checked
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq + Send,
{
    let properties = model.properties();
    let enough = match &wrong {
        // Any promise would do to catch it; to see the one that it was made to break, look on until that is broken.
        Some(wrong) => {
            let broken = properties
                .iter()
                .filter(|property| is_promise(property.name, wrong.breaks));
            HasDiscoveries::AnyOf(broken.map(|property| property.name).collect())
        }
        None => HasDiscoveries::AllFailures,
    };
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(enough)
        .spawn_bfs()
        .join();
    let mut discoveries = checker.discoveries();
    let properties = properties.into_iter().map(|property| {
        let path = discoveries.remove(property.name);
        let told = |action: &M::Action| format!("{action:?}");
        CheckedProperty {
            name: property.name,
            is_always: property.expectation == Expectation::Always,
            history: path.map(|path| path.into_actions().iter().map(told).collect()),
        }
    });
    Checked {
        model: name,
        size,
        wrong,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        properties: properties.collect(),
    }
}

/// Whether a property's name begins with this promise's id, among others.
fn is_promise(name: &str, id: &str) -> bool {
    let ids = name.split_once(':').map_or("", |(ids, _)| ids);
    ids.split(", ").any(|one| one == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I1, I2, I3, I5, I6, I9, I10, I11, I14: in every order of every step, with every fault, up to the size named.
    #[test]
    fn the_design_keeps_its_promises_and_delivers() {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for checked in check_design(Size::Small, threads, |_| {}) {
            assert!(checked.is_as_expected(), "{checked:#?}");
        }
    }

    #[test]
    fn every_wrong_variant_is_caught_by_the_promise_it_breaks() {
        for checked in check_wrong(|_| {}) {
            assert!(checked.is_as_expected(), "{checked:#?}");
        }
    }
}
