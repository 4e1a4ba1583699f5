"""The reference of the language: an example of every key and what wrong ones get, as `docs/rules.md` shows them."""
