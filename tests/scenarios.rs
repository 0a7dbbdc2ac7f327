//! All stories, one module each.

mod architecture;
