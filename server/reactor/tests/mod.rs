mod isolation;
mod pressure;
mod rig;
