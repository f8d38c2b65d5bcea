//! This program as the guard of a hidden manifest. A run starts it; nobody else has to.

pub use crate::node::guard::guard;
pub use crate::node::net::GUARD;
