// Opened as a folder, no page may read another one: the search then lists titles without an extract of each page.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
