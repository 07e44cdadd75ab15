"""Networks with the accuracy that somebody trained them to: readers of published tables, their spaces, and what scores them fast."""
