"""Command lines: parse, call, report errors. No mathematics."""
