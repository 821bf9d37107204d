//! handfast-ca
