//! The box: plan, layers, launch, supervision.
