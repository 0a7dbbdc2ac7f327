//! One-time prekeys: a device that uploads, repeats, and goes back to an old copy of itself; two that claim.
//!
//! Every call to DynamoDB of `upload` and `claim` is a step of its own, and any of them may be the last of its
//! function, or be carried out without its caller learning of it.

use std::fmt;

use stateright::{Model, Property};

use super::set::Set;

/// Ids there are.
const KEYS: u8 = 4;

/// Keys in one upload.
const BATCH: u8 = 2;

/// Claims in one history.
const CLAIMS: u8 = 3;

/// Uploads in one history, repetitions included.
const UPLOADS: u8 = 3;

/// The design as it is, or made wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    AsBuilt,
    /// A claim that has lost its races hands out a key that it read before.
    TakeAnyway,
    /// A claim deletes what it read, whether it is there or not.
    TakeWithoutCondition,
    /// An upload puts its keys whatever was published before.
    PutWithoutMark,
    /// An upload raises the highest id whatever it is by now.
    RaiseWithoutCondition,
}

impl Variant {
    /// Those that must be caught, each with a promise that it breaks.
    pub(super) const WRONG: [(Self, &'static str); 4] = [
        (Self::TakeAnyway, "I5"),
        (Self::TakeWithoutCondition, "I5"),
        (Self::PutWithoutMark, "I5"),
        (Self::RaiseWithoutCondition, "I5"),
    ];
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct OneTimePrekeys {
    pub(super) variant: Variant,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Prekeys: the ids in the pool.
    pool: Set,
    /// Keys, attribute `h`: ids below it have been published.
    highest: u8,
    /// Those of them whose bytes the device made after it went back to its copy.
    restored: Set,
    /// The first id that the device has not used yet.
    next: u8,
    /// What `next` was when a copy of the device was made.
    copy: Option<u8>,
    /// The device went back to its copy: its keys have other bytes from now on.
    is_restored: bool,
    /// The batch that was not answered yet.
    pending: Option<Batch>,
    runs: Vec<Run>,
    claims: u8,
    uploads: u8,
    crashes: u8,
    lost_answers: u8,
    past: Past,
}

/// Keys of one upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Batch {
    ids: Set,
    /// Made after the device went back to its copy.
    is_restored: bool,
}

/// What the promise is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Past {
    published: Set,
    handed_out: Set,
    handed_out_twice: Set,
    /// Deleted by a claim that never learned of it.
    burnt: Set,
    /// Claims that found the pool empty.
    went_without: bool,
}

/// A function at work, before its next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Run {
    Upload { batch: Batch, step: UploadStep },
    Claim { step: ClaimStep },
}

/// `backend/src/publish.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum UploadStep {
    /// `find_highest`: `Keys::find`, strongly consistent.
    FindHighest,
    /// `compare`: `Prekeys::all_between`, for ids that are not above the highest.
    Compare {
        highest: u8,
    },
    /// `add_above`: one transaction of `Keys::raise_highest_if` and a `Prekeys::put` for each key.
    Commit {
        highest: u8,
    },
    Answer {
        highest: u8,
        is_conflict: bool,
    },
}

/// `backend/src/claim.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ClaimStep {
    /// `read_candidates`: `Prekeys::some_between`, strongly consistent.
    ReadCandidates,
    /// `take_any`: `Prekeys::take` of one candidate after another, in any order.
    Take { candidates: Set },
}

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Upload(Batch),
    Claim,
    /// Somebody keeps a copy of the device.
    Copy,
    /// The device goes back to it.
    Restore,
    /// A function makes its next call.
    Step(Run),
    /// A claim tries this candidate.
    Take(Run, u8),
    /// It does, and the answer to the call is lost: the SDK asks again and finds the key gone.
    TakeUnheard(Run, u8),
    /// A function vanishes before its next call.
    Crash(Run),
    /// The device does not hear the answer to an upload.
    LoseAnswer(Run),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(batch) => write!(f, "the device uploads {batch:?}"),
            Self::Claim => write!(f, "somebody claims"),
            Self::Copy => write!(f, "a copy of the device is made"),
            Self::Restore => write!(f, "the device goes back to its copy"),
            Self::Step(run) => write!(f, "{run:?}"),
            Self::Take(_, id) => write!(f, "a claim takes {id}"),
            Self::TakeUnheard(_, id) => write!(f, "a claim takes {id}, and the answer is lost"),
            Self::Crash(run) => write!(f, "vanishes: {run:?}"),
            Self::LoseAnswer(run) => write!(f, "the answer is lost: {run:?}"),
        }
    }
}

impl Model for OneTimePrekeys {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            pool: Set::default(),
            highest: 0,
            restored: Set::default(),
            next: 0,
            copy: None,
            is_restored: false,
            pending: None,
            runs: Vec::new(),
            claims: 0,
            uploads: 0,
            crashes: 1,
            lost_answers: 1,
            past: Past::default(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.uploads < UPLOADS {
            // What was not answered is repeated as it is, perhaps while the first run is still at work.
            let fresh = Batch {
                ids: (world.next..KEYS)
                    .take(usize::from(BATCH))
                    .fold(Set::default(), |set, id| set | Set::of(id)),
                is_restored: world.is_restored,
            };
            let batch = world.pending.unwrap_or(fresh);
            if !batch.ids.is_empty() {
                actions.push(Action::Upload(batch));
            }
        }
        if world.claims < CLAIMS {
            actions.push(Action::Claim);
        }
        match world.copy {
            None => actions.push(Action::Copy),
            Some(_) if !world.is_restored => actions.push(Action::Restore),
            Some(_) => {}
        }
        let mut runs = world.runs.clone();
        runs.dedup();
        for run in runs {
            match run {
                Run::Claim {
                    step: ClaimStep::Take { candidates },
                } => {
                    for id in candidates.iter() {
                        actions.push(Action::Take(run, id));
                        if world.lost_answers > 0 && world.pool.contains(id) {
                            actions.push(Action::TakeUnheard(run, id));
                        }
                    }
                }
                _ => actions.push(Action::Step(run)),
            }
            if world.crashes > 0 {
                actions.push(Action::Crash(run));
            }
            let is_answer = matches!(
                run,
                Run::Upload {
                    step: UploadStep::Answer { .. },
                    ..
                }
            );
            if is_answer && world.lost_answers > 0 {
                actions.push(Action::LoseAnswer(run));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let world = &mut next;
        match action {
            Action::Upload(batch) => {
                world.uploads += 1;
                world.pending = Some(batch);
                world.next = world.next.max(batch.ids.last().map_or(0, |last| last + 1));
                let step = UploadStep::FindHighest;
                world.start_run(Run::Upload { batch, step });
            }
            Action::Claim => {
                world.claims += 1;
                let step = ClaimStep::ReadCandidates;
                world.start_run(Run::Claim { step });
            }
            Action::Copy => world.copy = Some(world.next),
            Action::Restore => {
                world.next = world.copy.unwrap_or_default();
                world.is_restored = true;
                world.pending = None;
            }
            Action::Step(run) => self.step(world, run),
            Action::Take(run, id) => self.take(world, run, id),
            Action::TakeUnheard(run, id) => {
                world.lost_answers -= 1;
                world.remove(Set::of(id));
                world.past.burnt.add(Set::of(id));
                self.take(world, run, id);
            }
            Action::Crash(run) => {
                world.crashes -= 1;
                world.end_run(run);
            }
            Action::LoseAnswer(run) => {
                world.lost_answers -= 1;
                world.end_run(run);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::sometimes(
                "delivered: each claim got a key of its own",
                |_, world: &World| {
                    world.runs.is_empty() && world.past.handed_out.iter().count() == usize::from(CLAIMS)
                },
            ),
            Property::sometimes(
                "a key made after going back to a copy is handed out",
                |_, world: &World| {
                    let taken = world.past.published.without(world.pool).without(world.past.burnt);
                    world.is_restored && world.past.went_without && taken.contains(KEYS - 1)
                },
            ),
            Property::always(
                "I5: no one-time prekey is handed out twice",
                |_, world: &World| world.past.handed_out_twice.is_empty(),
            ),
            Property::always(
                "I5: what was handed out or burnt never comes back",
                |_, world: &World| (world.pool & (world.past.handed_out | world.past.burnt)).is_empty(),
            ),
            Property::always(
                "I14: the pool is what was published less what was taken",
                |_, world: &World| {
                    let taken = world.past.handed_out | world.past.burnt;
                    world.pool == world.past.published.without(taken)
                },
            ),
        ]
    }
}

impl OneTimePrekeys {
    fn step(&self, world: &mut World, run: Run) {
        world.end_run(run);
        match run {
            Run::Upload { batch, step } => self.upload(world, batch, step),
            // `Take` is an action of its own.
            Run::Claim { .. } if world.pool.is_empty() => world.past.went_without = true,
            Run::Claim { .. } => {
                let candidates = world.pool;
                let step = ClaimStep::Take { candidates };
                world.start_run(Run::Claim { step });
            }
        }
    }

    fn upload(&self, world: &mut World, batch: Batch, step: UploadStep) {
        let next = |step| Run::Upload { batch, step };
        match step {
            UploadStep::FindHighest => {
                let highest = match self.variant {
                    Variant::PutWithoutMark => 0,
                    _ => world.highest,
                };
                world.start_run(next(UploadStep::Compare { highest }));
            }
            UploadStep::Compare { highest } => {
                let before = below(highest) & batch.ids & world.pool;
                let of_the_batch = if batch.is_restored {
                    world.restored
                } else {
                    world.pool.without(world.restored)
                };
                let is_same = before.is_part_of(of_the_batch);
                world.start_run(next(match is_same {
                    true => UploadStep::Commit { highest },
                    false => UploadStep::Answer {
                        highest,
                        is_conflict: true,
                    },
                }));
            }
            UploadStep::Commit { highest } => self.commit(world, batch, highest),
            UploadStep::Answer { highest, is_conflict } => {
                if world.pending != Some(batch) {
                    return;
                }
                world.pending = None;
                // `client/src/prekeys.rs`: ids go on above the highest that the service knows.
                world.next = world.next.max(highest);
                if is_conflict {
                    world.next = world.next.max(world.highest);
                }
            }
        }
    }

    fn commit(&self, world: &mut World, batch: Batch, highest: u8) {
        let added = batch.ids.without(below(highest));
        let is_conditional = !matches!(
            self.variant,
            Variant::PutWithoutMark | Variant::RaiseWithoutCondition
        );
        let lost_race = is_conditional && !added.is_empty() && world.highest != highest;
        let step = if lost_race {
            UploadStep::FindHighest
        } else {
            world.pool.add(added);
            world.past.published.add(added);
            if batch.is_restored {
                world.restored.add(added);
            }
            let raised = added.last().map_or(highest, |last| last + 1);
            world.highest = match self.variant {
                Variant::PutWithoutMark => world.highest.max(raised),
                _ if added.is_empty() => world.highest,
                _ => raised,
            };
            UploadStep::Answer {
                highest: raised,
                is_conflict: false,
            }
        };
        world.start_run(Run::Upload { batch, step });
    }

    /// `Prekeys::take`: a conditional delete that returns what it deleted.
    fn take(&self, world: &mut World, run: Run, id: u8) {
        let Run::Claim {
            step: ClaimStep::Take { candidates },
        } = run
        else {
            return;
        };
        world.end_run(run);
        let key = Set::of(id);
        let left = candidates.without(key);
        let is_there = world.pool.contains(id);
        let is_given = match self.variant {
            Variant::TakeWithoutCondition => true,
            Variant::TakeAnyway => is_there || left.is_empty(),
            _ => is_there,
        };
        if is_given {
            world.remove(key);
            world.past.handed_out_twice.add(world.past.handed_out & key);
            world.past.handed_out.add(key);
            return;
        }
        let step = match left.is_empty() {
            true => ClaimStep::ReadCandidates,
            false => ClaimStep::Take { candidates: left },
        };
        world.start_run(Run::Claim { step });
    }
}

impl World {
    fn remove(&mut self, key: Set) {
        self.pool.remove(key);
        self.restored.remove(key);
    }

    fn start_run(&mut self, run: Run) {
        let place = self.runs.partition_point(|other| *other <= run);
        self.runs.insert(place, run);
    }

    fn end_run(&mut self, run: Run) {
        if let Some(place) = self.runs.iter().position(|other| *other == run) {
            self.runs.remove(place);
        }
    }
}

fn below(highest: u8) -> Set {
    highest.checked_sub(1).map(Set::up_to).unwrap_or_default()
}
