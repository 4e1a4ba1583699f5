"""The function host on your machine: loads the same `function_app.py` and follows the Azure Functions host's rules."""
