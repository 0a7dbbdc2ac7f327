//! What functions call: one endpoint for every AWS service that the runner has.
