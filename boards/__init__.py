"""Board descriptions, one TOML file a board."""
