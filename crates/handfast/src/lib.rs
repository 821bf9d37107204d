//! handfast
