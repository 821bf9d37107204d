//! handfast-testbed
