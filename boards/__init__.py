"""The boards that ship with tinydsn, one TOML file each; `tinydsn.codegen.board` reads them."""
