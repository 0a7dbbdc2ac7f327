//! Where a run happens, as far as ARNs, events and environments say so: a region and an account that AWS has
//! no person's resources in.

/// The region of everything the runner runs.
pub const REGION: &str = "us-east-1";

/// The account of everything the runner runs.
pub const ACCOUNT_ID: &str = "000000000000";
