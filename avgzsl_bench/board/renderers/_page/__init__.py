"""The HTML page: its shell, style and script, and what of a table it holds."""
