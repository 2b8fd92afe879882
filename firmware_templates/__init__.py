"""C sources and templates that generated projects are made of."""
