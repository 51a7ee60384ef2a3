//! The rules in their order: rows CH, SUB, PUB, PRE, HIS and SSS of the compatibility list.
