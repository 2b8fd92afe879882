"""C sources and templates of generated projects: data files, no Python."""
