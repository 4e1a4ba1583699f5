"""The cloud on your machine: what Relearn needs of Azure, served on loopback for development and tests."""
