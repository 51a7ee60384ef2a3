//! The house plan of the server: one line per room, in the order a message flows.
