"""From an integer graph to a C project: kernel selection, memory plan, project writer, toolchain."""
