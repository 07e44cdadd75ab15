"""The chapters, a folder each. A chapter imports no other chapter."""
