"""The registry: models that are announced when they come, and the code and environments that serve them."""
