"""The paper's statements as code that can be run: one file for each."""
