//! Who is it: tokens, keys and signatures.
