"""The command line of a Relearn app: it asks the app's HTTP API, and knows nothing else of the product."""
