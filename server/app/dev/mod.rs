//! `gyre dev`: a server to try, on this machine only, with nothing to configure.
