"""Figures of merit: accuracy and agreement with intervals, signal-to-noise ratios. NumPy only."""
