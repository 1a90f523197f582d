//! Algebra of native histograms.
