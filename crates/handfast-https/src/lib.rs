//! handfast-https
