"""The scores: Zen and Phi by Monte Carlo, and by arithmetic."""
