//! Wire contracts of gyre.
