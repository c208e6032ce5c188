"""Reading configs: file, options, types, classes, and what can be told before building."""
