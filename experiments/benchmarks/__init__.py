"""Networks with known accuracies: readers of published tables, their spaces, and what scores them fast."""
