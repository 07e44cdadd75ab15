"""Networks: as data, as modules, the published ones, and their files."""
