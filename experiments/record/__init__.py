"""Rows on disk: tables, provenance, verification, merging, and what an executed notebook keeps."""
